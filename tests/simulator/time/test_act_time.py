"""The time of one pass of an inference: its kernels, its host, and what the band says."""

import pytest
import torch

from memorymark.gpus.catalogue import find_gpu
from memorymark.simulator.time.act_time import act_time
from memorymark.simulator.time.calibration import CALIBRATION, INFERENCE
from memorymark.simulator.time.kernels import Kernel, Kind, Work
from memorymark.simulator.time.unpacking import UNSEEN, Unpacking

A100 = find_gpu("a100-80gb")
SIZE = 8192
WEIGHT_BYTES = 2 * SIZE * SIZE


def product(rows):
    """A product with a square matrix in fp16."""
    kernel = Kernel(Kind.PRODUCT, torch.float16, 1, WEIGHT_BYTES, rows, SIZE, SIZE)
    return Work((kernel,))


def test_a_product_of_few_rows_takes_as_long_as_its_weights():
    found = act_time([product(1)] * 100, A100)
    read = 100 * WEIGHT_BYTES / A100.bandwidth_bytes_per_s
    assert found.seconds == found.device_seconds > read
    assert read / found.seconds == pytest.approx(INFERENCE.product_bandwidth, rel=0.15)
    assert act_time([product(16)] * 100, A100).seconds == pytest.approx(found.seconds)
    assert act_time([product(512)] * 100, A100).seconds > 1.2 * found.seconds


def test_what_the_last_wave_leaves_idle_is_added_where_waves_are_few():
    few, many = [product(256)], [product(65_536)]
    ratios = [
        act_time(works, A100).device_seconds
        / act_time(works, A100, calibration=CALIBRATION).device_seconds
        for works in (few, many)
    ]
    assert ratios[0] > 1.2 and ratios[1] == pytest.approx(1, abs=0.1)


def test_views_take_the_hosts_time_alone():
    works = [product(1)] + [Work(())] * 1000
    found = act_time(works, A100)
    assert (
        found.seconds
        == found.host_seconds
        == pytest.approx(1001 * INFERENCE.inference_host_seconds)
    )
    assert "the host" in found.sentence
    compiled = act_time(works, A100, compiled=True)
    assert compiled.seconds == compiled.device_seconds < found.seconds


def test_the_band_is_wider_on_a_card_of_which_little_is_known():
    known, other = act_time([product(1)], A100), act_time([product(1)], find_gpu("b200"))
    assert other.high_seconds / other.low_seconds > known.high_seconds / known.low_seconds
    assert "few published figures" in other.sentence and "few" not in known.sentence


def test_the_band_is_wider_where_a_long_cache_is_copied():
    copies = Work((Kernel(Kind.ELEMENTWISE, None, 1, WEIGHT_BYTES),), 2)
    found = act_time([product(1), copies], A100)
    assert "a long cache" in found.sentence
    plain = act_time([product(1)], A100)
    assert found.high_seconds / found.low_seconds > plain.high_seconds / plain.low_seconds


def test_weights_of_4_bits_are_unpacked_by_the_card_and_called_for_by_the_host():
    works, packed = [product(512)] * 10, Unpacking(layers=10, weights=10 * SIZE * SIZE)
    plain, found = act_time(works, A100), act_time(works, A100, unpacking=packed)
    more = found.device_seconds - plain.device_seconds
    assert more == pytest.approx(packed.device_seconds) and more > plain.device_seconds
    assert found.host_seconds - plain.host_seconds == pytest.approx(packed.host_seconds)
    assert found.high_seconds / found.seconds > plain.high_seconds / plain.seconds
    assert "bitsandbytes" in found.sentence and "bitsandbytes" not in plain.sentence
    one_row = act_time([product(1)] * 10, A100, unpacking=Unpacking(10, 0))
    assert one_row.device_seconds == act_time([product(1)] * 10, A100).device_seconds


def test_of_weights_of_8_bits_the_band_says_that_nothing_is_known():
    plain, found = (act_time([product(1)] * 10, A100, unpacking=each) for each in (None, UNSEEN))
    assert found.seconds == plain.seconds and "torchao" in found.sentence
    assert found.high_seconds > 2 * found.seconds > 2 * plain.high_seconds / 1.5
