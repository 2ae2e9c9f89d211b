"""Replaced operations: what CUDA runs in a simulation, PyTorch's own outside of one."""

import pytest
import torch
from torch.nn import functional

from memorymark.memory.tracker import MemoryTracker
from memorymark.simulator.cuda import replacements  # noqa: F401  (registers CUDA's kernels)
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.session import current, simulating

CUDA, CPU = Rules(Platform.CUDA), Rules(Platform.CPU)


def operations_of(run):
    with MemoryTracker("meta", "cpu") as tracker:
        kept = run()
    del kept
    return [str(block.operation) for block in tracker.trace.blocks]


def x(*shape, **options):
    return torch.empty(*(shape or (4, 8)), device="meta", requires_grad=True, **options)


def test_dropout_is_fused_on_cuda_alone():
    with simulating(CUDA):
        fused = operations_of(lambda: functional.dropout(x(), 0.1))
    with simulating(CPU):
        written_out = operations_of(lambda: functional.dropout(x(), 0.1))
    assert any("native_dropout" in name for name in fused)
    assert not any("native_dropout" in name for name in written_out)
    assert operations_of(lambda: functional.dropout(x(), 0.1)) == written_out


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_dropout_of_none_and_of_all(p):
    with simulating(CUDA):
        output = functional.dropout(x(), p)
    assert output.shape == (4, 8)
    assert not any("native_dropout" in name for name in operations_of(lambda: x() * p))


def test_dropout_in_eval_mode_makes_nothing():
    given = x()
    with simulating(CUDA):
        assert operations_of(lambda: functional.dropout(given, 0.5, training=False)) == []


@pytest.mark.parametrize("softmax", [functional.softmax, functional.log_softmax])
@pytest.mark.parametrize(
    ("rules", "dtype", "blocks"),
    [(CUDA, torch.float16, 1), (CUDA, torch.bfloat16, 2), (CPU, torch.float16, 2)],
)
def test_cuda_reads_fp16_and_writes_fp32_in_one_softmax(softmax, rules, dtype, blocks):
    given = x(dtype=dtype)
    with simulating(rules):
        assert len(operations_of(lambda: softmax(given, -1, dtype=torch.float32))) == blocks


def test_outside_of_a_simulation_calls_pass_through():
    assert current() is None
    q = x(2, 4, 16, 8)
    output = functional.scaled_dot_product_attention(q, q, q)
    output.sum().backward()
    assert output.shape == q.shape and q.grad.shape == q.shape
    assert functional.softmax(x(), -1).shape == (4, 8)
    assert functional.log_softmax(x(), -1, dtype=torch.float64).dtype is torch.float64
    assert functional.dropout(x(), 0.5).shape == (4, 8)


def test_real_tensors_keep_their_values():
    torch.manual_seed(0)
    q = torch.rand(1, 2, 4, 8, requires_grad=True)
    expected = torch.softmax(q @ q.transpose(-1, -2) / 8**0.5, -1) @ q
    torch.testing.assert_close(functional.scaled_dot_product_attention(q, q, q), expected)
    with simulating(CUDA):
        torch.testing.assert_close(functional.scaled_dot_product_attention(q, q, q), expected)
        kept = functional.dropout(torch.ones(10_000), 0.25)
    assert kept.max() == pytest.approx(1 / 0.75) and kept.min() == 0
    assert 0.6 < (kept > 0).float().mean() < 0.9


def test_multi_head_attention_of_torch_reaches_the_replacement():
    layer = torch.nn.MultiheadAttention(8, 2, batch_first=True, device="meta")
    given = x(2, 4, 8)
    with simulating(CUDA):
        names = operations_of(lambda: layer(given, given, given, need_weights=False))
    assert any("efficient_attention" in name for name in names)
