"""The choice of attention's kernel, and what each kernel keeps."""

import pytest
import torch

from memorymark.simulator.cuda.attention import Call, Kernel, attend, choose
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.session import simulating

A100, T4, A10G, CPU, MPS = (
    Rules(Platform.CUDA, (8, 0)),
    Rules(Platform.CUDA, (7, 5)),
    Rules(Platform.CUDA, (8, 6)),
    Rules(Platform.CPU),
    Rules(Platform.MPS, (0, 0)),
)


def call(dtype=torch.float32, *, heads=4, kv_heads=4, size=64, mask=None, queries=32, **options):
    def make(count, length):
        return torch.empty(2, count, length, size, dtype=dtype, device="meta", requires_grad=True)

    values = {"dropout": 0.0, "is_causal": False, "scale": None, "enable_gqa": False, **options}
    if mask:
        mask = torch.empty(2, 1, queries, 32, dtype=dtype, device="meta")
    return Call(make(heads, queries), make(kv_heads, 32), make(kv_heads, 32), mask, **values)


@pytest.mark.parametrize(
    ("rules", "made", "kernel"),
    [
        (A100, call(), Kernel.EFFICIENT),
        (A100, call(torch.bfloat16), Kernel.FLASH),
        (A100, call(torch.float16), Kernel.FLASH),
        (A100, call(torch.bfloat16, dropout=0.1), Kernel.FLASH),
        (A100, call(torch.bfloat16, mask=True), Kernel.EFFICIENT),
        (A100, call(mask=True), Kernel.EFFICIENT),
        (T4, call(torch.bfloat16), Kernel.MATH),
        (T4, call(torch.float16), Kernel.EFFICIENT),
        (T4, call(), Kernel.EFFICIENT),
        (A100, call(kv_heads=2, enable_gqa=True), Kernel.MATH),
        (A100, call(torch.bfloat16, kv_heads=2, enable_gqa=True), Kernel.FLASH),
        (A100, call(size=30), Kernel.MATH),
        (A100, call(torch.float64), Kernel.MATH),
        (A100, call(torch.bfloat16, size=320), Kernel.EFFICIENT),
        (A100, call(torch.bfloat16, queries=16, is_causal=True), Kernel.EFFICIENT),
        (A10G, call(torch.bfloat16, size=256, dropout=0.1), Kernel.EFFICIENT),
        (A10G, call(torch.bfloat16, size=256), Kernel.FLASH),
        (A100, call(torch.bfloat16, size=256, dropout=0.1), Kernel.FLASH),
        (MPS, call(), Kernel.MATH),
        (MPS, call(torch.float16), Kernel.MATH),
        (CPU, call(), Kernel.CPU_FLASH),
        (CPU, call(mask=True), Kernel.CPU_FLASH),
        (CPU, call(dropout=0.1), Kernel.MATH),
    ],
)
def test_the_kernel_that_is_taken(rules, made, kernel):
    assert choose(made, rules) is kernel


@pytest.mark.parametrize("mask", [None, (32, 32), (4, 32, 32), (2, 1, 32, 32)])
@pytest.mark.parametrize("kv_heads", [4, 1])
def test_the_cpu_takes_the_kernel_that_torch_takes(kv_heads, mask):
    if kv_heads == 1 and torch.__version__ < "2.15":
        pytest.skip("an older torch multiplies one head of keys without a fused kernel")

    def arguments(device):
        query, keys = (torch.empty(2, n, 32, 8, device=device) for n in (4, kv_heads))
        return query, keys, keys, None if mask is None else torch.empty(mask, device=device)

    takes_flash = torch._fused_sdp_choice(*arguments("cpu"), 0.0, False) == 1
    chosen = choose(Call(*arguments("meta"), 0.0, False, None, False), CPU)
    assert (chosen is Kernel.CPU_FLASH) == takes_flash


def test_three_dimensions_take_math():
    x = torch.empty(4, 32, 64, device="meta")
    assert choose(Call(x, x, x, None, 0.0, False, None, False), A100) is Kernel.MATH


def test_a_kernel_that_is_switched_off_is_not_taken():
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        assert choose(call(torch.bfloat16), A100) is Kernel.MATH
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.FLASH_ATTENTION):
        assert choose(call(torch.bfloat16), A100) is Kernel.FLASH


@pytest.mark.parametrize("rules", [A100, T4, CPU], ids=["a100", "t4", "cpu"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("options", [{}, {"mask": True}, {"size": 30}, {"dropout": 0.5}])
def test_every_kernel_gives_the_shape_and_trains(rules, dtype, options):
    made = call(dtype, **options)
    with simulating(rules):
        output = attend(made, rules)
        output.sum().backward()
    assert output.shape == made.query.shape and output.dtype == dtype
    assert made.query.grad.shape == made.query.shape
    assert made.key.grad.shape == made.key.shape


def test_grouped_heads_train():
    made = call(torch.bfloat16, kv_heads=2, enable_gqa=True)
    with simulating(A100):
        attend(made, A100).sum().backward()
    assert made.key.grad.shape == made.key.shape


def test_a_mask_of_booleans_is_turned_into_one_that_is_added():
    mask = torch.ones(2, 1, 32, 32, dtype=torch.bool, device="meta")
    made = call()
    with simulating(A100):
        output = attend(Call(made.query, made.key, made.value, mask, 0.0, False, None, False), A100)
    assert output.shape == made.query.shape
