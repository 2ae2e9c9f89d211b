"""What a page and its links say a result is of."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from unittest.mock import create_autospec
from urllib.parse import parse_qs, urlsplit

import pytest
from streamlit.testing.v1 import AppTest
from test_app import cheapest, metric, open_page, run_to_end, subheaders

from memorymark.cli import main
from memorymark.service.history import RunHistory
from memorymark.ui.setup import setup_fields

APP = Path(__file__).parents[2] / "streamlit_app.py"


@pytest.fixture
def compared(app):
    """A comparison of three GPUs with a plan of its own, made by the command line."""
    line = "compare bert --gpus t4,l4,a10 --dataset-size 5000000 --epochs 3 --runs-per-year 2"
    assert main([*shlex.split(line), "--seq-len", "512"]) == 0
    return RunHistory().list()[0].run_id


def visit(link: str) -> AppTest:
    """Open a link as somebody else: in a session of its own."""
    app = AppTest.from_file(str(APP), default_timeout=30)
    app.query_params.update({name: values[0] for name, values in queried(link).items()})
    return app.run()


def queried(link: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(link).query, keep_blank_values=True)


def link_of(app: AppTest) -> str:
    return next(code.value for code in app.code if "?run=" in code.value)


def command_of(app: AppTest) -> str:
    return next(code.value for code in app.code if code.value.startswith("memorymark "))


def plan_of(app: AppTest) -> list[float | None]:
    names = ("dataset_size", "epochs", "runs_per_year")
    return [app.number_input(key=f"side_{name}").value for name in names]


def test_a_shared_comparison_opens_as_its_own_request(app, compared):
    other = visit(f"/?run={compared}")
    assert not other.exception
    assert plan_of(other) == [5_000_000, 3, 2]
    phrase = "bert · fp32 · 512 tokens · adamw · 5,000,000 samples · 3 epochs · 2 runs per year"
    assert phrase in [line.value for line in other.markdown]
    assert "--dataset-size 5000000 --epochs 3 --runs-per-year 2" in command_of(other)
    assert queried(link_of(other)) == {"run": [compared]}


def test_what_was_changed_is_in_the_link_and_in_the_command(app, compared):
    page = visit(f"/?run={compared}")
    page.number_input(key="side_epochs").set_value(7).run()
    page.session_state["edited_prices"] = {"t4": 0.125}
    page.run()
    assert cheapest(page).startswith("Cheapest: NVIDIA T4")
    assert "--epochs 7" in command_of(page) and "--prices t4:0.125" in command_of(page)
    link = link_of(page)
    assert queried(link) == {"run": [compared], "epochs": ["7"], "prices": ["t4:0.125"]}
    other = visit(link)
    assert not other.exception
    assert plan_of(other) == plan_of(page) == [5_000_000, 7, 2]
    assert subheaders(other) == subheaders(page)
    assert command_of(other) == command_of(page) and link_of(other) == link


def test_the_command_gives_what_the_page_shows(app, compared, capsys):
    page = visit(f"/?run={compared}&epochs=7&prices=t4:0.125")
    capsys.readouterr()
    assert main(shlex.split(command_of(page))[1:]) == 0
    assert capsys.readouterr().out.startswith(cheapest(page).replace("\\", ""))


def test_a_field_that_was_emptied_opens_empty(app, compared):
    page = visit(f"/?run={compared}")
    page.number_input(key="side_dataset_size").set_value(None).run()
    assert plan_of(visit(link_of(page))) == [None, 3, 2]


def test_a_link_to_a_run_of_another_page_draws_no_other_page_before(app, compared, monkeypatch):
    """A browser that has part of one page when it gets the next may show neither."""
    drawn = create_autospec(setup_fields.draw_setup, side_effect=setup_fields.draw_setup)
    monkeypatch.setattr(setup_fields, "draw_setup", drawn)
    page = visit(f"/?run={compared}&epochs=7")
    assert not page.exception
    assert page.title[0].value == "Cost comparison"
    assert page.number_input(key="side_epochs").value == 7
    assert drawn.call_count == 1


def test_reset_shows_the_runs_own_values_again(app, compared):
    page = visit(f"/?run={compared}&epochs=7&prices=t4:0.125")
    assert plan_of(page) == [5_000_000, 7, 2]
    next(button for button in page.button if button.label == "Reset values").click()
    page.run()
    assert plan_of(page) == [5_000_000, 3, 2]
    assert queried(link_of(page)) == {"run": [compared]}
    assert not page.exception


def test_bad_inputs_of_a_link_are_left_out_and_said(app, compared):
    page = visit(f"/?run={compared}&epochs=many&prices=abacus:1,t4:0.125")
    assert not page.exception
    assert plan_of(page) == [5_000_000, 3, 2]
    said = " ".join(warning.value for warning in page.warning)
    assert "'many'" in said and "'abacus'" in said
    assert queried(link_of(page)) == {"run": [compared], "prices": ["t4:0.125"]}


def test_an_analysis_is_shared_with_its_batch_and_its_price(app):
    app.run()
    run_to_end(app, "Analyze")
    app.number_input(key="setup_current_batch_size").set_value(64).run()
    app.slider(key="side_price_per_hour").set_value(2.5).run()
    app.number_input(key="side_dataset_size").set_value(5_000_000).run()
    verdict, link = subheaders(app)[0], link_of(app)
    assert "At batch 64, " in verdict
    assert "--current-batch-size 64 --price 2.5 --dataset-size 5000000" in command_of(app)
    other = visit(link)
    assert not other.exception
    assert subheaders(other)[0] == verdict
    assert metric(other, "Savings per run").value == metric(app, "Savings per run").value
    assert command_of(other) == command_of(app)


def test_opening_another_run_forgets_what_was_chosen_for_the_last(app, compared):
    page = visit(f"/?run={compared}&epochs=7")
    assert main(["compare", "gpt2", "--gpus", "t4", "--epochs", "2"]) == 0
    page.query_params["run"] = RunHistory().list()[0].run_id
    del page.query_params["epochs"]
    page.run()
    assert plan_of(page)[1] == 2


def test_runs_are_listed_with_their_settings(app, compared):
    app.run()
    open_page(app, "runs")
    settings = app.dataframe[0].value["Settings"].tolist()
    plan = "5,000,000 samples · 3 epochs · 2 runs per year"
    assert settings == [f"fp32 · 512 tokens · adamw · {plan} · GPUs t4, l4, a10"]


def test_the_list_of_runs_in_a_terminal_names_settings(app, compared, capsys):
    capsys.readouterr()
    assert main(["runs"]) == 0
    out = capsys.readouterr().out
    assert "settings" in out.splitlines()[0]
    assert re.search(r"fp32 · 512 tokens · adamw · 5,000,000 samples", out)
