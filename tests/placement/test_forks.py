"""Children do their tasks, say how far they are, and are gone when nobody waits for them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from memorymark.placement import forks
from memorymark.placement.forks import DONE, ENDED, FAILED, SAID, Children, Word, can_fork

pytestmark = pytest.mark.skipif(not can_fork(), reason="children are forked on Linux alone")
SECONDS = 10.0


def heard(children: Children, kind: str) -> list[Word]:
    """Listen until a word of a kind comes, and return all that came."""
    words: list[Word] = []
    ends = time.monotonic() + SECONDS
    while not any(word.kind == kind for word in words):
        assert time.monotonic() < ends, f"{kind!r} never came: {words}"
        words += children.listen(0.1)
    return words


@contextmanager
def working(work, count: int = 1) -> Iterator[Children]:
    with Children(count, work) as children:
        yield children


def is_there(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_child_does_tasks_and_tells_of_them() -> None:
    def work(task, say):
        say(f"at {task}")
        return task * 2, os.getpid()

    with working(work, 2) as children:
        assert children.idle == {0, 1}
        pids = set()
        for task in (20, 21):
            children.give(1, task)
            assert children.idle == {0}
            said, done = heard(children, DONE)
            assert said == (1, task, SAID, f"at {task}")
            assert (done.task, done.kind, done.about[0]) == (task, DONE, task * 2)
            pids.add(done.about[1])
        assert children.idle == {0, 1}
    assert len(pids) == 1
    assert os.getpid() not in pids


@pytest.mark.parametrize("result", [lambda: 1 / 0, lambda: lambda: None])
def test_what_fails_or_cannot_be_sent_is_told_and_the_child_goes_on(result) -> None:
    with working(lambda task, say: result() if task else "good") as children:
        children.give(0, 1)
        assert heard(children, FAILED)[-1].task == 1
        children.give(0, 0)
        assert heard(children, DONE)[-1].about == "good"


@pytest.mark.parametrize("end", [lambda: os._exit(3), lambda: os.kill(os.getpid(), 9), sys.exit])
def test_a_child_that_ends_is_told_of_and_keeps_nobody_waiting(end) -> None:
    with working(lambda task, say: end() if task else "good", 2) as children:
        children.give(0, 1)
        children.give(1, 0)
        words = heard(children, ENDED)
        assert Word(0, 1, ENDED) in words
        assert list(children.alive) == [1]
        words += [] if any(word.kind == DONE for word in words) else heard(children, DONE)
        assert children.idle == {1}


def test_children_are_gone_within_two_seconds_after_the_block() -> None:
    def work(task, say):
        say(os.getpid())
        time.sleep(60)

    with working(work, 2) as children:
        for child in (0, 1):
            children.give(child, 0)
        pids = {word.about for word in heard(children, SAID)}
        while len(pids) < 2:
            pids |= {word.about for word in heard(children, SAID)}
        began = time.monotonic()
    assert time.monotonic() - began < 2
    assert not any(map(is_there, pids))


_PARENT = """
import os, sys, time
from memorymark.placement.forks import Children

def work(task, say):
    say(os.getpid())
    time.sleep(60)

with Children(1, work) as children:
    children.give(0, 0)
    while True:
        for word in children.listen(0.1):
            print(word.about, flush=True)
"""


def test_a_child_ends_with_its_parent_however_that_ends() -> None:
    root = str(Path(forks.__file__).parents[2])
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": root},
    )  # fmt: skip
    with parent:
        child = int(parent.stdout.readline())
        assert is_there(child)
        parent.send_signal(signal.SIGKILL)
        parent.wait(SECONDS)
        ends = time.monotonic() + 2
        while is_there(child) and time.monotonic() < ends:
            time.sleep(0.05)
        assert not is_there(child)


def test_ctrl_c_is_left_to_the_parent() -> None:
    def work(task, say):
        os.kill(os.getpid(), signal.SIGINT)
        return "still here"

    with working(work) as children:
        children.give(0, 0)
        assert heard(children, DONE)[-1].about == "still here"


def test_a_child_computes_with_one_thread_of_its_own() -> None:
    torch.rand(512, 512) @ torch.rand(512, 512)  # starts the threads of this process

    def work(task, say):
        x = torch.rand(64, 1000, requires_grad=True)
        (x @ x.T).sum().backward()
        return torch.get_num_threads(), x.grad is not None

    with working(work) as children:
        children.give(0, 0)
        assert heard(children, DONE)[-1].about == (1, True)


def test_nothing_is_forked_where_that_is_not_safe(monkeypatch) -> None:
    monkeypatch.setattr(forks, "_context", None)  # as on macOS
    assert not can_fork()
    monkeypatch.undo()
    monkeypatch.setattr(forks.multiprocessing.current_process(), "_config", {"daemon": True})
    assert not can_fork()
