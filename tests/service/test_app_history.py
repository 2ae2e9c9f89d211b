"""The history of the app: jobs note what they have to note, whatever the file is."""

import sqlite3
import time
from contextlib import closing

import pytest
from damaged_histories import DAMAGES, ODD_ROWS, execute, make_odd, newer, read_only_home

from memorymark.errors import NotAllowed, RunNotFound
from memorymark.service.access import AppService
from memorymark.service.app_history import MOST_UNSAVED, AppHistory
from memorymark.service.guard import Visitor
from memorymark.service.history import RunHistory
from memorymark.service.jobs import JobManager
from memorymark.service.run import RunStatus
from memorymark.settings import Settings

RECORD = {"model_name": "bert", "device": "CPU", "source": "measured"}
BROKEN = {**DAMAGES, "newer": newer}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs.sqlite3"


def run_through(history, run_id="ab"):
    history.begin(run_id, "analysis", {"model": "bert"}, owner=None)
    history.set_status(run_id, RunStatus.RUNNING)
    history.finish(run_id, RunStatus.DONE, record=RECORD)


def until(said, seconds=10.0):
    end = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def done(manager):
    """Return a job that has run to its end, and close its manager."""
    job = manager.submit("analysis", {"model": "bert"}, "cpu:0", lambda *given: RECORD)
    end = time.monotonic() + 10
    while job.status.is_active and time.monotonic() < end:
        time.sleep(0.01)
    manager.close()
    assert job.status is RunStatus.DONE
    return job


@pytest.mark.parametrize("damage", BROKEN)
def test_what_cannot_be_written_is_kept_in_memory(path, damage):
    BROKEN[damage](path)
    history = AppHistory(path)
    run_through(history)
    assert history.open("ab").record == {**RECORD, "run_id": "ab"}
    assert history.list()[0] == history.find(text="BERT", kinds=["analysis"])[0]
    assert (history.list()[0].run_id, history.list()[0].record) == ("ab", None)
    assert history.find(text="gpt2") == history.find(kinds=["compile"]) == []
    assert history.events("ab") == history.deleted() == []
    history.tidy()
    assert [run.run_id for run in history.unsaved] == ["ab"]
    assert history.problem() is not None


def test_what_is_in_memory_is_saved_once_the_file_can_be_written(path):
    path.mkdir()
    history = AppHistory(path)
    run_through(history, "ab")
    history.begin("cd", "analysis", {"model": "gpt2"})
    assert len(history.unsaved) == 2
    path.rmdir()
    history.finish("cd", RunStatus.FAILED, error="It broke.")
    assert history.unsaved == () and history.problem() is None
    saved = RunHistory(path)
    assert saved.open("ab").record["device"] == "CPU"
    assert saved.open("cd").error == "It broke."


def test_what_is_in_memory_is_saved_once_somebody_looks(path):
    """Without another run: the pages ask for the problem each time they are drawn."""
    path.mkdir()
    history = AppHistory(path)
    run_through(history)
    assert history.problem() is not None
    path.rmdir()
    until(lambda: history.problem() is None)
    assert history.unsaved == ()
    assert RunHistory(path).open("ab").status is RunStatus.DONE


def test_who_looks_does_not_wait_for_a_file_that_is_held(path):
    path.mkdir()
    history = AppHistory(path)
    run_through(history)
    path.rmdir()
    RunHistory(path).save("analysis", RECORD)
    with closing(sqlite3.connect(path)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        assert all(history.problem() is not None for _ in range(5))
        assert time.monotonic() - began < 2
    until(lambda: history.problem() is None)


def test_a_run_ends_though_its_file_was_moved_aside_meanwhile(path):
    history = AppHistory(path)
    history.begin("ab", "analysis", {"model": "bert"})
    history.move_aside()
    history.finish("ab", RunStatus.DONE, record=RECORD)
    assert RunHistory(path).open("ab").request == {"model": "bert"}


def test_a_job_of_this_process_is_active_without_a_lock_that_says_so(path):
    history = AppHistory(path)
    history.begin("ab", "analysis", {"model": "bert"}, owner=None)
    assert history.open("ab").status is history.list()[0].status is RunStatus.QUEUED
    history.tidy()
    assert RunHistory(path).open("ab").status is RunStatus.INTERRUPTED
    history.finish("ab", RunStatus.DONE, record=RECORD)
    assert history.open("ab").status is RunHistory(path).open("ab").status is RunStatus.DONE


def test_memory_is_bounded(path):
    path.mkdir()
    history = AppHistory(path)
    for number in range(MOST_UNSAVED + 5):
        run_through(history, f"r{number}")
    assert len(history.unsaved) == MOST_UNSAVED
    with pytest.raises(Exception, match="cannot be read"):
        history.open("r0")


@pytest.mark.parametrize("damage", BROKEN)
def test_a_job_runs_and_shows_its_result(path, damage):
    BROKEN[damage](path)
    history = AppHistory(path)
    manager = JobManager(history)
    job = done(manager)
    assert job.error is None
    assert history.open(job.run_id).record["device"] == "CPU"


def test_a_job_runs_in_a_read_only_home():
    with read_only_home() as home:
        manager = JobManager(AppHistory(home / "runs.sqlite3"))
        job = done(manager)
        assert manager.history.open(job.run_id).record["device"] == "CPU"
        assert len(manager.history.list()) == 2


def test_deleting_and_bringing_back_are_for_those_who_may(tmp_path):
    service = AppService(Settings(tmp_path, run_key="secret"))
    run_id = service.history.save("analysis", RECORD)
    knows = Visitor(run_key="secret")
    with pytest.raises(NotAllowed):
        service.delete(run_id, Visitor())
    service.delete(run_id, knows)
    with pytest.raises(NotAllowed):
        service.undelete(run_id, Visitor())
    assert service.history.list() == []
    service.undelete(run_id, knows)
    assert service.history.list()[0].run_id == run_id
    with pytest.raises(RunNotFound):
        service.undelete("nothere", knows)
    service.close()


def test_an_interrupted_run_of_another_process_can_be_deleted(tmp_path):
    service = AppService(Settings(tmp_path))
    RunHistory(service.history.path).begin("ab", "analysis", {"model": "bert"}, owner="gone")
    service.delete("ab", Visitor())
    assert service.history.list() == []
    service.close()


def test_a_service_opens_on_any_history(tmp_path):
    for name, damage in BROKEN.items():
        home = tmp_path / name
        home.mkdir()
        damage(home / "runs.sqlite3")
        service = AppService(
            Settings(home), execute=lambda request, **how: pytest.fail("not asked for")
        )
        assert service.history.problem() is not None
        service.close()


@pytest.mark.parametrize("change", ODD_ROWS.values(), ids=ODD_ROWS)
def test_an_odd_run_like_the_one_asked_for_keeps_no_job_from_running(path, change):
    make_odd(path, change)
    execute(path, "UPDATE runs SET request = '{\"model\": \"bert\"}' WHERE request = '{}'")
    done(JobManager(AppHistory(path)))


@pytest.mark.parametrize("said", ["'long'", "null", "[]", "true", "1e999", "-5"])
def test_an_odd_time_of_an_earlier_run_is_no_expectation(path, said):
    make_odd(path, f"""record = '{{"elapsed_seconds": {said.replace("'", '"')}}}'""")
    execute(path, 'UPDATE runs SET finished_at = created_at + 7, request = \'{"model": "bert"}\'')
    job = done(JobManager(AppHistory(path)))
    assert job.expected_seconds in (None, 7)
