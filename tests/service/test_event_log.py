import logging
import sqlite3
import threading

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
    go = threading.Event()

    class Slow:
        def add_event(self, *given):
            go.wait(10)

    log = EventLog(Slow())
    for number in range(100):
        log.add("a", number, event(number))
    go.set()
    log.flush()
    log.close()


def test_an_event_that_cannot_be_written_is_logged(caplog):
    class Broken:
        def add_event(self, *given):
            raise sqlite3.OperationalError("disk is full")

    log = EventLog(Broken())
    with caplog.at_level(logging.ERROR):
        log.add("a", 0, event(0))
        log.flush()
    assert "could not be written" in caplog.text
    log.close()
