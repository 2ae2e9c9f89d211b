"""How long the samples of a data set are: counted, or known by shortest, mean and longest only.

As text: "32:500,512:20" is 500 samples of 32 tokens and 20 of 512; "16,120,512" as a range is the
shortest, the mean and the longest.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from memorymark.errors import InvalidValue, UsageError

LONGEST = 10_000_000
"""Tokens; what a sequence length may be."""

# More lengths are rounded up to so many: a link and the history carry them.
_MOST_LENGTHS = 256
_MOST_SAMPLES = 10**15
_LONGEST_TEXT = 10_000
_INLINE = re.compile(r"\s*\d+(:\d+)?(\s*,\s*\d+(:\d+)?)*,?\s*")
_ACCEPTED = (
    f"lengths from 1 to {LONGEST:,}, one a line of a file or in a JSON list, or with their numbers "
    "of samples as in 32:500,512:20"
)
_POINTS = 64


@dataclass(frozen=True)
class Lengths:
    """A distribution of lengths.

    Attributes:
        counts: (length in tokens, samples or shares of them), the shortest first.
        assumed: What was assumed of it, in a sentence; None where it was counted.
        mean: Mean length in tokens.
    """

    counts: tuple[tuple[int, int], ...]
    mean: float
    assumed: str | None = None

    @property
    def shortest(self) -> int:
        """The smallest length, in tokens."""
        return self.counts[0][0]

    @property
    def longest(self) -> int:
        """The largest length, in tokens."""
        return self.counts[-1][0]

    @property
    def samples(self) -> int:
        """How many samples were counted, or points of an assumed distribution."""
        return sum(count for _, count in self.counts)

    def shares(self) -> Iterator[tuple[int, float]]:
        """Yield each length with the share of samples that are no longer."""
        sums = accumulate(count for _, count in self.counts)
        for (length, _), below in zip(self.counts, sums, strict=True):
            yield length, below / self.samples

    def expected_longest_of(self, batch_size: int) -> int:
        """Return the expected length of the longest among so many random samples, rounded up."""
        before, total = 0.0, 0.0
        for length, share in self.shares():
            reached = share**batch_size
            total += length * (reached - before)
            before = reached
        return min(self.longest, math.ceil(total - 1e-9))


def read_lengths(given: Any) -> str:
    """Return lengths as text, the shortest first; very many are rounded up to fewer.

    Args:
        given: Text, a path of a file, or numbers.

    Raises:
        InvalidValue: They are no lengths.
    """
    if isinstance(given, os.PathLike):
        given = _from_file(Path(given))
    try:
        counts = _counted(given) if isinstance(given, str) else Counter(_whole(given))
    except (TypeError, ValueError):
        raise InvalidValue("lengths", given, _ACCEPTED) from None
    if not counts or min(counts) < 1 or max(counts) > LONGEST or min(counts.values()) < 1:
        raise InvalidValue("lengths", given, _ACCEPTED)
    if sum(counts.values()) > _MOST_SAMPLES:
        raise InvalidValue("lengths", given, f"lengths of at most {_MOST_SAMPLES:,} samples")
    return ",".join(f"{length}:{count}" for length, count in sorted(_fewer(counts).items()))


def lengths_in(words: str) -> str:
    """Return the lengths that the command line names: those of a file, or the text itself.

    Raises:
        UsageError: The file cannot be read, or holds no lengths.
    """
    return read_lengths(words if _INLINE.fullmatch(words) else Path(words))


def read_range(given: Any) -> str:
    """Return shortest, mean and longest length as text.

    Raises:
        InvalidValue: They are not, or not in this order.
    """
    accepted = "MIN,MEAN,MAX in tokens, each no less than the one before, such as 16,120.5,512"
    try:
        is_text = isinstance(given, str) and len(given) <= _LONGEST_TEXT
        parts = given.split(",") if is_text else list(given)
        low, mean, high = int(parts[0]), float(parts[1]), int(parts[2])
        is_right = len(parts) == 3 and 1 <= low <= mean <= high <= LONGEST
    except (TypeError, ValueError, IndexError, AttributeError, OverflowError):
        is_right = False
    if not is_right:
        raise InvalidValue("length range", given, accepted)
    return f"{low},{mean:g},{high}"


def distribution(lengths: str | None, length_range: str | None) -> Lengths | None:
    """Return the distribution that was asked for; None where none was.

    Raises:
        UsageError: Both are given.
    """
    if lengths and length_range:
        raise UsageError("Both lengths and a length range are given. Give one of them.")
    if lengths:
        counts = tuple(sorted(_counted(lengths).items()))
        samples = sum(count for _, count in counts)
        return Lengths(counts, sum(length * count for length, count in counts) / samples)
    return _assumed(length_range) if length_range else None


def _assumed(text: str) -> Lengths:
    """Return a bounded distribution with a given mean.

    Triangular where one has that mean. Else the power law low + (high - low) u**p of a uniform u,
    whose mean is low + (high - low) / (p + 1).
    """
    low, mean, high = (float(part) for part in text.split(","))
    span = high - low
    mode = 3 * mean - low - high
    said = f"Only the shortest, mean and longest length are known ({text.replace(',', ', ')}): "
    places = [(point + 0.5) / _POINTS for point in range(_POINTS)]
    if not span or mean in (low, high):
        values, said = [mean] * _POINTS, said + "all but the longest are taken to be of the mean."
    elif low <= mode <= high:
        cut = (mode - low) / span
        values = [
            low + math.sqrt(u * span * (mode - low))
            if u < cut
            else high - math.sqrt((1 - u) * span * (high - mode))
            for u in places
        ]
        said += f"a triangular distribution between them is assumed, its mode at {mode:,.0f}."
    else:
        power = span / (mean - low) - 1
        values = [low + span * u**power for u in places]
        said += (
            "no triangular distribution has that mean; a power law between them is assumed, with "
            f"the exponent {power:.2g}."
        )
    counts = Counter(min(int(high), math.ceil(value - 1e-9)) for value in values)
    counts[int(high)] += 1
    return Lengths(tuple(sorted(counts.items())), mean, said)


def _counted(text: str) -> Counter[int]:
    if not _INLINE.fullmatch(text) or len(text) > _LONGEST_TEXT:
        raise ValueError(text[:_MOST_LENGTHS])
    counts: Counter[int] = Counter()
    for part in text.split(","):
        length, _, count = part.strip().partition(":")
        if length:
            counts[int(length)] += int(count or 1)
    return counts


def _whole(values: Iterable[Any]) -> Iterator[int]:
    for value in values:
        if isinstance(value, bool) or int(value) != value:
            raise ValueError(value)
        yield int(value)


def _fewer(counts: Counter[int]) -> Counter[int]:
    """Round lengths up to multiples of what leaves few of them; the longest stays as it is."""
    if len(counts) <= _MOST_LENGTHS:
        return counts
    longest = max(counts)
    width = -(-longest // _MOST_LENGTHS)
    rounded: Counter[int] = Counter()
    for length, count in counts.items():
        rounded[min(longest, -(-length // width) * width)] += count
    return rounded


def _from_file(path: Path) -> list[int]:
    """Read a file: a JSON list, or one length a line.

    Raises:
        UsageError: It cannot be read, or holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8").strip()
        values = json.loads(text) if text.startswith("[") else [int(x) for x in text.split()]
        if not values:
            raise ValueError("it is empty")
        return list(_whole(values))
    except OSError as error:
        raise UsageError(
            f"Lengths cannot be read from {str(path)!r}: {error.strerror}. Accepted: {_ACCEPTED}."
        ) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise UsageError(
            f"The file {str(path)!r} holds no lengths: {str(error)[:100]}. Accepted: {_ACCEPTED}."
        ) from error
