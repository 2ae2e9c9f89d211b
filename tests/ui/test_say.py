"""What the pages say: nothing from outside is read as markdown."""

import ast
import re
from pathlib import Path

import pytest
from hostile import DIRECTIONS, HOSTILE

from memorymark.ui.say import LONGEST, plain

ROOT = Path(__file__).parents[2]
SAY = ROOT / "memorymark" / "ui" / "say.py"
FILES = sorted(
    {*(ROOT / "memorymark" / "ui").rglob("*.py"), *(ROOT / "pages").glob("*.py")} - {SAY}
)
FILES.append(ROOT / "streamlit_app.py")

# Streamlit's elements that draw text as markdown, and the arguments of widgets that do.
DRAWERS = {
    "markdown", "write", "write_stream", "title", "header", "subheader", "caption", "latex", "info",
    "success", "warning", "error", "exception", "metric", "progress", "status", "badge", "toast",
    "spinner", "html", "help", "dialog", "table",
}  # fmt: skip
WIDGETS = {
    "button", "checkbox", "chat_input", "color_picker", "data_editor", "date_input",
    "download_button", "expander", "feedback", "file_uploader", "form_submit_button", "link_button",
    "menu_button", "multiselect", "number_input", "page_link", "pills", "popover", "radio",
    "select_slider", "selectbox", "segmented_control", "slider", "tabs", "text_area", "text_input",
    "time_input", "toggle",
}  # fmt: skip
MARKED_UP = {"help", "label", "placeholder", "title", "text", "captions", "body"}
FUNCTIONS = {
    "line", "heading", "caption", "info", "warning", "error", "step", "progress", "html",
    "markup",
}  # fmt: skip


def is_ours(node: ast.expr) -> bool:
    """Say whether a text is written in our code, or escaped."""
    match node:
        case ast.Constant():
            return True
        case ast.Attribute(attr="label" | "help"):  # of an option, which declares them
            return True
        case ast.Call(func=ast.Name(id="plain" | "len")):
            return True
        case ast.JoinedStr(values=values):
            return all(is_ours(value) for value in values)
        case ast.FormattedValue(value=value):
            return is_ours(value)
        case ast.IfExp(body=body, orelse=orelse):
            return is_ours(body) and is_ours(orelse)
        case ast.BinOp(left=left, right=right, op=ast.Add()):
            return is_ours(left) and is_ours(right)
    return False


def unsafe(source: str) -> list[str]:
    """Return what hands text to Streamlit past memorymark.ui.say, or a template that is not."""
    tree = ast.parse(source)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            found += _in_call(node, node.func)
        elif isinstance(node, ast.Attribute) and _of(node) == "st" and id(node) not in called:
            found += [ast.unparse(node)] if node.attr in DRAWERS | WIDGETS else []
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("streamlit"):
            names = {alias.name for alias in node.names}
            found += sorted(names & (DRAWERS | WIDGETS | {"*"}))
    return found


def _in_call(node: ast.Call, name: ast.Attribute) -> list[str]:
    said = ast.unparse(node)
    if _of(name) == "say":
        given = [argument for argument in node.args if isinstance(argument, ast.Starred)]
        template = node.args[1:2] if name.attr == "progress" else node.args[:1]
        is_template = name.attr not in FUNCTIONS or (template and _is_fixed(template[0]))
        return [] if is_template and not given else [said]
    if name.attr in DRAWERS:
        return [] if all(is_ours(argument) for argument in _arguments(node)) else [said]
    if name.attr in WIDGETS and _of(name) != "column_config":
        marked = [*node.args[:1], *(k.value for k in node.keywords if k.arg in MARKED_UP)]
        marked = [] if name.attr == "data_editor" else marked
        spread = any(isinstance(each, ast.Starred) for each in node.args[:1])
        return [] if all(map(is_ours, marked)) and not spread else [said]
    return []


def _is_fixed(node: ast.expr) -> bool:
    if isinstance(node, ast.IfExp):
        return _is_fixed(node.body) and _is_fixed(node.orelse)
    return isinstance(node, ast.Constant)


def _arguments(node: ast.Call) -> list[ast.expr]:
    return [*node.args, *(keyword.value for keyword in node.keywords)]


def _of(node: ast.Attribute) -> str:
    return ast.unparse(node.value).rpartition(".")[2]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_text_from_outside_reaches_streamlit_through_say_alone(path: Path):
    assert unsafe(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "st.markdown(name)",
        "st.error(str(error))",
        "st.info(f'{name} is here')",
        "st.sidebar.caption('a' + name)",
        "column.metric('Label', value)",
        "st.button(f'Open {name}')",
        "st.text_input('Model', help=name)",
        "st.markdown(**{'body': name})",
        "draw = st.error",
        "draw = st.error if failed else st.warning",
        "from streamlit import markdown",
        "say.info(f'Run {name}')",
        "say.info(name)",
        "say.info('Run ' + name)",
        "say.info(*texts)",
        "say.progress(0.5, name)",
    ],
)
def test_text_that_is_handed_past_it_is_seen(source: str):
    assert len(unsafe(source)) >= 1


@pytest.mark.parametrize(
    "source",
    [
        "st.info('Press **Analyze**.', icon=':material/lightbulb:')",
        "st.button('Open', key=f'open_{run_id}')",
        "st.number_input(f'{option.label} (%)', 1, 2, help=option.help)",
        "st.button(plain(name))",
        "say.info('Run **{}**', name)",
        "say.line('{}' if short else '{} {}', name, other)",
        "say.progress(share, '{} of {}', used, total)",
        "st.code(name)",
    ],
)
def test_what_is_escaped_or_fixed_passes(source: str):
    assert unsafe(source) == []


@pytest.mark.parametrize("text", HOSTILE)
def test_escaped_text_holds_no_markup(text: str):
    escaped = plain(text)
    assert "\n" not in escaped
    assert all(character.isprintable() or character == "\u2060" for character in escaped)
    bare = re.sub(r"(?<=[A-Za-z0-9])_(?=[A-Za-z0-9])", "", escaped.replace("\\\\", ""))
    for sign in "*_[]<>&$~|`":
        assert bare.count(sign) == bare.count("\\" + sign), sign


def test_directions_and_controls_are_shown():
    for character in DIRECTIONS:
        assert character not in plain(f"a{character}b")
        assert "\\\\" in plain(f"a{character}b")


def test_everyday_text_stays_as_it_is():
    for text in ("Tesla T4", "2.09 GiB (simulated)", "5.5 GiB", "-5 %", "of kind 'levers'"):
        assert plain(text) == text


def test_long_text_is_cut():
    assert len(plain("a" * 1_000_000)) == LONGEST + 1
