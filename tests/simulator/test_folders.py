"""The simulator's folders: none needs another but for the rules of the simulated device."""

import ast
from pathlib import Path

import pytest

import memorymark.simulator

ROOM = Path(memorymark.simulator.__file__).parent
FOLDERS = ("tensors", "cuda", "allocator", "time")


@pytest.mark.parametrize("folder", FOLDERS)
def test_folders_do_not_import_each_other(folder):
    files = sorted((ROOM / folder).glob("*.py"))
    imported = {
        node.module.split(".")[2]
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("memorymark.sim")
        if node.module.count(".") > 1
    }
    assert len(files) > 1
    assert imported & set(FOLDERS) <= {folder}
