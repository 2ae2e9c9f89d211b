"""A step's seconds: as slow as the slower of device and host, for any card."""

import pytest
import torch

from memorymark.gpus.catalogue import find_gpu
from memorymark.memory.trace import BACKWARD, FORWARD, OPTIMIZER
from memorymark.simulator.time.calibration import CALIBRATION
from memorymark.simulator.time.clock import step_time
from memorymark.simulator.time.kernels import Kind
from memorymark.simulator.time.speeds import speeds_of
from memorymark.simulator.time.works import work_of

ATEN = torch.ops.aten
A100 = find_gpu("a100-40gb")
SPEEDS = speeds_of(A100, CALIBRATION)


def meta(*shape, dtype=torch.float32):
    return torch.empty(*shape, dtype=dtype, device="meta")


def step(*works, times=1, speeds=SPEEDS):
    return step_time([w for w in works if w] * times, [(FORWARD, 0)], speeds)


def matmul(n, dtype=torch.float32):
    x = meta(n, n, dtype=dtype)
    return work_of(ATEN.mm.default, (x, x), x)


def test_a_large_product_takes_its_arithmetic():
    at_peak = 2 * 8192**3 / A100.fp32_flops
    assert at_peak < step(matmul(8192)).seconds < 1.5 * at_peak


def test_sixteen_bits_are_faster_and_tf32_in_between():
    half = step(matmul(8192, torch.float16)).seconds
    full = step(matmul(8192)).seconds
    tf32 = step(matmul(8192), speeds=speeds_of(A100, CALIBRATION, tf32=True)).seconds
    assert half < tf32 / 1.5 < full / 4


def test_an_elementwise_operation_takes_its_bytes():
    x = meta(10**8)
    at_peak = 3 * x.nbytes / A100.bandwidth_bytes_per_s
    assert at_peak < step(work_of(ATEN.add.Tensor, (x, x), x)).seconds < 1.5 * at_peak


def test_small_kernels_wait_for_the_host():
    x = meta(4, 4)
    found = step(work_of(ATEN.relu.default, (x,), x), times=1000)
    assert found.seconds == pytest.approx(found.host_seconds) and found.host_seconds > 0.005
    assert found.device_seconds < found.host_seconds


def test_a_step_adds_up_over_its_phases_and_says_what_takes_its_time():
    works = [matmul(4096)] * 3
    marks = [(FORWARD, 0), (BACKWARD, 1), (OPTIMIZER, 2)]
    found = step_time(works, marks, SPEEDS)
    assert found.seconds == pytest.approx(3 * step(matmul(4096)).seconds)
    assert found.shares == {Kind.PRODUCT: pytest.approx(1.0)}


def test_repeated_work_is_counted_as_often_as_it_runs():
    once = matmul(2048)
    assert step(once._replace(times=5)).seconds == pytest.approx(step(once, times=5).seconds)


def test_nothing_takes_no_time():
    assert step_time([], [], SPEEDS).seconds == 0
