"""The run key under somebody who tries: slow for all guesses, open for who has the key."""

import logging
import threading

import pytest

from memorymark.errors import NotAllowed
from memorymark.service.run_key import (
    FREE_GUESSES,
    GUESSES_A_MINUTE,
    LONGEST_WAIT_SECONDS,
    RunKeyGuard,
)

KEY = "sésame"


class Clock:
    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def guard(clock):
    return RunKeyGuard(KEY, clock)


def refusal(guard, given, visit="v", address="192.0.2.1"):
    with pytest.raises(NotAllowed) as refused:
        guard.check(given, visit, address)
    return str(refused.value)


def guesses(guard, clock, seconds, address="192.0.2.1", step=0.1):
    """Try a new key at every step; return how many were looked at."""
    heard = 0
    for number in range(int(seconds / step)):
        said = refusal(guard, f"guess {number} at {clock.now}", f"visit {number}", address)
        heard += said.startswith("The run key is wrong")
        clock.now += step
    return heard


def test_without_a_key_everybody_passes(clock):
    guard = RunKeyGuard(None, clock)
    guard.check(None, None, None)
    assert guard.knows(None, None)


def test_blanks_around_a_copied_key_do_not_matter(guard):
    guard.check(f" {KEY}\n", "v", "192.0.2.1")
    assert guard.knows(f" {KEY}\n", "v")


def test_the_right_key_passes_and_is_known_for_the_visit(guard):
    assert not guard.knows(KEY, "v")
    guard.check(KEY, "v", "192.0.2.1")
    assert guard.knows(KEY, "v")
    assert not guard.knows("other", "v") and not guard.knows(None, "v")
    assert not guard.knows(KEY, "another visit")


@pytest.mark.parametrize("given", [None, "", "  "])
def test_nothing_is_no_guess(guard, given, caplog):
    for _ in range(100):
        assert "missing" in refusal(guard, given)
    guard.check(KEY, "v", "192.0.2.1")
    assert not caplog.records


def test_the_wait_grows_and_ends(guard, clock):
    waits = []
    for number in range(12):
        assert "wrong" in refusal(guard, f"guess {number}")
        began = clock.now
        while "Wait" in refusal(guard, f"another {number} {clock.now}"):
            clock.now += 1
        waits.append(clock.now - began)
    assert waits[0] == 0
    assert waits == sorted(waits)
    assert waits[-1] <= LONGEST_WAIT_SECONDS + 1


def test_a_guess_during_the_wait_is_not_looked_at(guard, clock):
    guesses(guard, clock, 60)
    assert "Wait" in refusal(guard, KEY)
    clock.now += LONGEST_WAIT_SECONDS
    guard.check(KEY, "v", "192.0.2.1")


def test_one_address_guesses_a_few_times_an_hour(guard, clock):
    assert guesses(guard, clock, 600, step=0.5) <= 600 / LONGEST_WAIT_SECONDS + 10


def test_new_visits_help_nothing_and_addresses_little(guard, clock):
    heard = 0
    for number in range(1_000):
        address = f"198.51.{number // 250}.{number % 250}"
        heard += "is wrong" in refusal(guard, f"guess {number}", f"visit {number}", address)
        clock.now += 60 / 1_000
    assert heard <= GUESSES_A_MINUTE + 1


def test_a_network_of_ipv6_is_one_address(guard, clock):
    said = [refusal(guard, f"{n}", f"{n}", f"2001:db8::{n:x}") for n in range(50)]
    assert sum("is wrong" in text for text in said) <= FREE_GUESSES


def test_the_owner_is_not_locked_out_by_others(guard, clock):
    guard.check(KEY, "earlier", "203.0.113.5")
    for number in range(1_000):
        refusal(guard, f"guess {number}", "x", f"198.51.{number // 250}.{number % 250}")
    guard.check(KEY, "earlier", "198.51.0.1")  # this visit
    guard.check(KEY, "new", "203.0.113.5")  # an address that gave it before
    guard.check(KEY, "new", None)  # the machine itself
    assert "Wait" in refusal(guard, KEY, "stranger", "203.0.113.77")
    clock.now += 61
    guard.check(KEY, "stranger", "203.0.113.77")


def test_the_same_wrong_key_is_one_guess(guard, caplog):
    for _ in range(50):
        assert "wrong" in refusal(guard, "again")
    assert len(caplog.records) == 1
    guard.check(KEY, "v", "192.0.2.1")


def test_guesses_at_once_are_few(guard):
    said = []

    def guess(number):
        said.append(refusal(guard, f"guess {number}", f"visit {number}"))

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(said) == 64
    assert sum("is wrong" in text for text in said) <= FREE_GUESSES


def test_each_wrong_guess_is_logged_without_the_key(guard, caplog):
    caplog.set_level(logging.WARNING)
    refusal(guard, "hunter2", address="192.0.2.9")
    refusal(guard, "hunter3", address="x\nForged: line")
    assert len(caplog.records) == 2
    assert "192.0.2.9" in caplog.messages[0]
    assert not any("hunter" in said or "\n" in said or KEY in said for said in caplog.messages)


def test_odd_text_is_a_wrong_key(guard):
    assert "wrong" in refusal(guard, "\ud800\x00" * 10)
    assert "wrong" in refusal(guard, "a" * 1_000_000)


def test_memory_is_bounded(guard, clock):
    for number in range(10_000):
        clock.now += 3
        refusal(
            guard, f"{number}", f"{number}", f"10.{number // 65536}.{number // 256}.{number % 256}"
        )
    assert len(guard._lanes) <= 4096 and len(guard._strangers) <= GUESSES_A_MINUTE
