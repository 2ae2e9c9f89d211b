from __future__ import annotations

import pytest

from memorymark import units
from memorymark.errors import InvalidValue
from memorymark.units import GIB, MIB


@pytest.mark.parametrize(
    ("text", "size"),
    [("4GiB", 4 * GIB), ("512 MiB", 512 * MIB), ("2.5GB", 2_500_000_000), ("7", 7), (9, 9),
     ("1g", GIB), ("0.5gib", GIB // 2)],
)  # fmt: skip
def test_amounts_of_memory_are_read(text, size):
    assert units.parse_bytes(text) == size


@pytest.mark.parametrize(
    "text",
    ["lots", "", "0", "0GiB", "-1GiB", "nan", "infGiB", "4 GiBs", "1e9", "0.1", float("inf"), True,
     "9" * 400 + "GiB", "9" * 5000, "9" * 10**6, 10**5000, -(10**5000), "1025TiB", " " * 10**6],
    ids=lambda value: str(value)[:9] if isinstance(value, str) else type(value).__name__,
)  # fmt: skip
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(InvalidValue, match="such as 4GiB") as caught:
        units.parse_bytes(text)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "write",
    [units.gib, units.mib_or_gib, units.rate, units.seconds, units.hours, units.usd, units.percent],
)
def test_unknown_is_a_dash_and_zero_is_not(write):
    assert write(None) == units.UNKNOWN
    assert write(0) != units.UNKNOWN


def test_gib_are_powers_of_two():
    assert units.gib(80 * GIB) == "80.00 GiB"
    assert units.mib_or_gib(100 * MIB) == "100.0 MiB"
    assert units.mib_or_gib(GIB) == "1.00 GiB"


def test_times_and_money_read_well():
    assert units.seconds(0.0123) == "12.3 ms"
    assert units.seconds(600) == "10 min"
    assert units.hours(-2.5) == "-2.5 h"
    assert units.usd(-41.2) == "-$41.20"
    assert units.usd(1234.4) == "$1,234"
    assert (units.usd(0.004), units.usd(-0.004)) == ("under $0.01", "above -$0.01")
    assert (units.usd(0.0), units.usd(-0.0), units.usd(-0.006)) == ("$0.00", "$0.00", "-$0.01")
    assert units.rate(0.215) == "0.215"
    assert units.rate(12345.6) == "12,346"


@pytest.mark.parametrize(
    ("share", "words"),
    [(0.0, "0 %"), (1e-9, "under 0.0001 %"), (0.0021, "0.21 %"), (0.05, "5 %"), (0.925, "92.5 %"),
     (-0.3, "-30 %"), (12.345, "1,234 %"), (1.0, "100 %")],
)  # fmt: skip
def test_shares_have_one_rounding(share, words):
    assert units.percent(share) == words


def test_the_most_is_in_the_unit_of_the_amount_beside_it():
    assert units.at_most(100 * MIB, 200 * MIB) == " (at most 200.0)"
    assert units.at_most(900 * MIB, 2 * GIB) == " (at most 2.00 GiB)"
    assert units.at_most(None, None) == ""


def test_a_range_of_bytes_has_one_unit():
    assert units.gib_range(18 * GIB, 20 * GIB) == "18.00 to 20.00 GiB"
    assert units.gib_range(900 * MIB, GIB) == "0.88 to 1.00 GiB"
    assert units.gib_range(100 * MIB, 900 * MIB) == "100.0 to 900.0 MiB"
    assert units.gib_range(None, GIB) == units.gib_range(GIB, None) == units.UNKNOWN
