"""Every error that MemoryMark raises on purpose.

MemoryMarkError                 the root: one clear sentence, never a traceback for a user
├── UsageError                  invalid arguments (exit code 2)
│   ├── UnknownChoice           a name that is not on the list; suggests the nearest
│   └── InvalidValue            a value outside what is accepted
├── WorkloadError               the model cannot be built, fed or trained
│   ├── ModelNotFound           no such model, folder or file
│   └── BatchTooLong            the batch does not fit the model's own limits
├── NothingFits                 even the smallest batch is out of memory
├── DoesNotFit                  a training was stopped before its first step; carries the Fit
├── MissingPackage              an optional package is needed; says how to install it
├── IncompatibleTorch           this PyTorch lacks a private part that is relied on; names it
├── UnsupportedOperation        the simulator has no way to run an operation; names it
├── BoundReached                the work takes more than it may; says which bound was reached
├── DeviceError                 the device is absent, busy or no longer usable
│   └── PoisonedDevice          the CUDA context is broken: only a new process helps
├── NotAvailable                a part of MemoryMark that does not exist on this machine
├── NotAllowed                  the owner's settings do not let this visitor do it
├── InvalidRecord               a JSON document is damaged, or not of the expected kind
├── HistoryUnusable             the run history cannot be read or written; says what to do
└── RunNotFound                 the run history has no such run
    └── RunDeleted              it was deleted a while ago, and can be brought back

Cancelled is no error: it passes every `except Exception`, as KeyboardInterrupt does.

OutOfMemory is no MemoryMarkError: it is an outcome. The memory tracker raises it when a
budget is exceeded, the probe turns it into a Trial, and nobody above ever sees it. So is
OutOfHostMemory, its kind for the memory of the host: there what ends is a row of sessions.

What was given is quoted with `quoted`, which shortens it: a name may have a million letters, and
Python writes no number of more than 4,300 digits.
"""

from __future__ import annotations

import difflib
import math
import reprlib
from collections.abc import Iterable
from typing import Any

_LONGEST_QUOTE = 120
_LONGEST_SENTENCE = 4000
# Longer names are compared with no others: they are none that was mistyped.
_LONGEST_NAME = 200


def quoted(value: object) -> str:
    """Write a value as a sentence quotes it, the middle of a long one left out.

    Example:
        >>> quoted("sgd"), quoted(10**5000)
        ("'sgd'", 'a number of about 5001 digits')
    """
    return _quotes.repr(value)


def shortened(sentence: str) -> str:
    """Return a sentence, the middle of a very long one left out."""
    if len(sentence) <= _LONGEST_SENTENCE:
        return sentence
    half = _LONGEST_SENTENCE // 2
    return f"{sentence[:half]} … {sentence[-half:]}"


def one_sentence(error: BaseException) -> str:
    """Return what an error says, in one line; before that of others stands what kind it is."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, MemoryMarkError | OutOfMemory):
        return " ".join(lines)
    first = lines[0] if lines else "no message"
    return f"{type(error).__name__}: {first}"


def _number(value: int, level: int) -> str:
    """Write a number, or only count its digits, which takes no time."""
    digits = int(value.bit_length() * math.log10(2)) + 1
    return repr(value) if digits <= _LONGEST_QUOTE else f"a number of about {digits} digits"


_quotes = reprlib.Repr()
_quotes.maxstring = _quotes.maxother = _LONGEST_QUOTE
_quotes.repr_int = _number  # type: ignore[method-assign]


class MemoryMarkError(Exception):
    """Root of all errors that carry a sentence for the user."""

    exit_code = 1

    def __init__(self, *parts: object) -> None:
        super().__init__(*(shortened(x) if isinstance(x, str) else x for x in parts))


class UsageError(MemoryMarkError):
    """The arguments are invalid."""

    exit_code = 2


class UnknownChoice(UsageError):
    """A name that is not among the accepted ones.

    Args:
        what: What the name stands for, as in "optimizer".
        given: The name that was given.
        accepted: The names that are accepted.
        hint: A sentence that says what else could be done.
        others: Further names that are accepted, too many to list; one that is near is named.
    """

    def __init__(
        self,
        what: str,
        given: str,
        accepted: Iterable[str],
        hint: str = "",
        others: Iterable[str] = (),
    ) -> None:
        self.what = what
        self.given = given
        self.accepted = tuple(str(name) for name in accepted)
        self.nearest = _nearest(given, (*self.accepted, *others))
        super().__init__(self._sentence(hint))

    def _sentence(self, hint: str) -> str:
        parts = [f"Unknown {self.what} {quoted(self.given)}."]
        if self.nearest:
            parts.append(f"Did you mean {self.nearest!r}?")
        if self.accepted:
            parts.append(f"Accepted: {', '.join(self.accepted)}.")
        if hint:
            parts.append(hint)
        return " ".join(parts)


class InvalidValue(UsageError):
    """A value that is outside what is accepted.

    Args:
        what: The option or field, as in "batch size".
        given: The value that was given.
        accepted: What is accepted, in words.
    """

    def __init__(self, what: str, given: object, accepted: str) -> None:
        self.what = what
        self.given = given
        super().__init__(f"{what} is {quoted(given)}; accepted: {accepted}.")


class WorkloadError(MemoryMarkError):
    """The model, its batch or its loss cannot be made or run."""


class ModelNotFound(WorkloadError):
    """There is no model under the name, folder or file that was given."""


class BatchTooLong(WorkloadError):
    """The batch is larger than the model's own tables allow."""

    exit_code = 2


class NothingFits(MemoryMarkError):
    """Even the smallest batch is out of memory."""


class DoesNotFit(MemoryMarkError):
    """A training would run out of memory, and was stopped before its first step.

    Args:
        sentence: By how much, and which batch fits.
        fit: The Fit that says so.
    """

    def __init__(self, sentence: str, fit: Any = None) -> None:
        self.fit = fit
        super().__init__(sentence)


class MissingPackage(MemoryMarkError):
    """An optional package is needed for what was asked.

    Args:
        package: The distribution's name.
        needed_for: What needs it, as in "the optimizer adamw-8bit".
    """

    def __init__(self, package: str, needed_for: str) -> None:
        self.package = package
        super().__init__(
            f"{needed_for} needs the package {package}, which is not installed. "
            f"Install it with: pip install {package}"
        )


class IncompatibleTorch(MemoryMarkError):
    """This version of PyTorch lacks private parts that MemoryMark relies on.

    Args:
        missing: What is not there.
        version: Of the PyTorch that runs.
        tested: Versions with which MemoryMark was tested.
    """

    def __init__(self, missing: Iterable[str], version: str, tested: Iterable[str]) -> None:
        super().__init__(
            f"PyTorch {version} lacks what MemoryMark relies on: {', '.join(missing)}. MemoryMark "
            f"was tested with PyTorch {' and '.join(tested)}: install one of these, or a newer "
            "MemoryMark."
        )


class UnsupportedOperation(MemoryMarkError):
    """The simulator cannot run an operation of the model without data."""


class BoundReached(MemoryMarkError):
    """The work takes more than it may: see `memorymark.bounds`.

    Args:
        what: What was doing it, as in "The simulation".
        took: The bound that was reached, as in "2,000,000 operations".
        advice: What could be done instead, in a sentence.
    """

    def __init__(self, what: str, took: str, advice: str) -> None:
        super().__init__(f"{what} was stopped: it takes more than {took}. {advice}")


class DeviceError(MemoryMarkError):
    """The device that was asked for is absent, busy or unusable."""


class PoisonedDevice(DeviceError):
    """A CUDA error has broken this process's context; only a new one helps."""


class NotAvailable(MemoryMarkError):
    """What was asked for does not exist on this machine or in this version."""


class NotAllowed(MemoryMarkError):
    """The settings of the machine's owner do not let this visitor do it."""


class InvalidRecord(MemoryMarkError):
    """A JSON document is damaged, or is not a record of the expected kind.

    Args:
        what: What it should be, as in "Analysis".
        reason: What is wrong and where.
    """

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"The JSON is not a valid {what}: {reason.rstrip('.')}.")


class HistoryUnusable(MemoryMarkError):
    """The file of the run history cannot be read or written.

    Args:
        path: The file.
        verb: What cannot be done with it: "read" or "written".
        reason: Why not.
        advice: What to do, beside naming another folder.
    """

    def __init__(self, path: object, verb: str, reason: str, advice: str = "") -> None:
        self.verb = verb
        do = f"{advice}, or name another folder in MEMORYMARK_HOME."
        super().__init__(
            f"The run history cannot be {verb}: {reason.rstrip('.')}. The file is {path}. "
            f"{do if advice else 'Name another folder in MEMORYMARK_HOME.'}"
        )


class RunNotFound(MemoryMarkError):
    """The run history holds no run with the given id."""


class RunDeleted(RunNotFound):
    """The run was deleted, and is kept aside for a while."""


class Cancelled(BaseException):
    """The user stopped the work.

    Args:
        sentence: Says so.
        partial: The record of what was known by then; None where nothing was.
    """

    def __init__(self, sentence: str = "Cancelled by the user.", partial: Any = None) -> None:
        self.partial = partial
        super().__init__(sentence)


class OutOfMemory(RuntimeError):
    """The budget of a tracked or simulated device is exceeded: an outcome, not a failure.

    Args:
        requested_bytes: What the operation asked for.
        in_use_bytes: What was in use when it asked.
        capacity_bytes: What there is.
    """

    def __init__(self, requested_bytes: int, in_use_bytes: int, capacity_bytes: int) -> None:
        self.requested_bytes = requested_bytes
        self.in_use_bytes = in_use_bytes
        self.capacity_bytes = capacity_bytes
        super().__init__(
            f"out of memory: tried to allocate {_mib(requested_bytes)} with {_mib(in_use_bytes)} "
            f"of {_mib(capacity_bytes)} in use"
        )


class OutOfHostMemory(OutOfMemory):
    """The host's memory has no room for what is to be moved there: an outcome as well."""

    def __init__(self, requested_bytes: int, in_use_bytes: int, capacity_bytes: int) -> None:
        super().__init__(requested_bytes, in_use_bytes, capacity_bytes)
        self.args = (
            f"out of memory on the host: tried to move {_mib(requested_bytes)} there with "
            f"{_mib(in_use_bytes)} of {_mib(capacity_bytes)} in use",
        )


def _mib(value: int) -> str:
    return f"{value / 1024**2:,.1f} MiB"


def _nearest(given: str, accepted: tuple[str, ...]) -> str | None:
    if len(given) > _LONGEST_NAME:
        return None
    by_folded = {name.lower(): name for name in accepted}
    matches = difflib.get_close_matches(given.lower(), by_folded, n=1, cutoff=0.5)
    return by_folded[matches[0]] if matches else None
