"""The list of runs: what is ticked is what is opened and deleted, whatever is saved meanwhile."""

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from damaged_histories import DAMAGES, ODD, ODD_ROWS, execute, make_odd, newer

from memorymark.records.request import Request, RequestKind
from memorymark.service import history_file
from memorymark.service.execute import execute as execute_request
from memorymark.service.history import RunHistory, RunStatus
from memorymark.service.history_file import HistoryFile
from memorymark.settings import load_settings
from memorymark.ui.engine import app_service

ROOT = Path(__file__).parents[3]


def save(model):
    return RunHistory().save("analysis", {"model_name": model}, request={"model": model})


def open_runs(app):
    app.run()
    app.switch_page("pages/runs.py").run()


def tick(app, *run_ids):
    """Tick rows as a browser does: by their numbers in the list that it shows."""
    shown = list(app.dataframe[0].value["Run"])
    rows = [shown.index(run_id) for run_id in run_ids]
    app.session_state[app.dataframe[0].key] = {
        "selection": {"rows": rows, "columns": [], "cells": []}
    }


def press(app, label):
    next(button for button in app.button if button.label.startswith(label)).click()
    app.run()
    assert not app.exception


def listed():
    return {run.model for run in RunHistory().list()}


def ask_and_delete(app):
    press(app, "Delete selected")
    press(app, "Delete")


def ticked(app):
    return next((b.label for b in app.button if b.label.startswith("Delete selected")), None)


def test_a_run_without_a_result_says_what_it_was_asked_to_be_on(app):
    history, ended = RunHistory(), (RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.QUEUED)
    asked = ({"gpu": "t4"}, {"device": "cpu"}, {"gpu": "no-such"}, {})
    for number, target in enumerate(asked):
        for status in ended:
            request = {"kind": "analysis", "model": "bert", **target}
            history.begin(f"{number}-{status}", "analysis", request)
            history.finish(f"{number}-{status}", status, error="It ended.")
    history.begin("compared", "comparison", {"kind": "comparison", "model": "bert"})
    open_runs(app)
    assert not app.exception
    shown = app.dataframe[0].value
    said = shown["Device"].fillna("unknown")
    devices = dict(zip(shown["Run"], said, strict=True))
    for number, said in enumerate(("NVIDIA T4", "cpu", "no-such", "unknown")):
        for status in ended:
            assert devices[f"{number}-{status}"] == said, devices
    assert devices["compared"] == "several GPUs"
    assert [run.run_id for run in history.find(text="nvidia t4")] == [
        f"0-{status}" for status in reversed(ended)
    ]


def test_an_older_row_without_a_device_says_it_too(app):
    run_id = save("bert")
    row = "status = 'failed', record = NULL, device = NULL, request = ?"
    with closing(sqlite3.connect(RunHistory().path)) as connection, connection:
        connection.execute(
            f"UPDATE runs SET {row} WHERE run_id = ?", (json.dumps({"gpu": "l4"}), run_id)
        )
    open_runs(app)
    assert list(app.dataframe[0].value["Device"]) == ["NVIDIA L4"]


def test_what_is_said_of_selecting_follows_what_is_selected(app):
    ids = [save("bert"), save("gpt2"), save("resnet")]
    open_runs(app)

    def said():
        return [caption.value for caption in app.caption if "elect" in caption.value]

    assert said() == ["Select one run to open it, or two and more to compare them."]
    for number, expected in ((1, ["Select another run to compare it with this one."]), (2, [])):
        tick(app, *ids[:number])
        app.run()
        assert said() == expected


def test_a_run_saved_between_tick_and_press_shifts_nothing(app):
    mine = save("mine")
    open_runs(app)
    tick(app, mine)
    app.run()
    save("somebody-else")
    ask_and_delete(app)
    assert listed() == {"somebody-else"}


def test_a_run_saved_before_the_tick_arrives_shifts_nothing(app):
    """The browser still shows the older list when its tick is sent."""
    mine = save("mine")
    open_runs(app)
    tick(app, mine)
    save("somebody-else")
    app.run()
    assert ticked(app) == "Delete selected (1)…"
    ask_and_delete(app)
    assert listed() == {"somebody-else"}


def test_a_run_saved_while_it_is_asked_shifts_nothing(app):
    mine, _ = save("mine"), save("other")
    open_runs(app)
    tick(app, mine)
    app.run()
    press(app, "Delete selected")
    assert f"{mine}  analysis of mine" in app.code[0].value
    save("somebody-else")
    press(app, "Delete")
    assert listed() == {"other", "somebody-else"}


def test_ticks_stay_with_their_runs_where_the_list_changes(app):
    first, second = save("first"), save("second")
    open_runs(app)
    tick(app, first, second)
    app.run()
    RunHistory().delete(second)
    save("new")
    app.run()
    assert ticked(app) == "Delete selected (1)…"
    ask_and_delete(app)
    assert listed() == {"new"}


def test_deleting_is_asked_and_may_be_thought_over(app):
    mine = save("mine")
    open_runs(app)
    tick(app, mine)
    app.run()
    press(app, "Delete selected")
    assert any("Delete 1 run?" in said.value for said in app.markdown)
    press(app, "Keep")
    assert listed() == {"mine"}
    assert not any(button.label == "Delete" for button in app.button)


def test_after_deleting_nothing_is_ticked_and_it_can_be_undone(app):
    first, _ = save("first"), save("second")
    open_runs(app)
    tick(app, first)
    app.run()
    ask_and_delete(app)
    assert listed() == {"second"} and ticked(app) is None
    press(app, "Undo")
    assert listed() == {"first", "second"} and ticked(app) is None
    assert not any(button.label == "Undo" for button in app.button)


def test_a_deleted_run_is_brought_back_later_and_by_others(app):
    run_id = save("mine")
    RunHistory().delete(run_id)
    open_runs(app)
    assert "Deleted runs (1)" in [expander.label for expander in app.expander]
    app.multiselect(key="runs_deleted").set_value([run_id]).run()
    press(app, "Bring back")
    assert listed() == {"mine"}


def test_a_link_to_a_deleted_run_says_until_when_it_can_be_brought_back(app):
    run_id = save("mine")
    RunHistory().delete(run_id)
    app.query_params["run"] = run_id
    app.run()
    assert not app.exception
    assert "brings it back until" in app.warning[0].value


def test_one_that_somebody_deleted_meanwhile_holds_up_no_other(app):
    first, second = save("first"), save("second")
    open_runs(app)
    tick(app, first, second)
    app.run()
    press(app, "Delete selected")
    RunHistory().delete(first)
    press(app, "Delete")
    assert listed() == set()
    assert "was deleted on" in app.error[0].value
    press(app, "Undo")
    assert listed() == {"second"}


def test_who_may_not_delete_is_told_and_deletes_nothing(app, monkeypatch):
    monkeypatch.setenv("MEMORYMARK_RUN_KEY", "secret")
    mine = save("mine")
    open_runs(app)
    tick(app, mine)
    app.run()
    ask_and_delete(app)
    assert listed() == {"mine"}
    assert "run key" in app.error[0].value


# ---- a history that cannot be used -----------------------------------------------------------


@pytest.mark.parametrize("damage", [*DAMAGES, "newer"])
def test_every_page_says_what_is_wrong_and_work_goes_on(app, tmp_path, damage):
    {**DAMAGES, "newer": newer}[damage](tmp_path / "runs.sqlite3")
    app.run()
    assert "New runs are kept in memory only" in said(app)
    press(app, "Analyze")
    wait_for_jobs(app)
    assert "1 run is kept in memory only" in said(app)
    assert any(metric.label == "Largest batch that fits" for metric in app.metric)
    for page in ("backward_validation", "cost_comparison", "runs"):
        app.query_params.clear()
        app.switch_page(f"pages/{page}.py").run()
        assert not app.exception
        assert "cannot be" in said(app) and ("--move-aside" in said(app) or damage == "newer")
    assert "bert" in list(app.dataframe[0].value["Model"])


def test_every_page_opens_in_a_read_only_home(app, monkeypatch):
    """SQLite itself refuses to write here; what the rights say is told to it."""
    connect = HistoryFile._connect
    save("mine")
    monkeypatch.setattr(HistoryFile, "_connect", lambda file, mode: connect(file, "ro"))
    monkeypatch.setattr(history_file.os, "access", lambda *given, **how: False)
    app.run()
    press(app, "Analyze")
    wait_for_jobs(app)
    assert any(metric.label == "Largest batch that fits" for metric in app.metric)
    for page in ("backward_validation", "cost_comparison", "runs"):
        app.switch_page(f"pages/{page}.py").run()
        assert not app.exception
        assert "read-only" in said(app)
    assert list(app.dataframe[0].value["Model"]) == ["bert", "mine"]
    tick(app, app.dataframe[0].value["Run"][1])
    app.run()
    ask_and_delete(app)
    assert "right to write" in app.error[0].value
    assert listed() == {"mine"}


def test_a_damaged_history_in_the_middle_of_a_visit_is_said(app, tmp_path):
    save("mine")
    open_runs(app)
    (tmp_path / "runs.sqlite3").write_bytes(b"garbage " * 1000)
    app.run()
    assert not app.exception and "damaged" in said(app) and not app.info
    (tmp_path / "runs.sqlite3").unlink()
    app.run()
    assert not app.exception and not app.warning


def test_odd_rows_break_no_page(app, tmp_path):
    for number, change in enumerate(ODD_ROWS.values()):
        make_odd(tmp_path / "runs.sqlite3", change)
        execute(
            tmp_path / "runs.sqlite3",
            f"UPDATE runs SET run_id = 'r{number}' WHERE run_id = '{ODD}'",
        )
    open_runs(app)
    assert not app.exception
    shown = set(app.dataframe[0].value["Run"])
    assert {f"r{number}" for number in range(len(ODD_ROWS))} <= shown
    for number, name in enumerate(ODD_ROWS):
        app.query_params["run"] = f"r{number}"
        app.switch_page("pages/analysis.py").run()
        assert not app.exception, name


@pytest.mark.parametrize("run_id", ["x" * 10_000, "a\0b", "%00", "'; DROP TABLE a", "a,b"])
def test_a_link_of_any_text_breaks_no_page(app, run_id):
    app.query_params["run"] = run_id
    app.run()
    assert not app.exception
    assert "There is no run" in app.warning[0].value and len(app.warning[0].value) < 500


def test_odd_searches_find_nothing(app):
    save("mine")
    open_runs(app)
    for text in ("%", "_", "\0", "' OR 1=1 --", "x" * 5000):
        app.text_input(key="runs_find").set_value(text).run()
        assert not app.exception
        assert "No run matches" in app.info[0].value


def said(app):
    return app.warning[0].value if app.warning else ""


def wait_for_jobs(app):
    end = time.monotonic() + 20
    while app_service().jobs.active():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)
    app.run()
    assert not app.exception


@pytest.mark.parametrize(
    ("kind", "rows", "key"),
    [("analysis", "trials", "batch_size"), ("comparison", "gpus", "usd_per_hour")],
)
def test_a_number_that_no_table_holds_breaks_no_page(app, kind, rows, key):
    request = Request(RequestKind(kind), "bert", gpu="a10" if kind == "analysis" else None)
    record = execute_request(request, settings=load_settings()).to_dict()
    record[rows][0][key] = 10**30
    app.query_params["run"] = RunHistory().save(kind, {**record, "run_id": None})
    app.run()
    if kind == "comparison":
        app.switch_page("pages/cost_comparison.py").run()
    assert not app.exception
    assert any("beyond 64 bits" in error.value for error in app.error)
