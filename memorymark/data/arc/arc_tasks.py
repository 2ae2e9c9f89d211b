"""ARC tasks as published: a folder of JSON files, each read and checked.

{"train": [{"input": grid, "output": grid}, …], "test": [the same]}; a grid is a list of rows of
colours from 0 to 9, from 1 × 1 to 30 × 30 (Chollet 2019, arXiv 1911.01547).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from memorymark.errors import InvalidRecord, InvalidValue, quoted

COLOURS = 10
LONGEST_SIDE = 30
Grid = np.ndarray
"""Colours, (rows, columns), uint8, not to be written to."""

_ACCEPTED = 'accepted: {"train": [{"input": grid, "output": grid}, …], "test": [the same]}'
_SIDES = f"1 to {LONGEST_SIDE}"


@dataclass(frozen=True, eq=False)
class Example:
    """A grid and what becomes of it.

    Attributes:
        input: The grid before.
        output: The grid after.
    """

    input: Grid
    output: Grid


@dataclass(frozen=True, eq=False)
class Task:
    """One task: what is shown, and what is asked.

    Attributes:
        name: Name of its file, without the ending.
        train: The examples that are shown.
        test: What is asked, with the answers.
    """

    name: str
    train: tuple[Example, ...]
    test: tuple[Example, ...]


@dataclass(frozen=True, eq=False)
class ArcTasks:
    """Tasks that were loaded, and how long that took.

    Attributes:
        tasks: The tasks, in the order of their names.
        seconds: Wall-clock seconds of listing the folder and of reading, parsing and checking
            each of its files, every cell of every grid included.
        read_bytes: Bytes of the files.
    """

    tasks: tuple[Task, ...]
    seconds: float
    read_bytes: int

    @property
    def tasks_per_second(self) -> float:
        """Tasks that were read, parsed and checked in a second, one after the other."""
        return len(self.tasks) / self.seconds


def load_tasks(path: str | Path, most: int | None = None) -> ArcTasks:
    """Read the tasks of a folder, or of one file.

    Args:
        path: The folder, whose files that end in .json are read, or one file.
        most: Read no more than so many, the first by name; None reads all.

    Raises:
        InvalidValue: There is no such folder, or no task in it.
        InvalidRecord: A file is no task; names the file and the place in it.
    """
    began, total, tasks = time.perf_counter(), 0, []
    for file in _files(Path(path).expanduser())[:most]:
        content = _content(file)
        total += len(content)
        tasks.append(_task(file, content))
    return ArcTasks(tuple(tasks), max(time.perf_counter() - began, 1e-9), total)


def _files(path: Path) -> list[Path]:
    accepted = "a folder of ARC tasks, one JSON file each"
    try:
        if path.is_file():
            return [path]
        names = sorted(each.name for each in os.scandir(path) if each.name.endswith(".json"))
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidValue("data", str(path), f"{accepted} ({reason})") from error
    if not names:
        raise InvalidValue("data", str(path), f"{accepted}; this one has no file *.json")
    return [path / name for name in names]


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidRecord("ARC task", f"{file} cannot be read: {error.strerror}") from error


def _task(file: Path, content: bytes) -> Task:
    try:
        values = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise _invalid(file, "", f"not JSON: {error}") from error
    try:
        return Task(file.stem, *(_examples(values, part) for part in ("train", "test")))
    except _Wrong as wrong:
        raise _invalid(file, wrong.place, wrong.reason) from None


class _Wrong(Exception):
    """What is wrong in a document, and where."""

    def __init__(self, place: str, reason: str) -> None:
        self.place, self.reason = place, reason


def _invalid(file: Path, place: str, reason: str) -> InvalidRecord:
    return InvalidRecord("ARC task", f"{file}: {place}{': ' if place else ''}{reason}")


def _examples(values: Any, part: str) -> tuple[Example, ...]:
    found = _value(values, part, "")
    if type(found) is not list or not found:
        raise _Wrong(part, f"this is not a list of examples; {_ACCEPTED}")
    return tuple(
        Example(*(_grid(_value(each, key, place), f"{place}.{key}") for key in ("input", "output")))
        for place, each in _numbered(part, found)
    )


def _numbered(part: str, found: list[Any]) -> Iterator[tuple[str, Any]]:
    return ((f"{part}[{index}]", each) for index, each in enumerate(found))


def _value(values: Any, key: str, place: str) -> Any:
    if type(values) is not dict or key not in values:
        raise _Wrong(place, f"{quoted(key)} is missing; {_ACCEPTED}")
    return values[key]


def _grid(rows: Any, place: str) -> Grid:
    """Return a grid, checked cell by cell, in calls that Python runs without a loop of its own."""
    if type(rows) is not list or not rows or set(map(type, rows)) != {list}:
        raise _Wrong(place, "this is not a list of rows of colours")
    widths, height = set(map(len, rows)), len(rows)
    if len(widths) > 1:
        raise _ragged(rows, place)
    width = widths.pop()
    if not (1 <= height <= LONGEST_SIDE and 1 <= width <= LONGEST_SIDE):
        raise _Wrong(place, f"the grid has {height} × {width} cells; accepted: {_SIDES} each way")
    if set(map(type, chain.from_iterable(rows))) != {int}:
        raise _first_wrong(rows, place)
    try:
        cells = np.frombuffer(b"".join(map(bytes, rows)), dtype=np.uint8)
    except ValueError:  # below 0 or above 255
        raise _first_wrong(rows, place) from None
    if cells.max() >= COLOURS:
        raise _first_wrong(rows, place)
    return cells.reshape(height, width)


def _ragged(rows: list[list[Any]], place: str) -> _Wrong:
    row = next(index for index, each in enumerate(rows) if len(each) != len(rows[0]))
    return _Wrong(
        f"{place}[{row}]",
        f"the row has {len(rows[row])} cells and the first one {len(rows[0])}; accepted: rows of "
        "one length",
    )


def _first_wrong(rows: list[list[Any]], place: str) -> _Wrong:
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            if type(cell) is not int or not 0 <= cell < COLOURS:
                where = f"{place}[{row}][{column}]"
                words = f"the colour is {quoted(cell)}; accepted: a whole number from 0 to 9"
                return _Wrong(where, words)
    raise AssertionError("a wrong cell was seen before")
