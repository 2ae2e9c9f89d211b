"""The catalogue is data: keys, ranges, units, sources and dates have their own tests."""

import csv
import re
from datetime import date
from importlib import resources

import pytest

from memorymark.errors import UnknownChoice
from memorymark.gpus.catalogue import (
    DEFAULT_GPU,
    find_gpu,
    find_gpu_by_device_name,
    load_catalogue,
    rentable_gpus,
)

GIB = 1024**3
PROMISED = [
    *("p100", "t4", "v100-16gb", "v100-32gb", "rtx-3060", "rtx-3090", "rtx-4060", "rtx-4090"),
    *("l4", "a10", "a10g", "l40s", "a100-40gb", "a100-80gb", "h100-80gb", "h200", "b200"),
]
CAPABILITIES = {(6, 0), (7, 0), (7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0)}
# No dated price was found; one that is found leaves this list.
UNPRICED = {"a10g", "p100"}
each_gpu = pytest.mark.parametrize("gpu", load_catalogue().values(), ids=lambda gpu: gpu.key)
each_card = pytest.mark.parametrize("gpu", rentable_gpus().values(), ids=lambda gpu: gpu.key)


def rows():
    file = resources.files("memorymark.gpus").joinpath("gpus.csv")
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def seen(text):
    """Read YYYY, YYYY-MM or YYYY-MM-DD as the first day that it can mean."""
    assert re.fullmatch(r"\d{4}(-\d{2}){0,2}", text), text
    return date.fromisoformat(f"{text}-01-01"[:10])


def test_all_promised_keys_are_there():
    assert set(PROMISED) <= set(load_catalogue())
    assert DEFAULT_GPU in load_catalogue()


def test_keys_and_names_are_unique():
    keys = [row["key"] for row in rows()]
    names = [row["name"] for row in rows()]
    device_names = [name for gpu in load_catalogue().values() for name in gpu.device_names]
    for values in (keys, names, device_names):
        assert len(values) == len(set(values))
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", key) for key in keys)


@each_card
def test_memory_is_in_bytes_and_near_what_the_name_says(gpu):
    assert 6 * GIB < gpu.total_bytes < 300 * GIB
    assert gpu.total_bytes % 1024 == 0


def test_memory_is_what_the_key_says():
    stated = {key: re.search(r"-(\d+)gb$", key) for key in load_catalogue()}
    gib = {key: int(found[1]) for key, found in stated.items() if found}
    assert {"v100-16gb", "v100-32gb", "a100-40gb", "a100-80gb", "h100-80gb"} <= set(gib)
    for key, size in gib.items():
        assert 0.9 * size < find_gpu(key).total_bytes / GIB <= size, key


@each_card
def test_contexts_are_known_or_assumed(gpu):
    assert 100 * 1024**2 <= gpu.likely_context_bytes <= 2 * GIB
    assert gpu.usable_bytes == gpu.total_bytes - gpu.likely_context_bytes
    assert gpu.context_is_assumed == (gpu.context_bytes is None)


@each_card
def test_peaks_are_per_second_and_in_order(gpu):
    assert gpu.compute_capability in CAPABILITIES
    assert 5e12 <= gpu.fp32_flops <= 200e12
    has_tensor_cores = gpu.compute_capability >= (7, 0)
    assert (gpu.fp32_flops < gpu.fp16_flops) == has_tensor_cores
    assert gpu.fp32_flops <= gpu.fp16_flops <= 3e15
    assert 100e9 <= gpu.bandwidth_bytes_per_s <= 10e12
    has_bf16 = gpu.compute_capability >= (8, 0)
    assert (gpu.bf16_flops is not None) == has_bf16
    assert (gpu.tf32_flops is not None) == has_bf16
    if has_bf16:
        assert gpu.bf16_flops == gpu.fp16_flops
        assert gpu.fp32_flops <= gpu.tf32_flops <= gpu.bf16_flops


@each_card
def test_hardware_is_in_units_and_its_clock_is_one_that_cards_have(gpu):
    assert 20 <= gpu.multiprocessors <= 200
    assert 2 * 1024**2 <= gpu.l2_bytes <= 256 * 1024**2
    assert 50 <= gpu.board_watts <= 1500
    assert 1.2e9 < gpu.clock_hz < 2.7e9


@each_gpu
def test_prices_are_dollars_an_hour(gpu):
    price = gpu.usd_per_hour
    assert price is None if gpu.is_apple or gpu.key in UNPRICED else 0.05 < price < 20


def sources_of(gpu):
    """(source, date) of each group of figures."""
    groups = ("memory", "context", "performance", "hardware", "price", "host_link", "recommended")
    return {g: (getattr(gpu, f"{g}_source"), getattr(gpu, f"{g}_observed_at")) for g in groups}


@each_gpu
def test_every_figure_has_a_source_and_a_date(gpu):
    known = {"memory": gpu.total_bytes, "performance": gpu.fp32_flops, "hardware": gpu.l2_bytes}
    known |= {"context": gpu.context_bytes, "price": gpu.usd_per_hour}
    known |= {"host_link": gpu.host_link, "recommended": gpu.recommended_bytes}
    for group, (source, observed_at) in sources_of(gpu).items():
        assert (source is None) == (known[group] is None), group
        assert (observed_at is None) == (known[group] is None), group
        if source is not None:
            assert len(source) > 10
            assert date(2018, 1, 1) <= seen(observed_at) <= date.today()


# A source is a page, a file or a document with a name; what has none says so.
NAMED = re.compile(
    r"\b[\w-]+\.(com|org|net|app|io|co|de|se|py)\b|datasheet|evaluation records|MemoryMark"
)
ADMITTED = re.compile(
    r"does not name them|without where it was seen|not noted|from memory|computed"
)


@each_gpu
def test_every_source_has_a_name_or_says_that_it_has_none(gpu):
    assert {"memory", "performance"} <= {g for g, (source, _) in sources_of(gpu).items() if source}
    for group, (source, _) in sources_of(gpu).items():
        if source is not None:
            assert NAMED.search(source) or ADMITTED.search(source), f"{group}: {source}"
            # A document that was only quoted by somebody must say by whom.
            assert "not opened" not in source or "quoted by" in source or "memory" in source


def test_keys_are_found_in_any_case():
    assert find_gpu(" A100-40GB ") is find_gpu("a100-40gb")


def test_an_unknown_key_names_the_nearest():
    with pytest.raises(UnknownChoice, match="a100-40gb") as caught:
        find_gpu("a100-40")
    assert caught.value.nearest == "a100-40gb"


def test_a_device_is_found_by_the_name_that_torch_gives():
    assert find_gpu_by_device_name("NVIDIA A100-SXM4-40GB").key == "a100-40gb"
    assert find_gpu_by_device_name("nvidia h200").key == "h200"
    assert find_gpu_by_device_name("NVIDIA GeForce GTX 1080") is None


def test_peaks_by_precision():
    a100, t4 = find_gpu("a100-40gb"), find_gpu("t4")
    assert a100.peak_flops == {"fp32": 19.5e12, "tf32": 156e12, "fp16": 312e12, "bf16": 312e12}
    assert (t4.peak_flops["tf32"], t4.peak_flops["bf16"]) == (None, None)
    assert t4.peak_flops["fp16"] == 65e12


def test_an_unknown_context_is_assumed_by_generation():
    assert find_gpu("a100-40gb").usable_bytes == 42474471424 - 501 * 1024**2
    assert find_gpu("a100-80gb").context_is_assumed
    assert find_gpu("a100-80gb").likely_context_bytes == 501 * 1024**2
    assert find_gpu("h200").likely_context_bytes == 512 * 1024**2
