"""What copies over a link reach follows from the published runs, and holds for other cards."""

import csv
import statistics

import host_links
import pytest
from host_links import ROWS, fitted_shares, load_copies

from memorymark.gpus.host_link import find_link


def test_likely_shares_are_the_medians_of_the_rows_to_fit():
    shares = fitted_shares()
    assert len(shares) == 8
    for (name, way), share in shares.items():
        link = find_link(name)
        rate = link.host_to_device if way == "to device" else link.device_to_host
        assert rate.likely / link.peak_bytes_per_second == pytest.approx(share, abs=0.001)


def test_other_cards_are_met():
    checked, fitted = load_copies("check"), load_copies("fit")
    assert not {row.gpu for row in checked} & {row.gpu for row in fitted}
    assert {row.link for row in checked} == {row.link for row in fitted}
    assert statistics.median(abs(row.error) for row in checked) < 0.05
    assert all(row.is_in_band for row in (*checked, *fitted))


def test_what_is_left_out_says_why():
    with ROWS.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 73
    assert all(row["why"] for row in rows if row["use"] == "left out")
    assert all(row["link"] for row in rows if row["use"] != "left out")


def test_the_score_says_what_was_checked(capsys):
    host_links.main()
    assert "28 rows checked, 28 in the band" in capsys.readouterr().out
