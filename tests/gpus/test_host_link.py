"""Links between GPUs and hosts: their peaks, and what copies reach."""

import dataclasses

import pytest

from memorymark.gpus.catalogue import find_gpu, rentable_gpus
from memorymark.gpus.host_link import find_link

LINKS = ["PCIe 3.0 x16", "PCIe 4.0 x8", "PCIe 4.0 x16", "PCIe 5.0 x16", "NVLink-C2C"]


def test_a_peak_is_its_generation_by_its_lanes():
    peaks = [find_link(name).peak_bytes_per_second / 1e9 for name in LINKS]
    assert peaks == pytest.approx([15.75, 15.75, 31.51, 63.02, 450], rel=1e-3)


@pytest.mark.parametrize("name", LINKS)
def test_copies_reach_less_than_the_peak(name):
    link = find_link(name)
    for rate in (link.host_to_device, link.device_to_host):
        assert rate.low / link.peak_bytes_per_second > 0.5
        assert rate.low < rate.likely < rate.high < 0.95 * link.peak_bytes_per_second


@pytest.mark.parametrize(
    ("name", "to_device", "to_host"),
    [
        ("PCIe 3.0 x16", 12.3, 12.8),
        ("PCIe 4.0 x16", 26.0, 26.0),
        ("PCIe 5.0 x16", 55.3, 55.2),
        ("NVLink-C2C", 359, 377),
    ],
)
def test_rates_are_those_of_published_runs(name, to_device, to_host):
    link = find_link(name)
    assert link.host_to_device.likely / 1e9 == pytest.approx(to_device, rel=0.02)
    assert link.device_to_host.likely / 1e9 == pytest.approx(to_host, rel=0.02)


@pytest.mark.parametrize("name", ["", "PCIe", "PCIe 4.0", "PCIe 2.0 x16", "PCIe 4.0 x3", "USB"])
def test_no_other_link_is_known(name):
    with pytest.raises(ValueError, match=r"PCIe 4\.0 x16"):
        find_link(name)


def test_every_card_has_a_link_that_is_known():
    for gpu in rentable_gpus().values():
        assert gpu.link is not None
        assert gpu.link.name == gpu.host_link
        assert gpu.no_link_reason is None


def test_a_card_without_a_link_has_no_rates():
    gpu = dataclasses.replace(find_gpu("l4"), host_link=None)
    assert gpu.link is None
    assert gpu.host_to_device_bytes_per_second is None
    assert gpu.device_to_host_bytes_per_second is None
    assert gpu.no_link_reason == "The link between the NVIDIA L4 and its host is not known."


def test_half_the_lanes_are_half_the_rate():
    half, whole = find_gpu("rtx-4060"), find_gpu("rtx-4090")
    assert half.host_link == "PCIe 4.0 x8"
    assert half.host_to_device_bytes_per_second.likely * 2 == pytest.approx(
        whole.host_to_device_bytes_per_second.likely
    )


def test_a_superchip_swaps_over_the_link_of_its_chips():
    gh200, h100 = find_gpu("gh200-96gb"), find_gpu("h100-80gb")
    assert gh200.host_link == "NVLink-C2C"
    there = gh200.host_to_device_bytes_per_second
    assert there.low < 346e9 < there.high
    assert there.likely > 6 * h100.host_to_device_bytes_per_second.likely
    assert gh200.device_to_host_bytes_per_second.low < 346e9 / 1.15
