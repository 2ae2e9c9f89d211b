"""Tables hold numbers: units stand in the head, and what is unknown is no text."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from memorymark.ui import columns
from memorymark.units import GIB

ROOT = Path(__file__).parents[2]
VIEWS = [*(ROOT / "memorymark" / "ui").rglob("*.py"), *(ROOT / "pages").glob("*.py")]
RATES = [99.8, 95.0, 698.0, None, 636.0]


def config(column, cells=RATES):
    return columns.column_config([column], [{column.title: cell} for cell in cells])[column.title]


def test_a_band_stands_beside_its_figure_where_there_is_one():
    time = columns.figure("Time (s)", lambda item: item)
    shown = columns.with_band(time, lambda item: item and (item / 2, item * 2))
    cells = columns.cells_of(shown, [4.0, None])
    assert cells[0] == {"Time (s)": 4.0, "Time, at least (s)": 2.0, "Time, at most (s)": 8.0}
    assert list(cells[1].values()) == [None, None, None]
    assert columns.cells_of(columns.with_band(time, lambda item: None), [4.0]) == [
        {"Time (s)": 4.0}
    ]


def test_cells_are_numbers_and_the_unknown_is_none():
    shown = [
        columns.figure("Samples/s", lambda item: item),
        columns.memory("Peak", lambda item: None if item is None else int(item) * GIB),
        columns.share("Share", lambda item: None if item is None else item / 100),
    ]
    cells = columns.cells_of(shown, RATES)
    assert [row["Samples/s"] for row in cells] == RATES
    assert [row["Peak (GiB)"] for row in cells] == [99, 95, 698, None, 636]
    assert cells[2]["Share (%)"] == pytest.approx(698)
    assert all(isinstance(cell, int | float | None) for row in cells for cell in row.values())


@pytest.mark.parametrize(
    ("cells", "form"),
    [
        (RATES, "%,.1f"),
        ([636.0, 12_345.0], "%,.0f"),
        ([0.0123, 5.0], "%,.4f"),
        ([None, 0.0], "%,.0f"),
        ([], "%,.0f"),
    ],
)
def test_figures_have_three_digits_of_the_smallest_one(cells, form):
    shown = config(columns.figure("Step time (s)", lambda item: item), cells)
    assert shown["type_config"]["format"] == form


def test_money_has_cents_and_less_where_a_cell_is_below_one():
    assert config(columns.money("$/run", None))["type_config"]["format"] == "$%,.2f"
    assert config(columns.money("$/run", None), [0.777])["type_config"]["format"] == "$%,.2f"
    small = config(columns.money("$/run", None), [0.0045, 2.0])
    assert small["type_config"]["format"] == "$%,.4f"


def decimals(shown, cells):
    made = columns.column_config(shown, cells)
    return {title: made[title]["type_config"]["format"] for title in cells[0]}


def test_amounts_of_one_table_have_as_many_decimals():
    shown = [
        *columns.with_band(columns.money("$/million", None), None),
        columns.money("$/year", None),
        columns.figure("Step (s)", None),
    ]
    titles = ("$/million", "$/million, at least", "$/million, at most", "$/year")
    cells = [dict(zip(titles, (0.13, 0.091, 0.19, 1.5), strict=True), **{"Step (s)": 0.5})]
    forms = decimals(shown, cells)
    assert {forms[title] for title in titles} == {"$%,.3f"}
    assert forms["Step (s)"] == "%,.3f"


def test_a_figure_and_its_band_have_as_many_decimals():
    speed = columns.with_band(columns.figure("Samples/s", None), None)
    cells = [{"Samples/s": 12.5, "Samples/s, at least": 8.25, "Samples/s, at most": 190.0}]
    assert set(decimals(speed, cells).values()) == {"%,.2f"}


def test_names_are_pinned_and_columns_without_a_value_are_left_out():
    made = [
        columns.text("GPU", lambda item: item, pinned=True),
        columns.count("Batch", lambda item: None).where_known(),
        columns.count("Largest", lambda item: None),
    ]
    cells = columns.cells_of(made, ["A10", "T4"])
    assert list(cells[0]) == ["GPU", "Largest"]
    shown = columns.column_config(made, cells)
    assert shown["GPU"]["pinned"] is True and "Batch" not in shown


def test_words_from_outside_cannot_hide_characters():
    (row,) = columns.cells_of([columns.text("Model", lambda item: item)], ["bert\u202egpj"])
    assert "\u202e" not in row["Model"]


@pytest.mark.parametrize("file", VIEWS, ids=lambda file: file.stem)
def test_every_table_of_the_app_takes_its_columns_from_here(file):
    """st.dataframe stands in one file; what is edited takes its cells and columns from it."""
    source = file.read_text()
    called = [ast.unparse(node.func) for node in ast.walk(ast.parse(source))
              if isinstance(node, ast.Call)]  # fmt: skip
    if file.name != "columns.py":
        assert not {"st.dataframe", "st.table"} & set(called)
    if "st.data_editor" in called:
        assert {"cells_of", "column_config"} <= set(called)
