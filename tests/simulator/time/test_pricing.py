"""Seconds of kernels: the slower of arithmetic and memory, and at least the launch."""

import pytest
import torch

from memorymark.gpus.catalogue import find_gpu
from memorymark.simulator.time.calibration import CALIBRATION
from memorymark.simulator.time.kernels import Kernel, Kind, stream
from memorymark.simulator.time.pricing import Table, kernel_seconds
from memorymark.simulator.time.speeds import speeds_of

MIB = 2**20


def price(*kernels, gpu="a100-40gb", **options):
    speeds = speeds_of(find_gpu(gpu), CALIBRATION, **options)
    return kernel_seconds(Table.of(kernels), speeds, CALIBRATION).tolist()


def product(rows, columns, depth, dtype=torch.float16, kind=Kind.PRODUCT, batch=1):
    moved = 2 * batch * (rows * depth + depth * columns + rows * columns)
    return Kernel(kind, dtype, 1, moved, rows, columns, depth, batch)


def rate(kernel, gpu="a100-40gb"):
    flops = 2 * kernel.rows * kernel.columns * kernel.depth * kernel.batch
    return flops / price(kernel, gpu=gpu)[0]


def test_a_small_product_does_not_reach_the_rate_of_a_large_one():
    small, large = rate(product(256, 256, 256)), rate(product(8192, 8192, 8192))
    assert small < 0.2 * large
    assert 0.6 * 312e12 < large < 312e12


def test_an_unaligned_product_is_slower():
    assert rate(product(8192, 8192, 8192)) > 1.2 * rate(
        product(8192, 8192, 8192, kind=Kind.ODD_PRODUCT)
    )


@pytest.mark.parametrize("kind", [Kind.PRODUCT, Kind.ODD_PRODUCT])
def test_a_sum_of_one_element_takes_its_bytes(kind):
    """Adafactor's estimate of a layer is its factor of rows times that of its columns."""
    moved = 4 * (768 * 3072 + 768 + 3072)
    outer = Kernel(kind, torch.float32, 1, moved, 768, 3072, 1)
    assert price(outer) == pytest.approx(price(stream(Kind.ELEMENTWISE, moved)))
    tiny = Kernel(kind, torch.float32, 1, 15 * 4 * 262_144, 3, 3, 1, 262_144)
    assert price(tiny) == pytest.approx(price(stream(Kind.ELEMENTWISE, tiny.moved_bytes)))


def test_small_results_are_blocks_of_which_many_run_beside_one_another():
    """As measured: 8,192 products of 9x4 and 4x1 in 126 us on a Kepler of 15 multiprocessors."""
    small = product(9, 1, 4, torch.float32, batch=8192)
    larger = product(64, 32, 4, torch.float32, batch=8192)
    (quick,), (slow,) = price(small), price(larger)
    assert quick < slow / 8 and 3e-6 < quick < 126e-6
    many = product(16, 16, 4096, torch.float32, batch=8192)
    assert price(many)[0] > 2 * 16 * 16 * 4096 * 8192 / find_gpu("a100-40gb").fp32_flops


def test_steps_of_time_run_one_after_another():
    step = product(64, 2048, 512)
    at_once = product(64, 2048, 512, batch=100)
    assert sum(price(*[step] * 100)) > 3 * price(at_once)[0]


def test_a_long_sum_is_split_over_the_card():
    few_tiles = product(256, 256, 262_144)
    assert rate(few_tiles) > 0.25 * rate(product(8192, 8192, 8192))


def test_every_kernel_takes_its_launch_and_more_launches_more():
    (once,) = price(stream(Kind.ELEMENTWISE, 16))
    (often,) = price(stream(Kind.ELEMENTWISE, 16, 10))
    assert 1e-6 < once < 1e-5 and often == pytest.approx(10 * once, rel=0.01)


def test_what_stays_in_the_cache_comes_faster():
    small, large = price(
        stream(Kind.ELEMENTWISE, 8 * MIB), stream(Kind.ELEMENTWISE, 8000 * MIB), gpu="rtx-4090"
    )
    assert large > 1200 * small


def test_copies_of_layout_are_free_where_fp32_has_no_tensor_cores():
    copy = Kernel(Kind.LAYOUT, torch.float32, 1, 100 * MIB)
    half = Kernel(Kind.LAYOUT, torch.float16, 1, 100 * MIB)
    assert price(copy, gpu="v100-16gb")[0] < 0.1 * price(half, gpu="v100-16gb")[0]
    assert price(copy)[0] == price(half)[0]


def test_convolutions_in_fp32_take_tf32_and_products_only_where_asked():
    sizes = (65_536, 512, 4608, torch.float32)
    convolution, plain = product(*sizes, kind=Kind.CONVOLUTION), product(*sizes)
    as_convolution, as_product = price(convolution, plain)
    assert as_product > 3 * as_convolution
    assert price(plain, tf32=True)[0] < 0.4 * as_product


def test_depthwise_convolutions_do_not_reach_the_arithmetic_of_others():
    depthwise = Kernel(Kind.DEPTHWISE_LAST, torch.float16, 1, 2 * 51_380_224, 50_176, 1, 9, 512)
    assert rate(depthwise) < 0.02 * rate(product(8192, 8192, 8192))
    large = depthwise._replace(kind=Kind.DEPTHWISE_LARGE, depth=81)
    assert price(large)[0] > 9 * price(depthwise)[0]


def test_resizing_few_places_of_many_planes_leaves_the_card_idle():
    few = Kernel(Kind.RESIZE, None, 1, MIB, 196, 1, 1 << 20)
    on_small, on_large = (price(few, gpu=gpu)[0] for gpu in ("rtx-3090", "rtx-4090"))
    assert 0.1 < on_small < 1.0 and on_large == pytest.approx(on_small)
    many = few._replace(rows=196 << 12, depth=1 << 8)
    assert price(many)[0] < 0.1 * on_small


def test_short_rows_cost_a_block_each_and_few_columns_are_summed_by_few_blocks():
    short = Kernel(Kind.ROW_NORM, None, 1, 64 * MIB, 1 << 20)
    assert price(short)[0] > 2 * price(short._replace(rows=1 << 12))[0]
    narrow = Kernel(Kind.ROW_SUM, None, 1, 64 * MIB, 1 << 20, 32)
    assert price(narrow)[0] > 5 * price(narrow._replace(rows=1 << 15, columns=1024))[0]


def test_few_channels_do_not_draw_all_of_the_bandwidth():
    few, many = (Kernel(Kind.NORM, None, 2, 512 * MIB, columns=c) for c in (16, 512))
    assert price(few)[0] > 3 * price(many)[0]
    unknown = Kernel(Kind.NORM, None, 2, 512 * MIB)
    assert price(unknown) == price(many)


def test_narrow_groups_waste_the_direct_kernel():
    wide = Kernel(Kind.GROUPED_DIRECT_WEIGHTS, torch.float16, 1, MIB, 128, 1152, 10_000, 2)
    narrow = wide._replace(rows=8, columns=72, batch=2 * 16 * 16)
    assert rate(narrow) < 0.3 * rate(wide) < 0.3 * 0.1 * 19.5e12


@pytest.mark.parametrize("kind", list(Kind))
def test_more_of_anything_takes_longer_on_every_card(kind):
    def kernel(scale):
        return Kernel(kind, torch.float16, 1, scale * 200 * MIB, scale * 4096, 64, 512)

    for gpu in ("t4", "a100-40gb", "rtx-4090", "h100-80gb"):
        small, large = price(kernel(1), kernel(8), gpu=gpu)
        assert 2 < large / small < 12


def test_a_card_that_draws_little_power_does_not_reach_its_peak():
    big = product(8192, 8192, 8192)
    assert rate(big, "l4") < 0.7 * 121e12
    assert rate(big, "a100-40gb") > 0.7 * 312e12


def test_more_images_of_few_channels_are_not_slower_each():
    small, large = (Kernel(Kind.NORM, None, 2, n * MIB, columns=16) for n in (4, 64))
    assert price(large, gpu="t4")[0] <= 16 * price(small, gpu="t4")[0]
