"""What a worker process says, and what a fork of it does not."""

import os

from memorymark.service.worker_main import Worker


class Line:
    """A connection that keeps what is sent."""

    def __init__(self):
        self.sent = []

    def send(self, **message):
        self.sent.append(message)


def test_a_fork_is_silent(monkeypatch):
    line = Line()
    worker = Worker(line)
    worker._tell(job=1, event={})
    with monkeypatch.context() as forked:
        forked.setattr(os, "getpid", lambda: 1)
        worker._tell(job=1, event={"of": "the fork"})
    worker._tell(job=1, record={})
    assert line.sent == [{"job": 1, "event": {}}, {"job": 1, "record": {}}]
