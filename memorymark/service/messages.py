"""Messages between the app's server and its worker processes: one JSON document a line.

They travel over a socket of their own, so that nothing that a user's code prints is among them.
"""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from memorymark.units import MIB, mib_or_gib

LARGEST_BYTES = 64 * MIB
NO_MEDIA: Mapping[str, bytes] = MappingProxyType({})
_CHUNK_BYTES = 256 * 1024


def written_media(media: Mapping[str, bytes]) -> dict[str, str]:
    """Return what files hold as a message takes it."""
    return {name: base64.b64encode(data).decode() for name, data in media.items()}


def read_media(written: Mapping[str, str]) -> dict[str, bytes]:
    """Return what `written_media` wrote."""
    return {name: base64.b64decode(text) for name, text in written.items()}


class Disconnected(Exception):
    """The other side is gone, or sent what is no message; the error says which.

    Args:
        sentence: What happened, with the other side as "it".
        is_gone: Whether it is gone.
    """

    def __init__(self, sentence: str, *, is_gone: bool = False) -> None:
        self.is_gone = is_gone
        super().__init__(sentence)


class Channel:
    """Sends and receives messages; where both wait, one thread may send while another receives.

    Args:
        connection: One end of a pair of sockets.
        send_seconds: How long a message may take to be taken; None waits.
    """

    def __init__(self, connection: socket.socket, send_seconds: float | None = None) -> None:
        connection.settimeout(send_seconds)
        self._socket, self._send_seconds = connection, send_seconds
        self._received = bytearray()
        self._searched = 0

    def send(self, **message: Any) -> None:
        """Send a message.

        Raises:
            Disconnected: It could not be sent.
            TypeError: It holds what JSON does not.
            ValueError: It holds a number that is not finite.
        """
        line = json.dumps(message, allow_nan=False).encode() + b"\n"
        try:
            self._socket.sendall(line)
        except OSError as error:
            raise Disconnected(f"it takes no more messages ({error})", is_gone=True) from error

    def receive(self, seconds: float | None = None) -> dict[str, Any] | None:
        """Return the next message; None where it is not complete after a wait of some seconds.

        Raises:
            Disconnected: The other side closed the connection, or sent something else.
        """
        line = self._next_line()
        if line is None:
            try:
                data = self._take(_CHUNK_BYTES, seconds)
            except TimeoutError:
                return None
            except OSError as error:
                raise Disconnected(f"its connection broke ({error})", is_gone=True) from error
            if not data:
                raise Disconnected("it closed its connection", is_gone=True)
            self._received += data
            line = self._next_line()
        return None if line is None else _read(line)

    def is_closed(self) -> bool:
        """Say whether the other side closed the connection."""
        try:
            return self._take(1, 0.0, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        """Close this side."""
        self._socket.close()

    def _take(self, most_bytes: int, seconds: float | None, flags: int = 0) -> bytes:
        if seconds == self._send_seconds:  # another thread may be sending
            return self._socket.recv(most_bytes, flags)
        self._socket.settimeout(seconds)
        try:
            return self._socket.recv(most_bytes, flags)
        finally:
            self._socket.settimeout(self._send_seconds)

    def _next_line(self) -> bytes | None:
        end = self._received.find(b"\n", self._searched)
        if end < 0:
            self._searched = len(self._received)
            if self._searched > LARGEST_BYTES:
                raise Disconnected(f"it sent a message of more than {mib_or_gib(LARGEST_BYTES)}")
            return None
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        self._searched = 0
        return line


def _read(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Disconnected("it sent what is no message") from error
    if not isinstance(message, dict):
        raise Disconnected("it sent what is no message")
    return message
