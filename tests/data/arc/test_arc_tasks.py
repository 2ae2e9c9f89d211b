"""Folders of ARC tasks: read as published, and what is wrong is named with file and place."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memorymark.data.arc.arc_tasks import load_tasks
from memorymark.errors import InvalidRecord, InvalidValue

UNHURRIED = settings(deadline=None)

SHARED = Path(__file__).resolve().parents[4] / "shared" / "arc"
GOOD = {
    "train": [{"input": [[0, 1], [2, 3]], "output": [[3, 2]]}],
    "test": [{"input": [[9]], "output": [[0]]}],
}


def written(folder, values, name="a.json"):
    content = values if isinstance(values, bytes) else json.dumps(values).encode()
    (folder / name).write_bytes(content)
    return folder


def changed(place, value):
    """The good task with one value changed, by the path of its keys."""
    values = json.loads(json.dumps(GOOD))
    *path, last = place
    holder = values
    for key in path:
        holder = holder[key]
    holder[last] = value
    return values


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path):
    for name in ("b.json", "a.json", "c.json", "notes.txt"):
        written(tmp_path, GOOD, name)
    loaded = load_tasks(tmp_path)
    assert [task.name for task in loaded.tasks] == ["a", "b", "c"]
    assert loaded.read_bytes == 3 * len(json.dumps(GOOD))
    assert loaded.seconds > 0 and loaded.tasks_per_second == 3 / loaded.seconds
    example = loaded.tasks[0].train[0]
    assert example.input.tolist() == [[0, 1], [2, 3]] and example.output.tolist() == [[3, 2]]
    assert example.input.dtype == np.uint8 and not example.input.flags.writeable
    assert [task.name for task in load_tasks(tmp_path, most=2).tasks] == ["a", "b"]
    assert load_tasks(tmp_path / "b.json").tasks[0].name == "b"


IN = ("train", 0, "input")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (changed(IN, [[1, 2], [3]]), r"train\[0\].input\[1\]: the row has 1 cells and the first"),
        (changed(IN, [[1, 12]]), r"train\[0\].input\[0\]\[1\]: the colour is 12; accepted: a"),
        (changed(IN, [[1, 300]]), r"\[0\]\[1\]: the colour is 300"),
        (changed(IN, [[-1, 3]]), r"\[0\]\[0\]: the colour is -1"),
        (changed(IN, [[1, 2.0]]), r"\[0\]\[1\]: the colour is 2.0"),
        (changed(IN, [[True]]), r"\[0\]\[0\]: the colour is True"),
        (changed(IN, [["1"]]), r"\[0\]\[0\]: the colour is '1'"),
        (changed(IN, [[None]]), r"\[0\]\[0\]: the colour is None"),
        (changed(IN, [[[1]]]), r"\[0\]\[0\]: the colour is \[1\]"),
        (changed(IN, [3, 3]), r"train\[0\].input: this is not a list of rows"),
        (changed(IN, []), r"train\[0\].input: this is not a list of rows"),
        (changed(IN, [[], []]), r"has 2 × 0 cells; accepted: 1 to 30 each way"),
        (changed(IN, [[1] * 31]), r"has 1 × 31 cells"),
        (changed(IN, [[1]] * 31), r"has 31 × 1 cells"),
        (changed(IN, {"0": [1]}), r"not a list of rows"),
        (changed(("test",), []), r"test: this is not a list of examples; accepted: \{\"train\""),
        (changed(("test", 0), 7), r"test\[0\]: 'input' is missing"),
        (changed(("test", 0), {"input": [[1]]}), r"test\[0\]: 'output' is missing"),
        ({"train": GOOD["train"]}, r"'test' is missing"),
        ([], r"'train' is missing"),
        (b"", r"not JSON"),
        (b"\xff\x00\x01", r"not JSON"),
        (b'{"train": [', r"not JSON"),
        (b"[" * 100_000, r"not JSON"),
    ],
)  # fmt: skip
def test_what_is_no_task_is_named_with_file_and_place(tmp_path, values, said):
    written(tmp_path, GOOD, "a.json")
    written(tmp_path, values, "b.json")
    with pytest.raises(InvalidRecord, match=said) as error:
        load_tasks(tmp_path)
    assert str(tmp_path / "b.json") in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["nowhere", "empty", "a\0b"])
def test_a_folder_without_tasks_is_refused(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidValue, match="a folder of ARC tasks, one JSON file each"):
        load_tasks(f"{tmp_path}/{name}")


def test_a_folder_with_the_name_of_a_task_is_no_task(tmp_path):
    (tmp_path / "a.json").mkdir()
    with pytest.raises(InvalidRecord, match="cannot be read"):
        load_tasks(tmp_path)


CELLS = st.one_of(st.integers(-2, 12), st.none(), st.booleans(), st.floats(), st.text(max_size=2))
GRIDS = st.lists(st.lists(CELLS, max_size=3) | CELLS, max_size=3)


@given(grid=GRIDS)
@UNHURRIED
def test_a_grid_is_taken_as_it_is_or_refused(tmp_path_factory, grid):
    folder = tmp_path_factory.mktemp("task")
    written(folder, changed(IN, grid))
    try:
        found = load_tasks(folder).tasks[0].train[0].input
    except InvalidRecord:
        return
    assert found.tolist() == grid
    assert all(type(cell) is int for row in grid for cell in row)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the published tasks are not here")
def test_the_published_tasks_are_read():
    loaded = load_tasks(SHARED)
    assert len(loaded.tasks) == 57 and loaded.tasks_per_second > 10
    assert {len(task.test) for task in loaded.tasks} == {1, 2}
