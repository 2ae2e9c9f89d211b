import json
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from memorymark.errors import RunNotFound
from memorymark.service.history import RunHistory, RunStatus

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
