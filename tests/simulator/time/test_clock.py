"""Time from peak rates: as slow as the slower of arithmetic and memory."""

import pytest
import torch

from memorymark.simulator.time import clock
from memorymark.simulator.time.clock import Rates, work_of
from memorymark.simulator.time.clock import seconds as seconds_at

RATES = Rates({torch.float32: 1e12, torch.float16: 4e12}, 1e11, convolution_fp32_flops=2e12)
MM = torch.ops.aten.mm.default
CONV = torch.ops.aten.convolution.default


def meta(*shape, dtype=torch.float32):
    return torch.empty(*shape, dtype=dtype, device="meta")


def seconds(func, args, output, rates=RATES):
    work = work_of(func, args, output)
    return seconds_at([work] if work else [], rates)


def test_a_large_product_takes_its_arithmetic():
    n = 8192
    args, output = (meta(n, n), meta(n, n)), meta(n, n)
    at_peak = 2 * n**3 / 1e12
    found = seconds(MM, args, output)
    assert at_peak < found < 3 * at_peak
    more_bandwidth = Rates(RATES.flops, 2 * RATES.bandwidth_bytes)
    assert seconds(MM, args, output, more_bandwidth) == pytest.approx(found)


def test_an_elementwise_operation_takes_its_bytes():
    x = meta(10**8)
    found = seconds(torch.ops.aten.add.Tensor, (x, x), x)
    at_peak = 3 * 4e8 / 1e11
    assert at_peak < found < 3 * at_peak
    more_arithmetic = Rates({torch.float32: 9e12}, RATES.bandwidth_bytes)
    assert seconds(torch.ops.aten.add.Tensor, (x, x), x, more_arithmetic) == pytest.approx(found)


def test_sixteen_bits_are_faster():
    n = 8192
    half = [meta(n, n, dtype=torch.float16)] * 3
    full = [meta(n, n)] * 3
    assert seconds(MM, half[:2], half[2]) < 0.3 * seconds(MM, full[:2], full[2])


def test_convolutions_in_fp32_have_a_rate_of_their_own():
    args = (meta(64, 256, 56, 56), meta(256, 256, 3, 3), None, [1, 1], [1, 1], [1, 1], False,
            [0, 0], 1)  # fmt: skip
    output = meta(64, 256, 56, 56)
    own = seconds(CONV, args, output)
    without = seconds(CONV, args, output, Rates(RATES.flops, RATES.bandwidth_bytes))
    assert without == pytest.approx(2 * own, rel=0.01)


def test_views_take_no_time_and_small_kernels_their_launch():
    x = meta(4, 4)
    assert seconds(torch.ops.aten.view.default, (x, [16]), x.view(16)) == 0
    assert 1e-6 < seconds(torch.ops.aten.relu.default, (x,), x) < 1e-4


def test_attention_in_groups_of_heads_is_counted_where_torchs_formula_refuses_it(monkeypatch):
    attention = torch.ops.aten._scaled_dot_product_flash_attention
    formula = clock.flop_registry[attention]
    query, few, many = meta(2, 8, 64, 16), meta(2, 2, 64, 16), meta(2, 8, 64, 16)

    def only_alike(query, key, value, *rest, **options):
        assert query[1] == key[1] == value[1]
        return formula(torch.empty(query, device="meta"), many, many, *rest, **options)

    alike = work_of(attention.default, (query, many, many), query)
    monkeypatch.setitem(
        clock.flop_registry, attention,
        lambda *args, **options: only_alike(
            *(getattr(x, "shape", x) for x in args), **options
        ),
    )  # fmt: skip
    grouped = work_of(attention.default, (query, few, few), query)
    assert grouped.flops == alike.flops > 0
