"""The file of the history: what is wrong with it is said, what can be done goes on."""

import gzip
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from damaged_histories import DAMAGES, execute, full_disk, newer, read_only_home

from memorymark.errors import HistoryUnusable
from memorymark.service import history_file
from memorymark.service.history import RunHistory
from memorymark.service.history_file import HistoryFile
from memorymark.service.history_format import VERSION

KEPT = Path(__file__).parents[1] / "kept" / "history-0.1.0.sqlite3.gz"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs.sqlite3"


def version_of(path):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA user_version").fetchone()[0]


def test_reading_makes_no_file(path):
    history = RunHistory(path.parent / "none" / "runs.sqlite3")
    assert history.list() == history.deleted() == history.events("a") == []
    assert history.problem() is None
    history.tidy()
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_said_and_left_alone(path, damage):
    DAMAGES[damage](path)
    before = path.read_bytes() if path.is_file() else None
    history = RunHistory(path)
    for verb, act in (("read", history.list), ("written", lambda: history.save("analysis", {}))):
        with pytest.raises(HistoryUnusable, match=f"cannot be {verb}.*--move-aside.*HOME") as told:
            act()
        assert str(path) in str(told.value)
    assert isinstance(history.problem(), HistoryUnusable)
    assert before is None or path.read_bytes() == before


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_moved_aside_when_asked(path, damage):
    DAMAGES[damage](path)
    history = RunHistory(path)
    kept = history.move_aside()
    assert kept.exists() and kept.parent == path.parent and not path.exists()
    run_id = history.save("analysis", {})
    assert [run.run_id for run in history.list()] == [run_id]
    assert history.move_aside() != kept
    assert history.move_aside() is None


def test_a_history_moved_aside_keeps_all_of_its_runs(path):
    with closing(sqlite3.connect(path)) as busy:  # so that the log is not emptied into the file
        run_id = RunHistory(path).save("analysis", {"model_name": "bert"})
        busy.execute("SELECT * FROM runs").fetchone()
        RunHistory(path).save("analysis", {"model_name": "gpt2"})
        assert Path(f"{path}-wal").stat().st_size > 0
        kept = RunHistory(path).move_aside()
    assert {run.model for run in RunHistory(kept).list()} == {"bert", "gpt2"}
    assert RunHistory(kept).open(run_id).record["model_name"] == "bert"


def test_an_empty_file_is_an_empty_history(path):
    path.touch()
    assert RunHistory(path).list() == [] and RunHistory(path).problem() is None
    RunHistory(path).save("analysis", {})
    assert len(RunHistory(path).list()) == 1


def test_a_home_that_is_a_file_is_said(path):
    path.touch()
    history = RunHistory(path / "runs.sqlite3")
    for act in (history.list, lambda: history.save("analysis", {})):
        with pytest.raises(HistoryUnusable, match="MEMORYMARK_HOME"):
            act()
    assert history.move_aside() is None


def test_a_newer_history_is_read_and_never_written(path):
    run_id = newer(path)
    before = path.read_bytes()
    history = RunHistory(path)
    (run,) = history.list()
    assert (run.run_id, run.model, run.source) == (run_id, "bert", None)
    assert history.open(run_id).record["model_name"] == "bert"
    writes = (
        lambda: history.save("analysis", {}),
        lambda: history.delete(run_id),
        lambda: history.add_event(run_id, 0, {}),
        history.tidy,
    )
    for write in writes:
        with pytest.raises(HistoryUnusable, match=r"newer MemoryMark wrote it .format 1000"):
            write()
    assert "newer" in str(history.problem())
    assert path.read_bytes() == before


def test_a_history_of_0_1_0_is_read_as_it_is_and_changed_by_the_first_write(path):
    path.write_bytes(gzip.decompress(KEPT.read_bytes()))
    before = path.read_bytes()
    history = RunHistory(path)
    listed = history.list()
    assert len(listed) == 11 and history.deleted() == [] and history.problem() is None
    assert path.read_bytes() == before and version_of(path) == 0
    history.delete(listed[0].run_id)
    assert version_of(path) == VERSION
    assert history.list() == listed[1:]
    history.undelete(listed[0].run_id)
    assert history.list() == listed


def test_a_full_disk_is_said_and_loses_nothing(path):
    """The limit is the operating system's own; SQLite calls it an I/O error."""
    history = RunHistory(path)
    run_id = history.save("analysis", {"model_name": "bert"})
    with full_disk(), pytest.raises(HistoryUnusable, match=r"disk is full or fails.*Free space"):
        history.save("analysis", {"filling": "x" * 100_000})
    assert [run.run_id for run in history.list()] == [run_id]
    history.save("analysis", {"filling": "x" * 100_000})


def test_a_full_database_is_said(path, monkeypatch):
    """SQLite's own bound on a file's pages stands in for the disk's."""
    history = RunHistory(path)
    history.save("analysis", {})
    connect = HistoryFile._connect

    def bounded(file, mode):
        connection = connect(file, mode)
        connection.execute("PRAGMA max_page_count = 10")
        return connection

    monkeypatch.setattr(HistoryFile, "_connect", bounded)
    with pytest.raises(HistoryUnusable, match=r"database or disk is full.*Free space"):
        history.save("analysis", {"filling": "x" * 100_000})
    assert len(history.list()) == 1


def test_a_busy_history_is_said(path, monkeypatch):
    monkeypatch.setattr(history_file, "_BUSY_TIMEOUT_SECONDS", 0.05)
    RunHistory(path).save("analysis", {})
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(HistoryUnusable, match=r"another program has held it.*Try again"):
            RunHistory(path).save("analysis", {})
        assert len(RunHistory(path).list()) == 1


def test_a_read_only_home_is_read_and_said():
    with read_only_home() as home:
        history = RunHistory(home / "runs.sqlite3")
        (run,) = history.list()
        assert history.open(run.run_id).record["model_name"] == "bert"
        assert "read-only" in str(history.problem())
        for write in (lambda: history.save("analysis", {}), lambda: history.delete(run.run_id)):
            with pytest.raises(HistoryUnusable, match=r"cannot be written.*right to write"):
                write()
        with pytest.raises(HistoryUnusable, match="right to write"):
            history.move_aside()
        assert sorted(os.listdir(home)) == ["runs.sqlite3"]


def test_a_path_with_odd_letters_is_a_path(tmp_path):
    path = tmp_path / "a ?mode=memory&#%20 é" / "runs.sqlite3"
    run_id = RunHistory(path).save("analysis", {})
    assert path.exists() and RunHistory(path).list()[0].run_id == run_id


def test_a_table_without_a_column_is_no_history(path):
    RunHistory(path).save("analysis", {})
    execute(path, "ALTER TABLE runs RENAME COLUMN run_id TO name", "PRAGMA user_version = 0")
    for act in (RunHistory(path).list, lambda: RunHistory(path).save("analysis", {})):
        with pytest.raises(HistoryUnusable, match="--move-aside"):
            act()
