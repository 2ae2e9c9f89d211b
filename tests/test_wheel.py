"""The built wheel, installed: commands and app run from an empty folder without the checkout."""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
from app_server import ROOT, browser, served

import memorymark

pytestmark = pytest.mark.browser
PAGES = {
    "": "Analysis",
    "backward_validation": "Backward-pass validation",
    "levers": "Levers",
    "cost_comparison": "Cost comparison",
    "sessions": "Sessions",
    "generate": "Generate",
    "training": "Training",
    "runs": "Runs",
}
WAIT = 30_000
# Ends a program that opens one of the checkout's own files: the wheel must bring its own.
GUARD = """
import os, sys
OWN = tuple({own!r})
def refuse(event, arguments):
    if event == "open" and str(arguments[0]).startswith(OWN):
        os.write(2, f"the checkout was opened: {{arguments[0]}}\\n".encode())
        os._exit(99)
sys.addaudithook(refuse)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the wheel, and borrows what the wheel needs."""
    home = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    programs = home / ("Scripts" if os.name == "nt" else "bin")
    pip("--python", next(programs.glob("python*")), "install", "--no-deps", "--no-index", wheel)
    packages = next(home.rglob("site-packages"))
    # Paths of a .pth are searched for packages, not for further .pth files, so that an editable
    # installation of MemoryMark does not come along.
    lines = [*site.getsitepackages(), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    lines = [line for line in lines if line and Path(line).resolve() != ROOT]
    (packages / "borrowed.pth").write_text("\n".join([*lines, "import checkout_guard\n"]))
    own = [f"{ROOT}{os.sep}{name}" for name in ("memorymark", "pages", "streamlit_app", "tests")]
    own += [f"{ROOT}{os.sep}.streamlit"]
    (packages / "checkout_guard.py").write_text(GUARD.format(own=own))
    return programs


@pytest.fixture
def surroundings(tmp_path: Path) -> dict:
    """An empty folder to work in and a home of its own, as subprocess takes them."""
    home, empty = tmp_path / "home", tmp_path / "empty"
    home.mkdir()
    empty.mkdir()
    dropped = ("PYTHON", "MEMORYMARK_", "STREAMLIT_", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    kept |= {"HOME": str(home), "MEMORYMARK_HOME": str(home / "memorymark")}
    return {"cwd": empty, "env": kept}


def pip(*words: object) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def output(program: Path, words: str, surroundings: dict) -> str:
    done = subprocess.run([program, *words.split()], capture_output=True, text=True, **surroundings)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_wheel_holds_the_app_and_nothing_of_the_tests(wheel: Path) -> None:
    names = set(ZipFile(wheel).namelist())
    assert wheel.name == f"memorymark-{memorymark.__version__}-py3-none-any.whl"
    assert {name.split("/")[0] for name in names} == {
        "memorymark",
        f"memorymark-{memorymark.__version__}.dist-info",
    }
    pages = {f"memorymark/app/pages/{path.name}" for path in (ROOT / "pages").glob("*.py")}
    assert len(pages) == len(PAGES)
    assert pages < names
    for suffix in ("py", "csv", "svg", "json"):
        files = list((ROOT / "memorymark").rglob(f"*.{suffix}"))
        assert files and {path.relative_to(ROOT).as_posix() for path in files} <= names


def test_wheel_names_its_license_and_brings_it(wheel: Path) -> None:
    archive = ZipFile(wheel)
    folder = f"memorymark-{memorymark.__version__}.dist-info"
    metadata = archive.read(f"{folder}/METADATA").decode()
    assert "License-Expression: MIT\nLicense-File: LICENSE\n" in metadata
    license = archive.read(f"{folder}/licenses/LICENSE").decode()
    assert license == (ROOT / "LICENSE").read_text()
    assert license.startswith("MIT License\n\nCopyright (c) 2026 MemoryMark contributors\n")


def test_checkout_is_out_of_the_wheels_reach(programs: Path, surroundings: dict) -> None:
    command = [programs / "python", "-c", f"open({str(ROOT / 'streamlit_app.py')!r})"]
    done = subprocess.run(command, capture_output=True, **surroundings)
    assert done.returncode == 99 and b"the checkout was opened" in done.stderr


def test_commands_of_the_wheel(programs: Path, surroundings: dict) -> None:
    program = programs / "memorymark"
    assert memorymark.__version__ in output(program, "--version", surroundings)
    assert len(json.loads(output(program, "gpus --json", surroundings))) > 10
    words = "estimate bert --batch-size 2 --seq-len 16 --gpu t4 --json"
    assert json.loads(output(program, words, surroundings))["peak_reserved_bytes"] > 0
    assert list(surroundings["cwd"].iterdir()) == []


def test_app_of_the_wheel(programs: Path, surroundings: dict, tmp_path: Path) -> None:
    command = [str(programs / "memorymark"), "app"]
    options = ("--address", "--port")
    with served(command, options, tmp_path, **surroundings) as address, browser() as chrome:
        page = chrome.new_context(color_scheme="light").new_page()
        for path, title in PAGES.items():
            page.goto(f"{address}/{path}")
            heading = page.get_by_role("heading", level=1)
            heading.wait_for(timeout=WAIT)
            assert heading.inner_text() == title
        logo = page.get_by_test_id("stSidebarLogo")
        logo.wait_for(timeout=WAIT)
        assert logo.evaluate("image => image.complete && image.naturalWidth > 0")
        background = "element => getComputedStyle(element).backgroundColor"
        assert page.get_by_test_id("stApp").evaluate(background) == "rgb(252, 252, 250)"
    assert list(surroundings["cwd"].iterdir()) == []
