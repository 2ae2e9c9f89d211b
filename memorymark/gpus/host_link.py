"""The link between a GPU and its host: what it is worth, and what pinned copies reach of it.

The peak of PCI Express is its generation's transfers a second, by its lanes, less what its line
code takes: 8, 16 and 32 GT/s a lane for 3.0 to 5.0, of 130 bits of which 128 are data (PCI-SIG's
base specifications). Copies reach less: each packet carries a header, and the host has to keep up.
Which share of the peak large copies from and to pinned memory reach was read off the published
runs of NVIDIA's bandwidthTest and nvbandwidth: `benchmarks/host_links.py` takes the shares from
some cards and holds them against others, and its file of runs has the sources. A link that runs
below what the card can, or memory of another socket, is slower than the band says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

_LINE_CODE = 128 / 130
_LANE_BITS_PER_SECOND = {"3.0": 8e9, "4.0": 16e9, "5.0": 32e9}
_C2C = "NVLink-C2C"
_C2C_BYTES_PER_SECOND = 450e9  # each way; NVIDIA's Grace Hopper datasheet counts both, 900 GB/s


class CopyRate(NamedTuple):
    """The rate of large copies between pinned memory of the host and a device.

    Attributes:
        likely: Bytes per second that a machine reaches whose link runs as the card's does.
        low: What the slowest of such machines reach; virtual machines are among them.
        high: What the fastest do.
    """

    likely: float
    low: float
    high: float


# Shares of the peak that copies reach, to the device and to the host. Those of NVLink-C2C are a
# GB300's; of a GH200 it is said that it reaches about 15 % less to the host than to the device
# (github.com/NVIDIA/nvbandwidth/issues/23), which the band covers.
_REACHED = {
    "3.0": (0.779, 0.812),
    "4.0": (0.825, 0.817),
    "5.0": (0.878, 0.876),
    _C2C: (0.798, 0.838),
}
# What the slowest and the fastest machines reach of that: all runs held against it lie between.
_SLOWEST, _FASTEST = 0.77, 1.07


@dataclass(frozen=True)
class HostLink:
    """A link between a GPU and its host.

    Attributes:
        name: "PCIe", generation and lanes, as in "PCIe 4.0 x16"; or "NVLink-C2C".
        peak_bytes_per_second: What it carries at most, each way.
        host_to_device: What copies from pinned memory reach.
        device_to_host: What copies to pinned memory reach.
    """

    name: str
    peak_bytes_per_second: float
    host_to_device: CopyRate
    device_to_host: CopyRate


def find_link(name: str) -> HostLink:
    """Return a link by its name.

    Raises:
        ValueError: No link is called so.

    Example:
        >>> round(find_link("PCIe 4.0 x16").peak_bytes_per_second / 1e9, 1)
        31.5
    """
    kind, peak = _peak(name)
    to_device, to_host = (_rate(share * peak) for share in _REACHED[kind])
    return HostLink(name, peak, to_device, to_host)


def _peak(name: str) -> tuple[str, float]:
    """Return which shares count for a link, and its bytes per second."""
    if name == _C2C:
        return _C2C, _C2C_BYTES_PER_SECOND
    found = re.fullmatch(r"PCIe ([345]\.0) x(4|8|16)", name)
    if found is None:
        raise ValueError(f"{name!r}: a link is called 'PCIe 4.0 x16' or '{_C2C}'")
    generation, lanes = found.groups()
    return generation, _LANE_BITS_PER_SECOND[generation] * _LINE_CODE * int(lanes) / 8


def _rate(likely: float) -> CopyRate:
    return CopyRate(likely, likely * _SLOWEST, likely * _FASTEST)
