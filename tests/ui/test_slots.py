"""Few pages are drawn at a time."""

import threading

import pytest

from memorymark.ui.slots import drawing, waiting


def test_two_draw_and_a_third_waits_for_its_place():
    drawn, go = [], threading.Event()
    inside = threading.Semaphore(0)

    def draw(name):
        with drawing(), drawing():  # a thread that has a place passes through
            inside.release()
            assert go.wait(10)
            drawn.append(name)

    threads = [threading.Thread(target=draw, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    assert inside.acquire(timeout=10) and inside.acquire(timeout=10)
    assert not inside.acquire(timeout=0.1)
    go.set()
    for thread in threads:
        thread.join(10)
    assert sorted(drawn) == ["a", "b", "c"]


def test_an_error_gives_the_place_back():
    drawn = []

    def draw():
        for number in range(3):
            with pytest.raises(KeyError), drawing():
                drawn.append(number)
                raise KeyError

    thread = threading.Thread(target=draw, daemon=True)
    thread.start()
    thread.join(10)
    assert drawn == [0, 1, 2]


def test_who_only_waits_lets_others_draw():
    drawn, go = [], threading.Event()
    inside = threading.Semaphore(0)

    def draw(name):
        with drawing():
            with waiting():
                inside.release()
                assert go.wait(10)
            drawn.append(name)

    threads = [threading.Thread(target=draw, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert inside.acquire(timeout=10)
    go.set()
    for thread in threads:
        thread.join(10)
    assert sorted(drawn) == ["a", "b", "c"]


def test_who_draws_nothing_waits_without_giving_a_place_away():
    with waiting():
        pass
    test_two_draw_and_a_third_waits_for_its_place()
