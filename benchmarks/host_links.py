"""Scores the rates of copies between a GPU and pinned memory of its host against published ones.

    python benchmarks/host_links.py

ground_truth/pinned_copies.csv holds what others printed of NVIDIA's bandwidthTest and nvbandwidth.
Rows to "fit" say which share of a link's peak `memorymark/gpus/host_link.py` takes as likely, the
median for each link and way; rows to "check" are of other cards, and took no part in it. Why a row
is left out stands in it.
"""

from __future__ import annotations

import csv
import statistics
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent.parent)]

from memorymark.gpus.host_link import CopyRate, find_link

ROWS = Path(__file__).parent / "ground_truth" / "pinned_copies.csv"


@dataclass(frozen=True)
class Copy:
    """One published rate.

    Attributes:
        gpu: The card.
        link: Name of its link.
        way: "to device" or "to host".
        bytes_per_second: The rate.
        use: "fit", "check" or "left out".
    """

    gpu: str
    link: str
    way: str
    bytes_per_second: float
    use: str

    @property
    def share(self) -> float:
        """The share of the link's peak."""
        return self.bytes_per_second / find_link(self.link).peak_bytes_per_second

    @property
    def expected(self) -> CopyRate:
        """What memorymark takes."""
        link = find_link(self.link)
        return link.host_to_device if self.way == "to device" else link.device_to_host

    @property
    def error(self) -> float:
        """How far the likely rate is above the published one, as a share of that."""
        return self.expected.likely / self.bytes_per_second - 1

    @property
    def is_in_band(self) -> bool:
        """Whether the published rate is between low and high."""
        return self.expected.low <= self.bytes_per_second <= self.expected.high


def load_copies(use: str | None = None) -> list[Copy]:
    """Return the rows of the file, or those of one use."""
    with ROWS.open(encoding="utf-8", newline="") as lines:
        rows = [
            Copy(row["gpu"], row["link"], row["way"], float(row["gb_per_s"]) * 1e9, row["use"])
            for row in csv.DictReader(lines)
        ]
    return [row for row in rows if use in (None, row.use)]


def fitted_shares() -> dict[tuple[str, str], float]:
    """Return the median share of the rows to fit, by link and way."""
    found = defaultdict(list)
    for row in load_copies("fit"):
        found[row.link, row.way].append(row.share)
    return {key: statistics.median(shares) for key, shares in found.items()}


def main() -> None:
    """Print the shares that were fitted, and the errors of the rows to check."""
    for (link, way), share in sorted(fitted_shares().items()):
        print(f"{link:<13} {way:<10} {share:.3f} of the peak")
    checked = load_copies("check")
    for row in checked:
        inside = "" if row.is_in_band else ", outside the band"
        rate = row.bytes_per_second / 1e9
        print(f"{row.gpu:<28} {row.way:<10} {rate:6.1f} GB/s {row.error:+7.1%}{inside}")
    median = statistics.median(abs(row.error) for row in checked)
    inside, left_out = sum(row.is_in_band for row in checked), len(load_copies("left out"))
    print(f"{len(checked)} rows checked, {inside} in the band, median error {median:.1%}; "
          f"{left_out} left out")  # fmt: skip


if __name__ == "__main__":
    main()
