"""The package as a whole: what an import loads, which way the arrows point."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
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
    {"settings"},
    {"records"},
    {"memory", "gpus"},
    {"workloads"},
    {"training"},
    {"simulator"},
    {"probes"},
    {"analysis"},
    {"report"},
    {"service"},
    {"api"},
    {"cli", "ui"},
    {"__main__"},
)
LEVELS = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}

# Imported where they are used, inside functions, so that the engine runs without them.
OPTIONAL = {"streamlit", "altair", "pynvml", "torchvision", "timm", "bitsandbytes", "pandas"}
WITH_TORCH = {"workloads", "training", "memory", "simulator", "probes"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py") if first != "__init__.py" else ""


def imports(tree: ast.AST) -> Iterator[str]:
    """Names of the modules that the nodes import, in full."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports_at_load(tree: ast.Module) -> Iterator[str]:
    """Names of the modules that loading the module imports: not those inside functions."""
    for node in tree.body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from imports(node)


def imported_rooms(tree: ast.AST) -> Iterator[str]:
    for name in imports(tree):
        parts = name.split(".")
        if parts[0] == "memorymark":
            yield parts[1] if len(parts) > 1 and parts[1] in LEVELS else ""


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_arrows_point_down(path: Path) -> None:
    room = room_of(path)
    assert room in LEVELS, f"{room} has no place in the order of rooms yet"
    if path == PACKAGE / "__init__.py":
        return  # its names are loaded when they are first used
    tree = ast.parse(path.read_text())
    upward = {
        used for used in imported_rooms(tree) if used != room and LEVELS[used] >= LEVELS[room]
    }
    assert not upward, f"{path.relative_to(PACKAGE)} imports from above or beside: {upward}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_packages_are_imported_where_they_are_used(path: Path) -> None:
    at_load = {name.split(".")[0] for name in imports_at_load(ast.parse(path.read_text()))}
    banned = set(OPTIONAL)
    if room_of(path) == "report":
        banned -= {"altair", "pandas"}
    if room_of(path) == "ui":
        banned -= {"streamlit", "altair", "pandas"}
    if room_of(path) not in WITH_TORCH:
        banned |= {"torch", "transformers"}
    assert not at_load & banned


def test_the_top_of_the_package_is_seen_in_ten_seconds() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 8


def test_no_two_modules_share_a_name() -> None:
    names = [path.stem for path in modules() if not path.stem.startswith("__")]
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
