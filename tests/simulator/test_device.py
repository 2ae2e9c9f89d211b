"""What the simulated device counts beside the storages of tensors."""

from itertools import accumulate

import pytest
import torch
from torch.nn import functional

from memorymark.errors import UnsupportedOperation
from memorymark.gpus.catalogue import find_gpu
from memorymark.memory.trace import BACKWARD, FORWARD, STEP
from memorymark.memory.tracker import MemoryTracker
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.device import SimulatedDevice
from memorymark.simulator.session import simulating
from memorymark.simulator.tensors.shapes import ShapeCache
from memorymark.simulator.time.calibration import CALIBRATION
from memorymark.simulator.time.clock import step_time
from memorymark.simulator.time.speeds import speeds_of
from memorymark.units import MIB

A100, CPU = Rules(Platform.CUDA, (8, 0)), Rules(Platform.CPU)


def meta(*shape, dtype=torch.float32):
    return torch.empty(shape, dtype=dtype, device="meta")


def operate(run, rules=A100, **options):
    """Run operations on a simulated device; return the device and its blocks' names and sizes."""
    with simulating(rules) as session:
        device = SimulatedDevice(session, ShapeCache(), **options)
        with device:
            kept = run(device)
    blocks = [(str(block.operation), block.size_bytes) for block in device.trace.blocks]
    del kept
    return device, blocks


def test_outputs_are_counted_with_their_bytes():
    x = meta(4, 8)
    device, blocks = operate(lambda device: torch.relu(x))
    assert blocks == [("aten.relu.default", 4 * 8 * 4)]
    assert device.peak_bytes == 4 * 8 * 4


def on_the_cpu(run):
    """Return what operations on the CPU itself allocate and release."""
    with MemoryTracker("cpu") as tracker:
        run(torch.device("cpu"))
    return [size for _, size in tracker.trace.events]


def simulated_on_the_cpu(run):
    device, _ = operate(lambda _: run(torch.device("meta")), CPU)
    return [size for _, size in device.trace.events]


def test_a_tensor_that_is_made_on_the_host_is_no_other_one_where_the_device_is_the_host():
    def run(device):
        places = torch.tensor([-1, 3], device=device)
        del places

    assert simulated_on_the_cpu(run) == on_the_cpu(run) == [16, -16]


@pytest.mark.parametrize("width", [16, 24], ids=["flash", "math"])
def test_a_mask_of_booleans_costs_on_the_cpu_what_it_does_there(width):
    def run(device):
        keys = torch.ones(1, 2, 40, 16, device=device)
        values = torch.ones(1, 2, 40, width, device=device)
        mask = torch.ones(1, 1, 40, 40, dtype=torch.bool, device=device)
        functional.scaled_dot_product_attention(keys, keys, values, attn_mask=mask)

    real, found = on_the_cpu(run), simulated_on_the_cpu(run)
    assert max(accumulate(found)) == max(accumulate(real))
    assert 1600 not in found[3:], "the mask is not turned around"


def test_each_thread_of_cublas_takes_one_workspace():
    x = meta(8, 8)

    def products(device):
        for phase in (FORWARD, BACKWARD):
            device.begin_phase(phase)
            x @ x
            x @ x

    _, blocks = operate(products)
    assert [size for name, size in blocks if "cuBLAS" in name] == [A100.cublas_workspace_bytes] * 2
    _, blocks = operate(products, CPU)
    assert [name for name, _ in blocks] == ["aten.mm.default"] * 4


def test_the_workspace_of_a_convolution_is_noted_beside_the_trace():
    image, weight = meta(2, 8, 16, 16), meta(8, 8, 3, 3)
    device, blocks = operate(lambda device: functional.conv2d(image, weight, padding=1))
    (kernel,) = device.convolutions.kernels
    assert [name for name, _ in blocks] == ["aten.convolution.default"]
    assert kernel.position == 1


def test_what_follows_a_convolution_in_nhwc_order_is_in_that_order():
    image = meta(2, 8, 16, 16).to(memory_format=torch.channels_last)
    weight = meta(8, 8, 3, 3)
    kept = []
    device, _ = operate(
        lambda device: kept.append(functional.conv2d(functional.conv2d(image, weight), weight))
    )
    assert kept[0].is_contiguous(memory_format=torch.channels_last)
    assert not any(kernel.copies for kernel in device.convolutions.kernels)


def test_counters_on_the_host_are_device_memory_where_the_device_is_the_host():
    def make(device):
        return torch.zeros(3, device="cpu")

    assert operate(make)[1] == []
    assert [size for _, size in operate(make, CPU)[1]] == [12]


def test_scratch_of_a_kernel_is_taken_and_given_back():
    indices = meta(4096, dtype=torch.long)
    backward = torch.ops.aten.embedding_dense_backward.default
    device, blocks = operate(lambda device: backward(meta(4096, 4), indices, 10, -1, False))
    assert ("aten.embedding_dense_backward.default", 4 * 4096 * 8) in blocks
    assert device.live_bytes < device.peak_bytes


def test_a_fused_optimizer_works_in_place():
    weight = torch.zeros(4, device="meta", requires_grad=True)
    weight.grad = meta(4)

    def step(device):
        optimizer = torch.optim.Adam([weight], fused=True)
        optimizer.step()
        return optimizer

    _, blocks = operate(step)
    assert sum(size for _, size in blocks) == 2 * weight.nbytes + 4


def test_an_operation_without_a_rule_is_named():
    with pytest.raises(UnsupportedOperation, match="geqrf"):
        operate(lambda device: torch.geqrf(meta(3, 3)))


def test_the_time_of_one_step_is_counted():
    speeds, x = speeds_of(find_gpu("a100-40gb"), CALIBRATION), meta(256, 256)

    def steps(count):
        def run(device):
            for _ in range(count):
                device.begin_phase(STEP)
                torch.relu(x)

        device, _ = operate(run, timed_step=2)
        return step_time(device.works, device.work_marks, speeds).seconds

    assert steps(1) == 0
    assert steps(2) == steps(3) > 0


def test_what_the_model_is_told_is_counted_too():
    mask = torch.ones(MIB // 8, dtype=torch.bool, device="meta")
    _, blocks = operate(lambda device: mask.nonzero())
    assert blocks == [("aten.nonzero.default", MIB)]
