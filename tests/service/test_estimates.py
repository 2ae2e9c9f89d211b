import threading
import time

from memorymark.service import estimates as module
from memorymark.service.estimates import Estimates


def until(said):
    end = time.monotonic() + 5
    while not said():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_answer_is_none_first_and_then_known():
    estimates, calls, go = Estimates(), [], threading.Event()

    def simulate():
        calls.append(1)
        assert go.wait(5)
        return "trial"

    assert estimates.ask("a", simulate) is None
    assert estimates.is_pending("a")
    go.set()
    until(lambda: not estimates.is_pending("a"))
    assert estimates.ask("a", lambda: "another") == "trial"
    assert calls == [1]
    estimates.close()


def test_only_the_latest_question_waits():
    estimates, go, answered = Estimates(), threading.Event(), []
    estimates.ask("running", lambda: go.wait(5))
    until(lambda: estimates.is_pending("running"))
    time.sleep(0.02)
    for name in ("one", "two", "three"):
        estimates.ask(name, lambda name=name: answered.append(name) or name)
    go.set()
    until(lambda: estimates.ask("three", lambda: "three") == "three")
    assert answered == ["three"]
    assert not estimates.is_pending("one")
    estimates.close()


def test_a_simulation_that_fails_is_not_repeated():
    estimates, calls = Estimates(), []

    def fail():
        calls.append(1)
        raise ValueError("no")

    estimates.ask("a", fail)
    until(lambda: not estimates.is_pending("a"))
    assert estimates.ask("a", fail) is None
    assert calls == [1]
    estimates.close()


def test_only_the_last_answers_are_kept(monkeypatch):
    monkeypatch.setattr(module, "KEPT", 2)
    estimates = Estimates()
    for name in ("a", "b", "c"):
        estimates.ask(name, lambda name=name: name)
        until(lambda name=name: not estimates.is_pending(name))
    assert estimates.ask("c", lambda: "new") == "c"
    estimates.ask("a", lambda: "new")
    until(lambda: not estimates.is_pending("a"))
    assert estimates.ask("a", lambda: "newer") == "new"
    estimates.close()
