"""CUDA's autocast on tensors without data."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from memorymark.records.config import TrainingConfig
from memorymark.simulator.cuda import replacements  # noqa: F401  (registers CUDA's kernels)
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.session import simulating
from memorymark.simulator.simulated_runtime import SimulatedRuntime

RULES = Rules(Platform.CUDA)
CONFIG = TrainingConfig(precision="amp-bf16")
RUNTIME = SimulatedRuntime(RULES)
BF16, FP32 = torch.bfloat16, torch.float32


@pytest.fixture
def session():
    with simulating(RULES) as session, RUNTIME.settings(CONFIG):
        yield session


def region():
    return RUNTIME.autocast(CONFIG.precision)


def images(dtype=FP32):
    return torch.empty(2, 3, 8, 8, device="meta", dtype=dtype)


def rows(dtype=FP32):
    return torch.empty(4, 8, device="meta", dtype=dtype)


def weight(*shape, dtype=FP32):
    return torch.empty(*shape, device="meta", dtype=dtype, requires_grad=True)


LABELS = torch.empty(4, device="meta", dtype=torch.long)


@pytest.mark.parametrize(
    ("run", "dtype"),
    [
        (lambda: functional.linear(rows(), weight(8, 8)), BF16),
        (lambda: rows() @ weight(8, 8), BF16),
        (lambda: torch.bmm(torch.empty(1, 2, 3, device="meta"), weight(1, 3, 2)), BF16),
        (lambda: functional.conv2d(images(), weight(4, 3, 3, 3)), BF16),
        (lambda: functional.layer_norm(rows(BF16), (8,), weight(8), weight(8)), FP32),
        (lambda: functional.softmax(rows(BF16), -1), FP32),
        (lambda: functional.log_softmax(rows(BF16), -1), FP32),
        (lambda: functional.cross_entropy(rows(BF16), LABELS), FP32),
        (lambda: functional.mse_loss(rows(BF16), rows()), FP32),
        (lambda: rows(BF16).sum(), FP32),
        (lambda: rows(BF16).exp(), FP32),
        (lambda: functional.relu(rows(BF16)), BF16),
        (lambda: functional.gelu(rows(BF16)), BF16),
        (lambda: rows(BF16) + rows(), FP32),
        (lambda: torch.addcmul(rows(BF16), rows(), rows(BF16)), FP32),
        (lambda: functional.batch_norm(images(BF16), None, None, training=True), BF16),
        (
            lambda: functional.scaled_dot_product_attention(*[images()] * 3),
            BF16,
        ),
    ],
)
def test_formats_of_outputs(session, run, dtype):
    with region():
        assert run().dtype is dtype


def test_nothing_is_cast_outside_of_a_region(session):
    assert functional.linear(rows(), weight(8, 8)).dtype is FP32
    with region(), torch.autocast("meta", enabled=False):
        assert functional.linear(rows(), weight(8, 8)).dtype is FP32
    with region():
        with torch.autocast("cuda", enabled=False):
            assert functional.linear(rows(), weight(8, 8)).dtype is FP32
        assert functional.linear(rows(), weight(8, 8)).dtype is BF16


def test_fp64_is_never_cast(session):
    with region():
        assert (rows(torch.float64) @ weight(8, 8, dtype=torch.float64)).dtype is torch.float64


def test_a_cast_weight_is_kept_until_the_region_ends(session):
    kernel = weight(8, 8)
    with region():
        functional.linear(rows(), kernel)
        ((_, first),) = session.cast_cache.values()
        functional.linear(rows(), kernel)
        with torch.autocast("meta", enabled=False):
            pass
        ((_, second),) = session.cast_cache.values()
        assert first is second and first.dtype is BF16
    assert not session.cast_cache


def test_only_leaves_that_train_are_kept(session):
    with region():
        functional.linear(rows(), weight(8, 8).detach())
        functional.linear(rows(), weight(8, 8) * 2)
        assert not session.cast_cache


def test_gradients_come_in_the_format_of_the_weights(session):
    kernel = weight(8, 8)
    with region():
        loss = functional.linear(rows(), kernel).sum()
    loss.backward()
    assert kernel.grad.dtype is FP32


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_recomputation_keeps_formats(session, use_reentrant):
    seen = []

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(8, 8, device="meta")
            self.norm = nn.LayerNorm(8, device="meta")

        def forward(self, x):
            middle = self.linear(x)
            output = self.norm(middle)
            seen.append((middle.dtype, output.dtype))
            return output * output

    block, x = Block(), rows().requires_grad_()
    with region():
        loss = torch.utils.checkpoint.checkpoint(block, x, use_reentrant=use_reentrant).sum()
    loss.backward()
    assert seen == [(BF16, FP32)] * 2
    assert all(parameter.grad is not None for parameter in block.parameters())


def test_autocast_on_the_host_is_left_alone(session):
    with torch.autocast("cpu", dtype=BF16):
        assert functional.linear(torch.ones(2, 2), torch.ones(2, 2)).dtype is BF16
    assert functional.linear(torch.ones(2, 2), torch.ones(2, 2)).dtype is FP32
