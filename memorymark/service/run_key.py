"""The run key: who gives it may start work, and nobody finds it by trying.

Wrong guesses are slowed down twice. From one address, after three, each waits twice as long as
the one before, up to a minute. Over all addresses that never gave the right key, there are at most
thirty a minute, so that many addresses help little. What comes during a wait is not looked at.

An attacker must not lock the owner out either. Who gave the right key in this visit goes on, and
addresses that once gave it, and this machine itself, wait for their own wrong guesses only.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from memorymark.errors import NotAllowed

FREE_GUESSES = 3  # somebody mistypes
LONGEST_WAIT_SECONDS = 60.0
GUESSES_A_MINUTE = 30
_FORGOTTEN_AFTER_SECONDS = 15 * 60.0
_REMEMBERED = 4096  # addresses, and visits; the oldest are forgotten first
_MOST_COUNTED = 99
_THIS_MACHINE = "this machine"
_log = logging.getLogger(__name__)


@dataclass
class _Lane:
    """What came from one address: wrong guesses, the last of them, and until when it waits."""

    wrong: int = 0
    last: bytes = b""
    until: float = 0.0


class RunKeyGuard:
    """Compares what visitors enter with the run key, few times.

    Args:
        key: The run key; None lets everybody pass.
        clock: Seconds that only grow.
    """

    def __init__(self, key: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._key = key
        self._clock = clock
        self._lock = threading.Lock()
        self._lanes: OrderedDict[Hashable, _Lane] = OrderedDict()
        self._known: OrderedDict[Hashable, None] = OrderedDict({_THIS_MACHINE: None})
        self._proved: OrderedDict[Hashable, None] = OrderedDict()
        self._strangers: deque[float] = deque()

    def knows(self, given: str | None, visit: str | None) -> bool:
        """Say whether the visit gave the right key before; this is no guess."""
        return self._key is None or (visit in self._proved and self._is_right(given or ""))

    def check(self, given: str | None, visit: str | None, address: str | None) -> None:
        """Let a visit pass that gives the right key.

        Args:
            given: What was entered; nothing is no guess.
            visit: Tells one visitor's session from others; None: not known.
            address: Internet address of the visitor; None: this machine.

        Raises:
            NotAllowed: The key is missing or wrong, or it is too early for another guess.
        """
        if self.knows(given, visit):
            return
        if not (given or "").strip():
            raise NotAllowed("The run key is missing. Enter it in the sidebar.")
        name = network_of(address)
        with self._lock:
            lane, now = self._lane(name), self._clock()
            if lane.last == _digest(given):
                raise NotAllowed("The run key is wrong. Enter the right one in the sidebar.")
            wait = max(lane.until, self._strangers_until(name, now)) - now
            if wait > 0:
                raise NotAllowed(
                    f"Too many wrong run keys. Wait {math.ceil(wait)} s and enter it again."
                )
            if not self._is_right(given):
                self._note_wrong(name, lane, _digest(given), now)
                raise NotAllowed("The run key is wrong. Enter the right one in the sidebar.")
            self._lanes.pop(name, None)
            _remember(self._known, name)
            if visit is not None:
                _remember(self._proved, visit)

    def _is_right(self, given: str) -> bool:
        """Compare, without the blanks around a copied key: none begins or ends with one."""
        return hmac.compare_digest(_digest(given.strip()), _digest(self._key or ""))

    def _lane(self, name: Hashable) -> _Lane:
        lane = self._lanes.get(name)
        if lane is None or self._clock() > lane.until + _FORGOTTEN_AFTER_SECONDS:
            lane = _Lane()
        _remember(self._lanes, name, lane)
        return lane

    def _strangers_until(self, name: Hashable, now: float) -> float:
        """Return until when addresses that never gave the right key wait together."""
        while self._strangers and self._strangers[0] <= now - 60:
            self._strangers.popleft()
        if name in self._known or len(self._strangers) < GUESSES_A_MINUTE:
            return now
        return self._strangers[0] + 60

    def _note_wrong(self, name: Hashable, lane: _Lane, digest: bytes, now: float) -> None:
        lane.wrong = min(lane.wrong + 1, _MOST_COUNTED)
        lane.last, wait = digest, _wait_after(lane.wrong)
        lane.until = now + wait
        if name not in self._known:
            self._strangers.append(now)
        _log.warning("Wrong run key from %s; the next guess waits %.0f s", name, wait)


def _wait_after(wrong: int) -> float:
    """Return the seconds until the next guess is heard, after so many wrong ones in a row."""
    return 0.0 if wrong < FREE_GUESSES else min(2.0 ** (wrong - FREE_GUESSES), LONGEST_WAIT_SECONDS)


def network_of(address: str | None) -> str:
    """Return what an address shares with others of the same visitor: of IPv6, its network.

    Example:
        >>> network_of("192.0.2.7"), network_of("2001:db8::7"), network_of(None)
        ('192.0.2.7', '2001:db8::/64', 'this machine')
    """
    if address is None:
        return _THIS_MACHINE
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return repr(address[:64])
    if found.is_loopback:
        return _THIS_MACHINE
    is_wide = found.version == 6
    return str(ipaddress.ip_network((found, 64), strict=False) if is_wide else found)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _remember(kept: OrderedDict, name: Hashable, value: object = None) -> None:
    kept[name] = value
    kept.move_to_end(name)
    while len(kept) > _REMEMBERED:
        kept.popitem(last=False)
