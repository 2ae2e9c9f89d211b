"""Tables of figures: a cell is a number, what is unknown is None, units stand in the head.

A table is a list of columns, each made by a function of this file, so that it sorts by size and
is copied and saved as numbers. Streamlit's grid takes a missing number for zero when a reader
sorts: the unknown come last in falling order, and first in rising order. Nothing can be set
there, so rows are handed over with the unknown last.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from memorymark.report.visible import visible
from memorymark.units import GIB, UNKNOWN

Value = Callable[[Any], Any]
Shown = Callable[[Sequence[Any], bool], Any]
Cells = list[dict[str, Any]]
_MOST_DIGITS = 4
_MONEY = "$"


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        title: Its head, with the unit of its figures; in a table no two are alike.
        value: Takes a cell's value from what a row is about; None where it is unknown.
        shown: Makes the column's configuration from its cells.
        pinned: It stays in sight when the table is scrolled sideways.
        optional: It is left out where no row has a value.
        kin: Columns with the same word here show as many decimals as one another.
    """

    title: str
    value: Value
    shown: Shown
    pinned: bool = False
    optional: bool = False
    kin: str | None = None

    def where_known(self) -> Column:
        """Return the column as one that is left out where no row has a value."""
        return replace(self, optional=True)


def text(
    title: str,
    value: Value,
    *,
    pinned: bool = False,
    width: str | int | None = None,
    help: str | None = None,
) -> Column:
    """Make a column of words; unknown is a dash, no words are none.

    Args:
        title: Its head.
        value: Takes the words from what a row is about.
        pinned: It stays in sight when the table is scrolled sideways.
        width: small, medium, large or pixels; None is as wide as its words.
        help: What its head says more.
    """

    def shown(cells: Sequence[Any], pinned: bool) -> Any:
        return st.column_config.TextColumn(pinned=pinned, width=width, help=help)

    return Column(title, _shown_text(value), shown, pinned)


def count(title: str, value: Value, *, pinned: bool = False) -> Column:
    """Make a column of whole numbers."""
    return Column(title, value, _numbers("%,d"), pinned)


def memory(title: str, value: Value) -> Column:
    """Make a column of GiB from bytes; its head says "(GiB)"."""
    return Column(f"{title} (GiB)", _in_gib(value), _numbers("%,.2f"))


def figure(title: str, value: Value, *, help: str | None = None) -> Column:
    """Make a column of numbers of any size, with three figures of the smallest."""
    return Column(title, value, _measured_numbers("", help=help))


def money(title: str, value: Value, *, help: str | None = None) -> Column:
    """Make a column of dollars: cents, and two figures of the smallest where that is less.

    All of them in a table have as many decimals: $0.091 beside $0.13 would read as more exact.
    """
    shown = _measured_numbers("$", figures=2, least=2, help=help)
    return Column(title, value, shown, kin=_MONEY)


def with_band(column: Column, band: Value) -> tuple[Column, Column, Column]:
    """Put the least and the most that is likely beside a column of estimates, where known.

    Args:
        column: The estimates.
        band: Takes the two ends from what a row is about, as a pair; None where there is none.
    """
    name, bracket, unit = column.title.partition(" (")
    column = replace(column, kin=column.kin or column.title)

    def end(number: int, word: str) -> Column:
        def value(item: Any) -> Any:
            ends = band(item)
            return None if ends is None else ends[number]

        title = f"{name}, {word}{bracket}{unit}"
        return replace(column, title=title, value=value, pinned=False, optional=True)

    return column, end(0, "at least"), end(1, "at most")


def share(title: str, value: Value) -> Column:
    """Make a column of shares from 0 to 1 and above: bars with percentages, where all are known."""
    return Column(f"{title} (%)", _in_percent(value), _share_column)


def moment(title: str, value: Value) -> Column:
    """Make a column of dates with times."""
    return Column(title, value, _moment_column)


def editable_money(title: str, value: Value, least: float, most: float) -> Column:
    """Make a column of dollars that can be edited in a table that is drawn as an editor."""

    def shown(cells: Sequence[Any], pinned: bool) -> Any:
        return st.column_config.NumberColumn(
            format="$%,.2f", min_value=least, max_value=most, pinned=pinned
        )

    return Column(title, value, shown)


def cells_of(columns: Sequence[Column], items: Iterable[Any]) -> Cells:
    """Return a row of cells by heads for each item; optional columns only where they tell."""
    rows = [{column.title: column.value(item) for column in columns} for item in items]
    return [{column.title: row[column.title] for column in _kept(columns, rows)} for row in rows]


def column_config(columns: Sequence[Column], cells: Cells) -> dict[str, Any]:
    """Return how Streamlit shows the columns of these cells."""
    kept = _kept(columns, cells)

    def cells_like(column: Column) -> list[Any]:
        kin = [other for other in kept if other.kin == column.kin] if column.kin else [column]
        return [row[other.title] for other in kin for row in cells]

    return {column.title: column.shown(cells_like(column), column.pinned) for column in kept}


def draw_table(columns: Sequence[Column], items: Iterable[Any], alt: str, **how: Any) -> Any:
    """Draw a table over the full width and return what st.dataframe returns.

    Args:
        columns: Its columns, from left to right.
        items: What its rows are about, the unknown last.
        alt: What the table holds, for those who do not see it.
        how: Further arguments of st.dataframe.
    """
    cells = cells_of(columns, items)
    return st.dataframe(
        cells,
        width="stretch",
        hide_index=True,
        placeholder=UNKNOWN,
        column_config=column_config(columns, cells),
        alt=alt,
        **how,
    )


def _kept(columns: Sequence[Column], cells: Cells) -> list[Column]:
    return [
        column
        for column in columns
        if not column.optional or any(row.get(column.title) is not None for row in cells)
    ]


def _shown_text(value: Value) -> Value:
    def shown(item: Any) -> str | None:
        said = value(item)
        return None if said is None else visible(str(said))

    return shown


def _in_gib(value: Value) -> Value:
    return lambda item: None if (size := value(item)) is None else size / GIB


def _in_percent(value: Value) -> Value:
    return lambda item: None if (part := value(item)) is None else part * 100


def _moment_column(cells: Sequence[Any], pinned: bool) -> Any:
    return st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm", pinned=pinned)


def _share_column(cells: Sequence[Any], pinned: bool) -> Any:
    if None in cells:  # an empty bar would read as nothing, not as unknown
        return _numbers("%.1f %%")(cells, pinned)
    return st.column_config.ProgressColumn(
        format="%.1f %%", min_value=0.0, max_value=100.0, pinned=pinned
    )


def _numbers(form: str) -> Shown:
    return lambda cells, pinned: st.column_config.NumberColumn(format=form, pinned=pinned)


def _measured_numbers(
    sign: str, figures: int = 3, least: int = 0, help: str | None = None
) -> Shown:
    def shown(cells: Sequence[Any], pinned: bool) -> Any:
        form = f"{sign}%,.{max(least, digits(cells, figures))}f"
        return st.column_config.NumberColumn(format=form, pinned=pinned, help=help)

    return shown


def digits(cells: Iterable[float | None], figures: int = 3) -> int:
    """Return how many decimals show so many figures of the smallest cell, at most four.

    Example:
        >>> digits([0.5, 698.0, None]), digits([99.8, 698.0]), digits([636, 698])
        (3, 1, 0)
    """
    sizes = [abs(cell) for cell in cells if cell]
    if not sizes:
        return 0
    return min(max(figures - 1 - math.floor(math.log10(min(sizes))), 0), _MOST_DIGITS)
