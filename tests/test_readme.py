"""Every command and snippet of the README is run, against a stand-in for the engine."""

from __future__ import annotations

import ast
import os
import re
import shlex
from pathlib import Path

import pytest
from stand_in_engine import StandInEngine, install

from memorymark import __version__
from memorymark.cli import main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
PYTHON_DASH_M = (".venv/bin/python", "-m")


def fences(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """The lines of the shell fences, and what the text and the snippets name in passing."""
    lines = [line for fence in fences("sh") for line in fence.splitlines() if line.strip()]
    lines += re.findall(r"`(make [a-z][^`]*|memorymark [a-z][^`]*)`", README)
    lines += re.findall(r"(memorymark analyze mine:[^\n]*)", README)
    return [shlex.split(line) for line in lines]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> StandInEngine:
    monkeypatch.setenv("MEMORYMARK_HOME", str(tmp_path))
    monkeypatch.setattr(os, "execv", lambda path, words: None)
    monkeypatch.chdir(ROOT)
    return install(monkeypatch)


def test_readme_has_commands() -> None:
    assert len(commands()) > 15 and fences("python")


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_is_one(words: list[str], engine: StandInEngine) -> None:
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    elif words[0] == "memorymark" or words[:3] == [*PYTHON_DASH_M, "memorymark"]:
        assert main(words[words.index("memorymark") + 1 :]) == 0
    elif words[0] == "pip":  # tests/test_wheel.py builds and installs
        wheel = f"dist/memorymark-{__version__}-py3-none-any.whl"
        assert words[1] in ("install", "wheel") and words[-1] in (".", wheel)
    else:
        known = (["python3", "-m", "venv"], [*PYTHON_DASH_M, "pip"], [*PYTHON_DASH_M, "pytest"])
        assert words[:3] in known


@pytest.mark.parametrize("snippet", fences("python"), ids=lambda text: text.splitlines()[0])
def test_every_snippet_runs(snippet: str, engine: StandInEngine) -> None:
    names: dict[str, object] = {}
    exec(compile(snippet, "README.md", "exec"), names)
    if "tiny" in names:
        model, make_batch, loss = names["tiny"]()
        assert loss(model, make_batch(3)).numel() == 1
    else:
        assert engine.requests


def test_every_command_of_the_program_is_named() -> None:
    source = ast.parse((ROOT / "memorymark" / "cli" / "main.py").read_text())
    named = [
        node.func.args[0].value if node.func.args else node.args[0].attr.replace("_", "-")
        for node in ast.walk(source)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Call)
        and isinstance(node.func.func, ast.Attribute)
        and node.func.func.attr == "command"
    ]
    assert len(named) > 9
    for name in named:
        assert re.search(rf"`[^`]*\b{name}\b[^`]*`", README), f"{name} is not in the README"


def test_linked_files_exist() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
