import socket
import threading

import pytest

from memorymark.service import messages
from memorymark.service.messages import Channel, Disconnected


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    yield Channel(ours, 1.0), theirs
    ours.close()
    theirs.close()


def test_messages_arrive_whole_and_in_order(pair):
    ours, theirs = pair
    other = Channel(theirs)
    long = {"text": "line\nbreak 💾" * 100_000}
    sending = threading.Thread(target=lambda: [other.send(**long), other.send(number=2)])
    sending.start()
    received = []
    while len(received) < 2:
        message = ours.receive(0.5)
        received += [message] if message is not None else []
    sending.join()
    assert received == [long, {"number": 2}]
    assert ours.receive(0.01) is None


def test_a_message_that_drips_in_holds_nobody_up(pair):
    ours, theirs = pair
    theirs.sendall(b'{"a":')
    assert ours.receive(5.0) is None
    theirs.sendall(b" 1}\n")
    assert ours.receive(5.0) == {"a": 1}


@pytest.mark.parametrize("line", [b"nonsense\n", b"[1]\n", b"\xff\n", b"[" * 100_000 + b"\n"])
def test_what_is_no_message_is_said(pair, line):
    ours, theirs = pair
    theirs.sendall(line)
    with pytest.raises(Disconnected, match="no message"):
        while True:
            ours.receive(0.5)


def test_a_message_without_end_is_cut_off(pair, monkeypatch):
    monkeypatch.setattr(messages, "LARGEST_BYTES", 10)
    ours, theirs = pair
    theirs.sendall(b"x" * 11)
    with pytest.raises(Disconnected, match="more than"):
        ours.receive(0.5)


def test_the_other_side_that_is_gone_is_said(pair):
    ours, theirs = pair
    assert not ours.is_closed()
    theirs.close()
    assert ours.is_closed()
    with pytest.raises(Disconnected, match="closed"):
        ours.receive(0.5)
    with pytest.raises(Disconnected, match="no more"):
        ours.send(a=1)


def test_a_side_that_takes_nothing_holds_nobody_up(pair):
    ours, _ = pair
    with pytest.raises(Disconnected, match="no more"):
        ours.send(text="x" * 10_000_000)
