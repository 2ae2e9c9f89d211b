"""Apple's GPUs in the catalogue: what their figures are, and which lists they stay out of."""

import pytest

from memorymark.gpus.catalogue import find_gpu, load_catalogue, rentable_gpus

GIB = 1024**3
PAGE = 16 * 1024
APPLE = [gpu for gpu in load_catalogue().values() if gpu.is_apple]
each = pytest.mark.parametrize("gpu", APPLE, ids=lambda gpu: gpu.key)


def test_every_generation_is_there_in_several_sizes():
    keys = {gpu.key for gpu in APPLE}
    assert {"m1-8gb", "m1-16gb", "m2-16gb", "m3-16gb", "m4-16gb", "m4-pro-48gb"} <= keys
    assert {"m4-max-36gb", "m4-max-128gb", "m3-ultra-96gb", "m3-ultra-512gb"} <= keys
    assert not keys & set(rentable_gpus())


@each
def test_mps_may_use_two_thirds_of_the_memory_or_more_in_whole_pages(gpu):
    assert 0.66 < gpu.usable_bytes / gpu.total_bytes < 0.91
    assert gpu.usable_bytes == gpu.recommended_bytes
    assert gpu.usable_bytes % PAGE == 0


def test_readings_are_those_that_were_printed():
    printed = {"m4-16gb": 12713.12, "m3-pro-18gb": 14302.25, "m4-32gb": 26800.60}
    printed |= {"m4-max-36gb": 30150.67, "m4-max-64gb": 55662.79, "m3-ultra-512gb": 498216.21}
    for key, megabytes in printed.items():
        assert find_gpu(key).usable_bytes / 1e6 == pytest.approx(megabytes, abs=0.006), key
    assert find_gpu("m4-max-128gb").usable_bytes / GIB == pytest.approx(107.52, abs=0.005)
    assert find_gpu("m4-16gb").usable_bytes == 12713115648


@each
def test_peaks_are_cores_by_lanes_by_clock(gpu):
    assert 1.2e9 < gpu.clock_hz < 1.7e9
    assert gpu.fp16_flops == gpu.fp32_flops == 2 * 128 * gpu.multiprocessors * gpu.clock_hz
    assert gpu.tf32_flops is None
    assert (gpu.bf16_flops is None) == gpu.key.startswith(("m1", "m2"))
    assert 60e9 < gpu.bandwidth_bytes_per_s < 900e9


@each
def test_there_is_no_context_no_price_and_no_link(gpu):
    assert (gpu.likely_context_bytes, gpu.context_is_assumed) == (0, False)
    assert (gpu.usd_per_hour, gpu.board_watts, gpu.compute_capability) == (None, None, None)
    assert gpu.link is None
    assert gpu.host_to_device_bytes_per_second is None
    assert "memory is the host's" in gpu.no_link_reason


def test_fewer_cores_come_with_less_bandwidth_where_apple_sells_them_so():
    small, large = find_gpu("m4-max-36gb"), find_gpu("m4-max-128gb")
    assert (small.multiprocessors, large.multiprocessors) == (32, 40)
    assert (small.bandwidth_bytes_per_s, large.bandwidth_bytes_per_s) == (410e9, 546e9)
