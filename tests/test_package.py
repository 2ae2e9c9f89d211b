"""The package as a whole: what an import loads, which way the arrows point."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Container, Mapping, Set
from dataclasses import dataclass
from pathlib import Path

import pytest

import memorymark

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "memorymark"

# From the ground up. A room may import from itself and from the layers below its own.
LAYERS = (
    {""},
    {"errors"},
    {"units"},
    {"settings", "bounds"},
    {"records"},
    {"data", "memory", "gpus"},
    {"placement"},
    {"workloads"},
    {"inference", "training"},
    {"simulator"},
    {"probes"},
    {"analysis", "trainer"},
    {"report"},
    {"service"},
    {"api"},
    {"callbacks", "cli", "ui"},
    {"__main__"},
)
LEVELS = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}

ROOMS = set(LEVELS) - {""}

# Imported where they are used, inside functions, so that the engine runs without them.
OPTIONAL = {
    "streamlit", "altair", "pynvml", "torchvision", "timm", "bitsandbytes", "pandas", "lightning",
    "pytorch_lightning",
}  # fmt: skip
# The modules of `callbacks` are loaded by who uses the library that they are for.
WITH_TORCH = {
    "placement", "workloads", "training", "inference", "memory", "simulator", "probes", "callbacks",
    "trainer",
}  # fmt: skip
# Not even inside a function: what these hold is data, read where there is no torch.
NEVER_TORCH = {
    "errors", "units", "settings", "bounds", "records", "data", "gpus", "analysis", "report",
}  # fmt: skip

# The app's entry and pages stand outside of the package, on top of it.
PAGES = [ROOT / "streamlit_app.py", *sorted((ROOT / "pages").glob("*.py"))]
FOR_PAGES = {"ui", "service", "records", "units"}


@dataclass(frozen=True)
class Import:
    """One name that a file imports.

    Attributes:
        name: In full, as in "memorymark.records.trial.Trial".
        in_function: It is imported when the function is called, not when the file is loaded.
        for_types: It stands under TYPE_CHECKING and is never imported.
        dynamic: It is the argument of a call such as import_module, or stands in a string.
    """

    name: str
    in_function: bool = False
    for_types: bool = False
    dynamic: bool = False


class Reader(ast.NodeVisitor):
    """Collects every import of a file, in whatever form it is written."""

    def __init__(self, module: str, is_package: bool) -> None:
        self.found: list[Import] = []
        self._package = module if is_package else module.rpartition(".")[0]
        self._in_function = False
        self._for_types = False

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._note(alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        source = self._absolute("." * node.level + (node.module or ""), self._package)
        for alias in node.names:
            self._note(f"{source}.{alias.name}")

    def visit_Call(self, node: ast.Call) -> None:
        function = ast.unparse(node.func).rpartition(".")[2]
        if function in ("import_module", "__import__") and node.args:
            words = [_text(each.value if isinstance(each, ast.keyword) else each)
                     for each in (*node.args, *node.keywords)]  # fmt: skip
            package = words[1] if len(words) > 1 and words[1] else self._package
            if words[0]:
                self._note(self._absolute(words[0], package), dynamic=True)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        parts = node.value.split(".") if isinstance(node.value, str) else []
        names_a_room = len(parts) > 1 and parts[0] == "memorymark" and parts[1] in ROOMS
        if names_a_room and all(part.isidentifier() for part in parts):
            self._note(node.value, dynamic=True)

    def visit_If(self, node: ast.If) -> None:
        before = self._for_types
        self._for_types |= ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING"
        for child in node.body:
            self.visit(child)
        self._for_types = before
        for child in (node.test, *node.orelse):
            self.visit(child)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        before, self._in_function = self._in_function, True
        self.generic_visit(node)
        self._in_function = before

    visit_AsyncFunctionDef = visit_FunctionDef
    visit_Lambda = visit_FunctionDef

    def _note(self, name: str, dynamic: bool = False) -> None:
        self.found.append(Import(name, self._in_function, self._for_types, dynamic))

    @staticmethod
    def _absolute(name: str, package: str) -> str:
        level = len(name) - len(name.lstrip("."))
        parents = package.split(".")
        base = parents[: len(parents) - level + 1] if level else []
        return ".".join([*base, *filter(None, [name[level:]])])


def _text(node: ast.expr) -> str:
    """The text of a string, of an f-string up to its first value; "" for all else."""
    if isinstance(node, ast.JoinedStr) and node.values:
        return _text(node.values[0]).removesuffix(".")
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def imports_of(source: str, module: str, is_package: bool = False) -> list[Import]:
    reader = Reader(module, is_package)
    reader.visit(ast.parse(source))
    return reader.found


def room_of(module: str) -> str:
    """The room of a module: "" for the package's own file."""
    return module.split(".")[1] if "." in module else ""


def room_imported(name: str) -> str | None:
    """The room that a name belongs to; the lazy names of the package are those of `api`."""
    first, _, rest = name.partition(".")
    room = rest.partition(".")[0]
    if first != "memorymark":
        return None
    if room == "__version__":
        return ""
    return room if room in ROOMS else "api"


def not_downward(source: str, module: str, is_package: bool = False) -> set[str]:
    """The rooms above or beside its own that a file imports from."""
    room = room_of(module)
    used = {room_imported(each.name) for each in imports_of(source, module, is_package)}
    return {other for other in used - {None, room} if LEVELS[other] >= LEVELS[room]}


def loaded_by_the_root(source: str) -> set[str]:
    """What of the package its own file loads, other than by the lazy table."""
    return {
        each.name
        for each in imports_of(source, "memorymark", is_package=True)
        if room_imported(each.name) is not None
        and not each.for_types
        and not (each.dynamic and each.in_function)
    }


def heavy_imports(source: str, module: str) -> set[str]:
    """The packages that a file imports and should not, or not when it is loaded."""
    room, found = room_of(module), imports_of(source, module)
    at_load = set(OPTIONAL)
    if room in ("report", "ui"):
        at_load -= {"altair", "pandas"}
    if room == "ui":
        at_load -= {"streamlit"}
    if room not in WITH_TORCH:
        at_load |= {"torch", "transformers"}
    anywhere = set() if room == "ui" else {"streamlit"}
    if room in NEVER_TORCH:
        anywhere |= {"torch", "transformers"}
    tops = {(each.name.partition(".")[0], each) for each in found}
    return {
        top
        for top, each in tops
        if top in anywhere or (top in at_load and not each.in_function and not each.for_types)
    }


def wrong_in_a_page(source: str) -> set[str]:
    """What the app's entry or a page imports and should not."""
    wrong = set()
    for each in imports_of(source, "page"):
        top, room = each.name.partition(".")[0], room_imported(each.name)
        if room is None:
            allowed = top == "streamlit" or top in sys.stdlib_module_names
        else:
            allowed = room in FOR_PAGES
        if not allowed:
            wrong.add(each.name)
    return wrong


def circles(sources: Mapping[str, str], packages: Set[str] = frozenset()) -> list[set[str]]:
    """The sets of files that import one another, directly or through others.

    Args:
        sources: The text of each module.
        packages: Those that are a folder's own file.
    """
    arrows = {
        module: {
            _module_in(each.name, sources)
            for each in imports_of(source, module, module in packages)
            if not each.for_types
        } - {None, module}
        for module, source in sources.items()
    }  # fmt: skip
    reach = {module: _reachable(module, arrows) for module in arrows}
    found = {
        frozenset({module, *(other for other in reach[module] if module in reach[other])})
        for module in arrows
    }
    return [set(circle) for circle in found if len(circle) > 1]


def _module_in(name: str, modules: Container[str]) -> str | None:
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name or None


def _reachable(start: str, arrows: Mapping[str, Set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for module in arrows[waiting.pop()] - found:
            found.add(module)
            waiting.append(module)
    return found


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
FOLDERS = {module for module, path in FILES.items() if path.name == "__init__.py"}
in_every_module = pytest.mark.parametrize("module", FILES)


@in_every_module
def test_arrows_point_down(module: str) -> None:
    assert room_of(module) in LEVELS, f"{module} has no place in the order of rooms yet"
    if module != "memorymark":
        upward = not_downward(FILES[module].read_text(), module, module in FOLDERS)
        assert not upward, f"{module} imports from above or beside: {upward}"


@pytest.mark.parametrize(
    ("module", "source", "upward"),
    [
        ("memorymark.records.trial", "from memorymark.service import execute", {"service"}),
        ("memorymark.records.trial", "from ..service import execute", {"service"}),
        ("memorymark.records.trial", "from .. import service", {"service"}),
        ("memorymark.simulator.cuda.rules", "from ...probes.cuda import X", {"probes"}),
        ("memorymark.simulator.cuda.rules", "from ..time import clock", set()),
        ("memorymark.records.trial", "from .codec import encode", set()),
        ("memorymark.service.execute", "from memorymark import analyze", {"api"}),
        ("memorymark.service.execute", "from memorymark import *", {"api"}),
        ("memorymark.service.execute", "import memorymark", {"api"}),
        ("memorymark.cli.main", "from memorymark import analyze", set()),
        ("memorymark.service.execute", "from memorymark import __version__", set()),
        ("memorymark.service.execute", "from memorymark import units", set()),
        ("memorymark.memory.trace", "def f():\n    import memorymark.gpus", {"gpus"}),
        ("memorymark.gpus.x", "import_module('memorymark.service.execute')", {"service"}),
        ("memorymark.gpus.x", "importlib.import_module('..service', __package__)", {"service"}),
        ("memorymark.gpus.x", "importlib.import_module('.a', 'memorymark.api')", {"api"}),
        ("memorymark.gpus.x", "importlib.import_module(f'memorymark.{name}')", {"api"}),
        ("memorymark.gpus.x", "importlib.import_module(f'memorymark.cli.{name}')", {"cli"}),
        ("memorymark.gpus.x", "def f():\n    __import__('memorymark.cli')", {"cli"}),
        ("memorymark.gpus.x", "HOMES = {'a': 'memorymark.cli.main'}", {"cli"}),
        ("memorymark.gpus.x", "'See memorymark.cli.main for more.'", set()),
        ("memorymark.cli.main", "from memorymark.ui.engine import start", {"ui"}),
    ],
)
def test_an_arrow_that_points_up_is_seen(module: str, source: str, upward: set[str]) -> None:
    assert not_downward(source, module) == upward


def test_the_package_loads_nothing_of_itself_but_by_its_lazy_table() -> None:
    source = FILES["memorymark"].read_text()
    assert loaded_by_the_root(source) == set()
    for_types = {each.name for each in imports_of(source, "memorymark", True) if each.for_types}
    table = {f"memorymark.{home}.{name}" for name, home in memorymark._HOMES.items()}
    assert for_types == table
    rooms = {room_imported(name) for name in table}
    assert max(LEVELS[room] for room in rooms) == LEVELS["api"], "it counts as the level of api"


@pytest.mark.parametrize(
    "source",
    [
        "from memorymark.api import analyze",
        "from .api import analyze",
        "import_module('memorymark.api')",
        "def f():\n    from memorymark.api import analyze",
        "if TYPE_CHECKING:\n    pass\nelse:\n    from memorymark.api import analyze",
    ],
)
def test_what_the_package_loads_of_itself_is_seen(source: str) -> None:
    assert len(loaded_by_the_root(source)) == 1


@in_every_module
def test_heavy_packages_are_imported_where_they_are_used(module: str) -> None:
    assert heavy_imports(FILES[module].read_text(), module) == set()


@pytest.mark.parametrize(
    ("module", "source", "heavy"),
    [
        ("memorymark.records.trial", "import torch", {"torch"}),
        ("memorymark.records.trial", "def f():\n    import torch", {"torch"}),
        ("memorymark.report.exports", "def f():\n    from torch import nn", {"torch"}),
        ("memorymark.report.exports", "import altair", set()),
        ("memorymark.service.jobs", "class A:\n    import torch", {"torch"}),
        ("memorymark.service.jobs", "try:\n    import torch\nexcept A:\n    pass", {"torch"}),
        ("memorymark.cli.lists", "def f():\n    import torch", set()),
        ("memorymark.cli.serve", "def f():\n    import streamlit", {"streamlit"}),
        ("memorymark.cli.serve", "f = lambda: import_module('streamlit.web')", {"streamlit"}),
        ("memorymark.cli.serve", "run('-m', 'streamlit')", set()),
        ("memorymark.ui.frame", "import streamlit as st", set()),
        ("memorymark.probes.cuda", "import torch", set()),
        ("memorymark.probes.cuda", "import pynvml", {"pynvml"}),
        ("memorymark.cli.lists", "if not TYPE_CHECKING:\n    import torch", {"torch"}),
        ("memorymark.cli.lists", "if TYPE_CHECKING:\n    import torch", set()),
    ],
)
def test_a_heavy_import_is_seen(module: str, source: str, heavy: set[str]) -> None:
    assert heavy_imports(source, module) == heavy


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_pages_stand_on_what_is_for_them(path: Path) -> None:
    assert wrong_in_a_page(path.read_text()) == set()


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("import torch", {"torch"}),
        ("import pandas as pd", {"pandas"}),
        ("from pages import runs", {"pages.runs"}),
        ("def f():\n    from memorymark.probes import cuda", {"memorymark.probes.cuda"}),
        ("from memorymark import analyze", {"memorymark.analyze"}),
        ("import streamlit as st\nimport json\nfrom memorymark.ui.frame import x", set()),
    ],
)
def test_a_wrong_import_in_a_page_is_seen(source: str, wrong: set[str]) -> None:
    assert wrong_in_a_page(source) == wrong


def test_the_package_does_not_know_the_pages() -> None:
    for module, path in FILES.items():
        tops = {each.name.partition(".")[0] for each in imports_of(path.read_text(), module)}
        assert not tops & {"pages", "streamlit_app"}, module


def test_no_files_import_one_another() -> None:
    assert circles({name: path.read_text() for name, path in FILES.items()}, FOLDERS) == []


def test_a_circle_of_files_is_seen() -> None:
    sources = {
        "p": "if TYPE_CHECKING:\n    from p.a import x",
        "p.a": "from .b import x",
        "p.b": "def f():\n    import p.c",
        "p.c": "import_module('p.a')",
        "p.d": "from p import a",
    }
    assert circles(sources, {"p"}) == [{"p.a", "p.b", "p.c"}]
    sources["p.c"] = "if TYPE_CHECKING:\n    from p.a import x"
    assert circles(sources, {"p"}) == []


def test_contributing_gives_the_numbers_of_rooms_layers_and_arrows() -> None:
    arrows = {
        (room_of(module), room_imported(each.name))
        for module, path in FILES.items()
        for each in imports_of(path.read_text(), module, module in FOLDERS)
        if module != "memorymark" and room_imported(each.name) in ROOMS - {room_of(module)}
    }
    rooms = {room_of(module) for module in FILES} - {""}
    layers = [layer & rooms for layer in LAYERS if layer & rooms]
    numbers = f"{len(rooms)} rooms on {len(layers)} layers with {len(arrows)} arrows between them"
    assert numbers in " ".join((ROOT / "CONTRIBUTING.md").read_text().split())


def test_the_top_of_the_package_is_seen_in_ten_seconds() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 8


def test_no_two_modules_share_a_name() -> None:
    names = [path.stem for path in FILES.values() if not path.stem.startswith("__")]
    assert len(names) > 100
    assert sorted(names) == sorted(set(names))


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("statement", ["import memorymark", "import memorymark.cli"])
def test_import_is_light(statement: str) -> None:
    heavy = {"torch", "transformers", "streamlit", "altair", "pandas"}
    loaded = loaded_by(statement)
    assert statement.removeprefix("import ") in loaded
    assert not loaded & heavy


def test_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = memorymark.no_such_name


def test_documented_names_are_there() -> None:
    assert {"analyze", "measure", "estimate", "TrainingConfig"} <= set(memorymark.__all__)
    for name in memorymark.__all__:
        assert getattr(memorymark, name) is not None
        assert name in dir(memorymark)


def test_requirements_are_the_one_list() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "dependencies" in project["project"]["dynamic"]
    assert "dependencies" not in project["project"]
    hooks = project["tool"]["hatch"]["metadata"]["hooks"]
    assert hooks["requirements_txt"] == {"files": ["requirements.txt"]}
    names = {line.split(">")[0].strip() for line in (ROOT / "requirements.txt").open()}
    assert {"torch", "torchvision", "transformers", "streamlit", "typer", "rich"} <= names


def test_ci_is_the_readmes_own_command() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert script.rstrip().endswith("exec make test")
