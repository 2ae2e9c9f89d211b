import logging
import threading
from unittest.mock import create_autospec

from memorymark.errors import HistoryUnusable
from memorymark.records.event import Event, EventKind
from memorymark.service.event_log import EventLog
from memorymark.service.history import RunHistory


def event(number):
    return Event(EventKind.NOTE, f"event {number}")


def test_events_are_written_in_order(tmp_path):
    history = RunHistory(tmp_path / "runs.sqlite3")
    run_id = history.save("analysis", {})
    log = EventLog(history)
    for number in range(20):
        log.add(run_id, number, event(number))
    log.flush()
    assert [said["text"] for said in history.events(run_id)] == [f"event {n}" for n in range(20)]
    log.close()


def test_taking_an_event_does_not_wait_for_the_disk():
    go, history = threading.Event(), create_autospec(RunHistory, instance=True)
    history.add_event.side_effect = lambda *given: go.wait(10)
    log = EventLog(history)
    for number in range(100):
        log.add("a", number, event(number))
    assert history.add_event.call_count <= 1  # all were taken while the first one is written
    go.set()
    log.flush()
    written = [call.args[:2] for call in history.add_event.call_args_list]
    assert written == [("a", number) for number in range(100)]
    log.close()


def test_an_event_that_cannot_be_written_is_logged(caplog):
    history = create_autospec(RunHistory, instance=True)
    history.add_event.side_effect = HistoryUnusable("runs.sqlite3", "written", "its disk is full")
    log = EventLog(history)
    with caplog.at_level(logging.ERROR):
        log.add("a", 0, event(0))
        log.flush()
    assert "Event 0 of run a could not be written" in caplog.text
    assert "disk is full" in caplog.text
    log.close()
