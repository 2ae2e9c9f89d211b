import contextlib
import dataclasses
import json
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from damaged_histories import ODD, ODD_ROWS, execute, make_odd

from memorymark.errors import InvalidRecord, RunDeleted, RunNotFound
from memorymark.probes.lease import Owner
from memorymark.service.history import KEPT_DELETED_SECONDS, RunHistory, RunStatus

RECORD = {"model_name": "bert", "device": "CPU", "source": "measured", "max_batch_size": 24}


@pytest.fixture
def history(tmp_path):
    return RunHistory(tmp_path / "deep" / "runs.sqlite3")


def test_saved_record_comes_back_with_its_run_id(history):
    run_id = history.save("analysis", RECORD, request={"model": "bert"})
    run = history.open(run_id)
    assert run.record == {**RECORD, "run_id": run_id}
    assert (run.status, run.model, run.device, run.source) == (
        RunStatus.DONE,
        "bert",
        "CPU",
        "measured",
    )
    assert run.request == {"model": "bert"}
    assert json.loads(history.export(run_id)) == run.record


def test_list_is_newest_first_and_carries_no_records(history):
    ids = [history.save("analysis", RECORD) for _ in range(3)]
    listed = history.list()
    assert [run.run_id for run in listed] == ids[::-1]
    assert all(run.record is None for run in listed)


def test_find_by_text_kind_and_status(history):
    bert = history.save("analysis", RECORD)
    gpt2 = history.save("backward", {**RECORD, "model_name": "gpt2"})
    history.begin("aa", "analysis", {"model": "resnet"})
    assert [run.run_id for run in history.find(text="GPT2")] == [gpt2]
    assert [run.run_id for run in history.find(kinds=["backward"])] == [gpt2]
    assert [run.run_id for run in history.find(statuses=[RunStatus.QUEUED])] == ["aa"]
    assert [run.run_id for run in history.find(text=bert)] == [bert]
    assert history.find(text="100% of nothing") == []


def test_delete_takes_the_events_along(history):
    run_id = history.save("analysis", RECORD)
    history.add_event(run_id, 0, {"text": "first"})
    assert history.events(run_id) == [{"text": "first"}]
    history.delete(run_id)
    assert history.events(run_id) == []
    with pytest.raises(RunNotFound, match="no run"):
        history.open(run_id)
    with pytest.raises(RunNotFound):
        history.delete(run_id)


def test_failed_run_keeps_its_sentence(history):
    history.begin("ab", "analysis", {"model": "bert"}, owner="me")
    history.finish("ab", RunStatus.FAILED, error="The model has no weights.")
    run = history.open("ab")
    assert (run.status, run.error, run.record) == (
        RunStatus.FAILED,
        "The model has no weights.",
        None,
    )
    assert not run.status.is_active


def test_history_is_in_write_ahead_mode(history):
    history.save("analysis", RECORD)
    with sqlite3.connect(history.path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_many_threads_write_and_read_at_once(history):
    with ThreadPoolExecutor(16) as pool:
        ids = list(pool.map(lambda _: history.save("analysis", RECORD), range(64)))
    assert len(set(ids)) == 64
    assert {run.run_id for run in history.list()} == set(ids)


def test_two_processes_share_one_file(history):
    code = (
        "import sys; from pathlib import Path; from memorymark.service.history import RunHistory\n"
        "history = RunHistory(Path(sys.argv[1]))\n"
        "for _ in range(20): history.save('analysis', {'model_name': 'other'})\n"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(history.path)])
    for _ in range(20):
        history.save("analysis", RECORD)
    assert other.wait(timeout=30) == 0
    assert len(history.list()) == 40


def test_reader_does_not_wait_for_an_open_write(history):
    history.save("analysis", RECORD)
    writer = sqlite3.connect(history.path)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("DELETE FROM runs")
    seen = []
    reader = threading.Thread(target=lambda: seen.extend(history.list()))
    reader.start()
    reader.join(timeout=5)
    writer.rollback()
    writer.close()
    assert len(seen) == 1


def test_a_deleted_run_is_aside_for_a_while(history, monkeypatch):
    kept, run_id = history.save("analysis", RECORD), history.save("analysis", RECORD)
    history.add_event(run_id, 0, {"text": "first"})
    history.delete(run_id)
    assert [run.run_id for run in history.list()] == [kept]
    assert [run.run_id for run in history.deleted()] == [run_id]
    with pytest.raises(RunDeleted, match=r"was deleted on \d.*brings it back until \d"):
        history.export(run_id)
    history.undelete(run_id)
    assert history.deleted() == []
    assert history.open(run_id).record["max_batch_size"] == 24
    assert history.events(run_id) == [{"text": "first"}]


def test_a_deleted_run_is_dropped_after_a_week(history, monkeypatch):
    first, second = history.save("analysis", RECORD), history.save("analysis", RECORD)
    for run_id in (first, second):
        history.delete(run_id)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + KEPT_DELETED_SECONDS - 60)
    history.tidy()
    history.undelete(first)
    monkeypatch.setattr(time, "time", lambda: now + KEPT_DELETED_SECONDS + 60)
    assert history.deleted() == []
    history.tidy()
    with pytest.raises(RunNotFound, match="no run") as told:
        history.undelete(second)
    assert not isinstance(told.value, RunDeleted)
    assert [run.run_id for run in history.list()] == [first]


@pytest.mark.parametrize("change", ODD_ROWS.values(), ids=ODD_ROWS)
def test_an_odd_row_costs_nobody_else_anything(history, change):
    history.path.parent.mkdir(parents=True)
    whole = make_odd(history.path, change)
    listed = {run.run_id: run for run in history.list()}
    assert set(listed) == {ODD, whole}
    assert history.find(text="whole") == [listed[whole]]
    said = repr(listed[ODD])
    assert len(said) < 5000 and "nan" not in said and "inf" not in said.replace("interrupted", "")
    json.dumps(dataclasses.asdict(listed[ODD]), allow_nan=False)
    with contextlib.suppress(InvalidRecord):
        json.loads(history.export(ODD), parse_constant=pytest.fail)
    assert history.summary(ODD) == listed[ODD]
    history.tidy()
    history.delete(ODD)
    assert [run.run_id for run in history.deleted()] == [ODD]
    assert [run.run_id for run in history.list()] == [whole]


def test_an_event_of_a_run_that_is_not_there_is_left_out(history):
    history.add_event("nothere", 0, {"text": "said"})
    assert history.events("nothere") == []


def test_odd_events_are_passed_over(history):
    run_id = history.save("analysis", RECORD)
    for position in range(5):
        history.add_event(run_id, position, {"text": str(position)})
    for position, event in enumerate(["'{'", "x'ff00'", "'[1]'", "7"]):
        changed = f"UPDATE events SET event = {event} WHERE position = {position}"
        execute(history.path, changed)
    assert history.events(run_id) == [{"text": "4"}]


@pytest.mark.parametrize(
    "run_id", ["x" * 10_000, "a\0b", "%00", "\udcff", "'; DROP TABLE runs", ""]
)
def test_any_text_may_be_asked_for(history, run_id):
    kept = history.save("analysis", RECORD)
    assert history.find(text=run_id) == ([] if run_id else history.list())
    assert history.events(run_id) == []
    for act in (history.open, history.summary, history.export, history.delete, history.undelete):
        with pytest.raises(RunNotFound) as told:
            act(run_id)
        assert len(str(told.value)) < 500
        str(told.value).encode()
    assert [run.run_id for run in history.list()] == [kept]


def test_what_json_cannot_hold_is_null(history):
    record = {"model_name": "a\udcff", "speedup": float("nan"), "costs": [float("inf"), (1.5,)]}
    run_id = history.save("analysis", record, request={"model": "a\udcff", "price": float("inf")})
    kept = history.open(run_id)
    assert (kept.record["speedup"], kept.record["costs"]) == (None, [None, [1.5]])
    assert kept.request["price"] is None
    assert kept.model == r"a\udcff"


def test_a_run_nobody_works_on_any_more_reads_interrupted(history):
    history.begin("ab", "analysis", {"model": "bert"}, owner="gone")
    for run in (history.list()[0], history.open("ab"), history.summary("ab")):
        assert run.status is RunStatus.INTERRUPTED and "Start the run again" in run.error
    owner = Owner(make_folder(history.path.parent / "locks"))
    history.begin("cd", "analysis", {"model": "bert"}, owner=owner.name)
    assert history.open("cd").status is RunStatus.QUEUED
    owner.close()
    assert history.open("cd").status is RunStatus.INTERRUPTED
    history.finish("cd", RunStatus.DONE, record=RECORD)
    assert history.open("cd").status is RunStatus.DONE


def make_folder(path):
    path.mkdir()
    return path


def test_a_clock_that_goes_backwards_harms_nothing(history, monkeypatch):
    first = history.save("analysis", RECORD)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    second = history.save("analysis", RECORD)
    history.delete(first)
    history.tidy()
    assert [run.run_id for run in history.deleted()] == [first]
    history.undelete(first)
    assert [run.run_id for run in history.list()] == [first, second]


def test_a_hundred_thousand_runs_are_listed_quickly(history):
    history.save("analysis", RECORD)
    many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)"
    columns = "run_id, kind, status, model, created_at, record"
    values = "'r' || i, 'analysis', 'done', 'bert', i, '{}'"
    execute(history.path, f"INSERT INTO runs ({columns}) {many} SELECT {values} FROM n")
    start = time.perf_counter()
    assert len(history.list(limit=500)) == 500
    assert time.perf_counter() - start < 0.5
    assert history.find(text="r100000")[0].run_id == "r100000"
    assert history.deleted() == []
    assert time.perf_counter() - start < 2
