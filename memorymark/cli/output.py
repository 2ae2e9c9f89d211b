"""Results on standard output: one JSON document, or text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from memorymark.cli.streams import result_stream
from memorymark.records.codec import Record
from memorymark.report.visible import visible

_WIDTH_WHERE_NOBODY_LOOKS = 240  # a file or a pipe: one row stays one line


def show(record: Record, as_json: bool, in_words: Callable[[Any], None]) -> None:
    """Print a result as one JSON document, or in words."""
    if as_json:
        print_json(record.to_dict())
    else:
        in_words(record)


def print_json(value: object) -> None:
    """Print one JSON document and nothing else."""
    document = json.dumps(value, indent=2, allow_nan=False)
    stream = result_stream()
    stream.write(document + "\n")
    stream.flush()


def as_text(text: str) -> Text:
    """Return text for a console as it is: no markup, no emoji, no escapes of a terminal in it."""
    return Text(visible(text))


def print_line(text: str, style: str | None = None) -> None:
    """Print one line as it is, however long."""
    console = Console(file=result_stream(), highlight=False)
    console.print(as_text(text), style=style, soft_wrap=True)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = ()
) -> None:
    """Print rows under column names.

    Args:
        columns: The names.
        rows: The cells, as text.
        right: Names of the columns that hold numbers.
    """
    stream = result_stream()
    wide = None if stream.isatty() else _WIDTH_WHERE_NOBODY_LOOKS
    console = Console(file=stream, highlight=False, width=wide)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in columns:
        justify = "right" if name in right else "left"
        table.add_column(name, justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*map(as_text, row))
    console.print(table)
