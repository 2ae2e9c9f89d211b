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


def test_visitors_take_turns_however_often_one_asks():
    estimates, go, answered = Estimates(), threading.Event(), []

    def answering(name):
        return lambda: answered.append(name) or name

    estimates.ask("running", lambda: go.wait(5), "one")
    until(lambda: estimates.is_pending("running"))
    time.sleep(0.02)
    for number in range(5):
        estimates.ask(f"one {number}", answering(f"one {number}"), "one")
    estimates.ask("two 0", answering("two 0"), "two")
    estimates.ask("one last", answering("one last"), "one")
    go.set()
    until(lambda: len(answered) == 2)
    assert answered == ["one last", "two 0"]
    estimates.close()


def test_no_more_questions_wait_than_are_bearable(monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    estimates, go = Estimates(), threading.Event()
    estimates.ask("running", lambda: go.wait(5), "zero")
    until(lambda: not estimates._waiting)
    for number in range(4):
        estimates.ask(number, lambda: "answer", f"visitor {number}")
    assert [estimates.is_pending(number) for number in range(4)] == [True, True, False, False]
    go.set()
    until(lambda: not estimates.is_pending(1))
    estimates.ask(3, lambda: "answer", "visitor 3")
    until(lambda: estimates.ask(3, lambda: "answer", "visitor 3") == "answer")
    estimates.close()


def test_an_exit_in_a_simulation_ends_no_other():
    def leave():
        raise SystemExit(3)

    estimates = Estimates()
    estimates.ask("a", leave)
    until(lambda: not estimates.is_pending("a"))
    estimates.ask("b", lambda: "answer")
    until(lambda: estimates.ask("b", lambda: "answer") == "answer")
    estimates.close()
