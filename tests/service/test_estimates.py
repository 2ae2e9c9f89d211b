import threading
import time

from memorymark.errors import Cancelled
from memorymark.service import estimates as module
from memorymark.service.estimates import Answer, Estimates


def until(said):
    end = time.monotonic() + 5
    while not said():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_answer_is_none_first_and_then_known():
    estimates, calls, go = Estimates(), [], threading.Event()

    def simulate(cancel):
        calls.append(1)
        assert go.wait(5)
        return "trial"

    assert estimates.ask("a", simulate) is None
    assert estimates.is_pending("a")
    go.set()
    until(lambda: not estimates.is_pending("a"))
    assert estimates.ask("a", lambda cancel: "another").trial == "trial"
    assert calls == [1]
    estimates.close()


def test_who_waits_a_little_has_an_answer_that_is_soon_there():
    estimates, go = Estimates(), threading.Event()
    answer = estimates.ask("soon", lambda cancel: time.sleep(0.02) or "trial", wait_seconds=5.0)
    assert answer == Answer("trial")
    start = time.monotonic()
    assert estimates.ask("late", lambda cancel: go.wait(5), wait_seconds=0.05) is None
    assert time.monotonic() - start < 1
    go.set()
    estimates.close()


def test_nobody_waits_for_a_question_that_was_given_up():
    estimates = Estimates()

    def give_up(cancel):
        raise Cancelled

    start = time.monotonic()
    assert estimates.ask("a", give_up, wait_seconds=5.0) is None
    assert time.monotonic() - start < 1
    estimates.close()


def test_only_the_latest_question_waits():
    estimates, go, answered = Estimates(), threading.Event(), []
    estimates.ask("running", lambda cancel: go.wait(5))
    until(lambda: estimates.is_pending("running"))
    time.sleep(0.02)
    for name in ("one", "two", "three"):
        estimates.ask(name, lambda cancel, name=name: answered.append(name) or name)
    go.set()
    until(lambda: estimates.ask("three", lambda cancel: "three") == Answer("three"))
    assert answered == ["three"]
    assert not estimates.is_pending("one")
    estimates.close()


def test_a_simulation_that_fails_is_not_repeated():
    estimates, calls = Estimates(), []

    def fail(cancel):
        calls.append(1)
        raise ValueError("no")

    estimates.ask("a", fail)
    until(lambda: not estimates.is_pending("a"))
    assert estimates.ask("a", fail) == Answer(error="ValueError: no")
    assert calls == [1]
    estimates.close()


def test_only_the_last_answers_are_kept(monkeypatch):
    monkeypatch.setattr(module, "KEPT", 2)
    estimates = Estimates()
    for name in ("a", "b", "c"):
        estimates.ask(name, lambda cancel, name=name: name)
        until(lambda name=name: not estimates.is_pending(name))
    assert estimates.ask("c", lambda cancel: "new").trial == "c"
    estimates.ask("a", lambda cancel: "new")
    until(lambda: not estimates.is_pending("a"))
    assert estimates.ask("a", lambda cancel: "newer").trial == "new"
    estimates.close()


def test_visitors_take_turns_however_often_one_asks():
    estimates, go, answered = Estimates(), threading.Event(), []

    def answering(name):
        return lambda cancel: answered.append(name) or name

    estimates.ask("running", lambda cancel: go.wait(5), "one")
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
    estimates.ask("running", lambda cancel: go.wait(5), "zero")
    until(lambda: not estimates._waiting)
    for number in range(4):
        estimates.ask(number, lambda cancel: "answer", f"visitor {number}")
    assert [estimates.is_pending(number) for number in range(4)] == [True, True, False, False]
    go.set()
    until(lambda: not estimates.is_pending(1))
    estimates.ask(3, lambda cancel: "answer", "visitor 3")
    until(lambda: estimates.ask(3, lambda cancel: "answer", "visitor 3") == Answer("answer"))
    estimates.close()


def test_an_exit_in_a_simulation_ends_no_other():
    def leave(cancel):
        raise SystemExit(3)

    estimates = Estimates()
    estimates.ask("a", leave)
    until(lambda: not estimates.is_pending("a"))
    estimates.ask("b", lambda cancel: "answer")
    until(lambda: estimates.ask("b", lambda cancel: "answer") == Answer("answer"))
    estimates.close()


def test_an_error_is_asked_anew_after_a_while(monkeypatch):
    estimates = Estimates()
    estimates.ask("a", lambda cancel: 1 / 0)
    until(lambda: not estimates.is_pending("a"))
    assert estimates.ask("a", lambda cancel: "trial").error.startswith("ZeroDivisionError")
    monkeypatch.setattr(module, "ERRORS_KEPT_SECONDS", 0.0)
    estimates.ask("b", lambda cancel: 1 / 0)
    until(lambda: not estimates.is_pending("b"))
    until(lambda: estimates.ask("b", lambda cancel: "trial") == Answer("trial"))
    estimates.close()


def test_pages_of_one_visitor_do_not_take_the_place_of_each_others_questions():
    estimates, go, answered = Estimates(), threading.Event(), []
    estimates.ask("running", lambda cancel: go.wait(5), "office", "page 0")
    until(lambda: not estimates._waiting)
    for page in ("page 1", "page 2"):
        for number in range(3):
            name = f"{page}, {number}"
            estimates.ask(
                name, lambda cancel, name=name: answered.append(name) or name, "office", page
            )
    go.set()
    until(lambda: len(answered) == 2)
    assert answered == ["page 1, 2", "page 2, 2"]
    estimates.close()


def test_a_question_that_nobody_asks_any_more_makes_room_for_others(monkeypatch):
    monkeypatch.setattr(module, "FORSAKEN_SECONDS", 0.05)
    estimates, ended = Estimates(), []

    def simulate(cancel):
        try:
            until(lambda: cancel.check())
        finally:
            ended.append("gone")

    estimates.ask("left", simulate, "one")
    until(lambda: not estimates._waiting)
    time.sleep(0.1)
    until(lambda: estimates.ask("next", lambda cancel: "trial", "two") == Answer("trial"))
    assert ended == ["gone"]
    assert not estimates.is_pending("left")
    assert estimates.ask("left", lambda cancel: "trial", "one") is None  # it may be asked again
    estimates.close()


def test_a_question_that_is_still_asked_is_answered_although_others_wait(monkeypatch):
    monkeypatch.setattr(module, "FORSAKEN_SECONDS", 0.1)
    estimates, go = Estimates(), threading.Event()

    def simulate(cancel):
        while not go.wait(0.01):
            cancel.check()
        return "long"

    until(lambda: estimates.ask("long", simulate, "one") is None)
    for _ in range(10):
        time.sleep(0.02)
        assert estimates.ask("long", simulate, "one") is None
        estimates.ask("other", lambda cancel: "trial", "two")
    go.set()
    until(lambda: estimates.ask("long", simulate, "one") == Answer("long"))
    estimates.close()


def test_questions_of_pages_that_were_closed_hold_up_nobody(monkeypatch):
    monkeypatch.setattr(module, "FORSAKEN_SECONDS", 0.1)
    monkeypatch.setattr(module, "MAX_WAITING", 20)
    estimates, go, answered = Estimates(), threading.Event(), []
    estimates.ask("running", lambda cancel: go.wait(5), "zero")
    until(lambda: not estimates._waiting)
    for number in range(20):
        estimates.ask(number, lambda cancel: answered.append("flood"), f"visitor {number}")
    estimates.ask("late", lambda cancel: "trial", "late")
    assert not estimates.is_pending("late")
    time.sleep(0.15)
    estimates.ask("late", lambda cancel: "trial", "late")
    assert estimates.is_pending("late")
    go.set()
    until(lambda: estimates.ask("late", lambda cancel: "trial", "late") == Answer("trial"))
    assert answered == []
    estimates.close()
