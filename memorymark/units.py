"""Formats numbers for people; everything else is in bytes and seconds."""

from __future__ import annotations

import math
import re
from datetime import datetime

from memorymark.errors import InvalidValue

KIB = 1024
MIB = 1024**2
GIB = 1024**3
UNKNOWN = "—"

_UNITS = {
    "": 1, "b": 1,
    "k": KIB, "kib": KIB, "kb": 1000,
    "m": MIB, "mib": MIB, "mb": 1000**2,
    "g": GIB, "gib": GIB, "gb": 1000**3,
    "t": 1024**4, "tib": 1024**4, "tb": 1000**4,
}  # fmt: skip
_DURATIONS = {  # seconds in each, and up to which it reads best
    "ms": (1e-3, 1.0), "s": (1.0, 120.0), "min": (60.0, 7200.0), "h": (3600.0, math.inf),
}  # fmt: skip
_CENT = 0.01
_FEWEST_POINTS = 0.0001  # percent
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]*)")
_LONGEST_AMOUNT = 100
_MOST_BYTES = 1024**5
_SECONDS_IN = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(s|min|m|h|d)?", re.IGNORECASE)
_LONGEST_SPAN = 10 * 365 * 86_400


def parse_bytes(text: str | int, what: str = "memory budget") -> int:
    """Read an amount of memory: 4GiB, 512MiB, 2.5GB or a plain number of bytes.

    Args:
        text: The amount.
        what: What it is of, as an error names it.

    Raises:
        InvalidValue: It is not an amount, not above zero, or beyond what any machine has.

    Example:
        >>> parse_bytes("4GiB")
        4294967296
    """
    amount = text if isinstance(text, int) and not isinstance(text, bool) else _amount(str(text))
    if amount is None or not 1 <= amount <= _MOST_BYTES:
        accepted = "an amount above zero such as 4GiB, 512MiB or 2000000000, up to 1024TiB"
        raise InvalidValue(what, text, accepted)
    return amount


def _amount(text: str) -> int | None:
    match = _AMOUNT.fullmatch(text.strip()) if len(text) <= _LONGEST_AMOUNT else None
    unit = _UNITS.get(match.group(2).lower()) if match else None
    if match is None or unit is None:
        return None
    number = match.group(1)
    return int(number) * unit if number.isdigit() else int(float(number) * unit)


def parse_seconds(text: str | float, what: str = "time budget") -> float:
    """Read a span of time: a number of seconds, or text such as "2h", "30m" or "1h 30m".

    Raises:
        InvalidValue: It is none, or not above 0, or above ten years.

    Example:
        >>> parse_seconds("1h 30m"), parse_seconds(90)
        (5400.0, 90.0)
    """
    words = str(text).strip()[:_LONGEST_AMOUNT]
    parts = _SPAN.findall(words)
    rest = _SPAN.sub("", words).strip()
    total = sum(float(number) * _SECONDS_IN[unit.lower() or "s"] for number, unit in parts)
    alone = len(parts) == 1 or all(unit for _, unit in parts)
    if isinstance(text, bool) or rest or not alone or not 0 < total <= _LONGEST_SPAN:
        raise InvalidValue(what, text, "a span of time such as 90s, 30m, 2h or 1h 30m")
    return total


def gib(value: int | None) -> str:
    """Write bytes as GiB, a dash where unknown."""
    return UNKNOWN if value is None else f"{value / GIB:,.2f} GiB"


def mib_or_gib(value: int | None) -> str:
    """Write bytes as GiB, below one GiB as MiB, tiny ones as KiB; a dash where unknown."""
    if value is None or value >= GIB:
        return gib(value)
    if 0 < value < MIB / 10:
        return f"{value / 1024:,.1f} KiB"
    return f"{value / MIB:,.1f} MiB"


def at_most(value: int | None, most: int | None) -> str:
    """Write the most that an amount of memory may be; nothing where it reads as the amount.

    Example:
        >>> at_most(5 * GIB, 6 * GIB), at_most(5 * GIB, 5 * GIB + 1), at_most(512 * MIB, GIB)
        (' (at most 6.00)', '', ' (at most 1.00 GiB)')
    """
    if most is None or mib_or_gib(most) == mib_or_gib(value):
        return ""
    return f" (at most {without_unit_of(most, value)})"


def without_unit_of(value: int | None, other: int | None) -> str:
    """Write bytes beside another amount; without their unit where that has the same one.

    Example:
        >>> without_unit_of(5 * GIB, 6 * GIB), without_unit_of(5 * MIB, 6 * GIB)
        ('5.00', '5.0 MiB')
    """
    unit = mib_or_gib(other).rpartition(" ")[2]
    return mib_or_gib(value).removesuffix(f" {unit}")


def gib_range(low: int | None, high: int | None) -> str:
    """Write a range of bytes, in MiB where its higher end is below one GiB; a dash where unknown.

    One figure where both ends read alike.

    Example:
        >>> gib_range(18 * GIB, 19 * GIB)
        '18.00 to 19.00 GiB'
    """
    if low is None or high is None:
        return UNKNOWN
    unit, size, digits = ("MiB", MIB, 1) if high < GIB else ("GiB", GIB, 2)
    ends = dict.fromkeys(f"{end / size:,.{digits}f}" for end in (low, high))
    return f"{' to '.join(ends)} {unit}"


def count(value: int | None) -> str:
    """Write a whole number, a dash where unknown."""
    return UNKNOWN if value is None else f"{value:,}"


def rate(value: float | None) -> str:
    """Write samples per second with three or more figures, a dash where unknown."""
    if value is None:
        return UNKNOWN
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def likely_rate(band: tuple[float, float] | None) -> str:
    """Write between which samples per second an estimate is likely to lie; nothing for None.

    Example:
        >>> likely_rate((93.1, 125.4))
        ' (likely 93.1 to 125)'
    """
    return "" if band is None else f" (likely {rate(band[0])} to {rate(band[1])})"


def likely_seconds(low: float | None, high: float | None) -> str:
    """Write between which durations an estimate is likely to lie, both in one unit.

    Nothing where it is no estimate.

    Example:
        >>> likely_seconds(0.1, 0.2)
        ' (likely 100 ms to 200 ms)'
    """
    if low is None or high is None:
        return ""
    middle = math.sqrt(abs(low * high)) or abs(high)  # near the figure that the band is of
    unit = _unit_of(middle)
    return f" (likely {_in_unit(low, unit)} to {_in_unit(high, unit)})"


def likely_hours(band: tuple[float, float] | None) -> str:
    """Write between which durations, given in hours, an estimate is likely to lie; none for None.

    Example:
        >>> likely_hours((0.5, 3.0))
        ' (likely 30 min to 180 min)'
    """
    return "" if band is None else likely_seconds(band[0] * 3600, band[1] * 3600)


def likely_usd(band: tuple[float, float] | None) -> str:
    """Write between which amounts of dollars an estimate is likely to lie; nothing for None.

    Example:
        >>> likely_usd((0.131, 0.44))
        ' (likely $0.13 to $0.44)'
    """
    return "" if band is None else f" (likely {usd(band[0])} to {usd(band[1])})"


def seconds(value: float | None) -> str:
    """Write a duration in the unit that reads best, a dash where unknown."""
    return UNKNOWN if value is None else _in_unit(value, _unit_of(value))


def _unit_of(value: float) -> str:
    return next(name for name, (_, end) in _DURATIONS.items() if value < end)


def _in_unit(value: float, unit: str) -> str:
    return f"{'-' if value < 0 else ''}{rate(abs(value) / _DURATIONS[unit][0])} {unit}"


def hours(value: float | None) -> str:
    """Write a duration that is given in hours, a dash where unknown."""
    return UNKNOWN if value is None else f"{'-' if value < 0 else ''}{seconds(abs(value) * 3600)}"


def usd(value: float | None) -> str:
    """Write an amount of dollars, a dash where unknown; one that is not nothing never reads so.

    Example:
        >>> usd(0.0), usd(0.003), usd(-0.003), usd(-0.3)
        ('$0.00', 'under $0.01', 'above -$0.01', '-$0.30')
    """
    if value is None:
        return UNKNOWN
    if value and round(value, 2) == 0:
        return f"under ${_CENT}" if value > 0 else f"above -${_CENT}"
    sign = "-" if value < 0 else ""
    return f"{sign}${abs(value):,.2f}" if abs(value) < 100 else f"{sign}${abs(value):,.0f}"


def percent(value: float | None) -> str:
    """Write a share of one as percent with two or three figures, a dash where unknown.

    Example:
        >>> percent(0.05), percent(0.125), percent(0.0119), percent(12.5)
        ('5 %', '12.5 %', '1.2 %', '1,250 %')
    """
    if value is None:
        return UNKNOWN
    points = abs(value) * 100
    if 0 < points < _FEWEST_POINTS:
        return f"under {_FEWEST_POINTS} %"
    digits = ".2g" if points < 10 else ".3g" if points < 1000 else ",.0f"
    return f"{'-' if value < 0 else ''}{points:{digits}} %"


def local_time(at: float | None) -> datetime | None:
    """Return a time, given in seconds since the epoch, as this machine's clock shows it.

    None where it is unknown, or in no year that a calendar has.
    """
    try:
        return None if at is None else datetime.fromtimestamp(at)
    except (OverflowError, ValueError, OSError):
        return None


def moment(at: float | None) -> str:
    """Write the date and time of a time in seconds since the epoch, a dash where unknown.

    Example:
        >>> moment(1e300)
        '—'
    """
    time = local_time(at)
    return UNKNOWN if time is None else time.strftime("%Y-%m-%d %H:%M")


def clock(at: float | None) -> str:
    """Write the time of the day of a time in seconds since the epoch, a dash where unknown."""
    time = local_time(at)
    return UNKNOWN if time is None else time.strftime("%H:%M:%S")
