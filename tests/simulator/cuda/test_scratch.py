"""Scratch memory of kernels: cuBLAS's callers, attention's backward pass, embeddings."""

import pytest
import torch

from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.cuda.scratch import transient_bytes, uses_cublas
from memorymark.units import MIB

aten = torch.ops.aten
FLASH = aten._scaled_dot_product_flash_attention_backward.default
EFFICIENT = aten._scaled_dot_product_efficient_attention_backward.default
EMBEDDING = aten.embedding_dense_backward.default


def query(queries, size, dtype=torch.float16):
    return torch.empty(2, 3, queries, size, dtype=dtype, device="meta")


@pytest.mark.parametrize("func", [aten.mm.default, aten.addmm.default, aten.bmm.default])
def test_products_of_matrices_use_cublas(func):
    assert uses_cublas(func)


@pytest.mark.parametrize("func", [aten.add.Tensor, aten.mm.out, aten.convolution.default])
def test_others_do_not(func):
    assert not uses_cublas(func)


@pytest.mark.parametrize(
    ("queries", "size", "rows", "columns"),
    [(128, 64, 128, 64), (129, 64, 256, 64), (1, 33, 128, 64), (1, 32, 128, 32)],
)
def test_flash_attention_accumulates_in_fp32(queries, size, rows, columns):
    found = transient_bytes(FLASH, (None, query(queries, size)))
    assert found == 2 * 3 * rows * (columns + 1) * 4


@pytest.mark.parametrize(
    ("dtype", "accumulates"),
    [(torch.float32, False), (torch.float16, True), (torch.bfloat16, True)],
)
def test_efficient_attention_accumulates_where_the_format_is_short(dtype, accumulates):
    given = query(33, 16, dtype)
    found = transient_bytes(EFFICIENT, (None, given))
    assert found == (2 * 3 * 64 + accumulates * given.numel()) * 4


@pytest.mark.parametrize(("count", "expected"), [(3072, 0), (3073, 4 * 3073 * 8)])
def test_many_indices_of_an_embedding_are_sorted(count, expected):
    indices = torch.empty(count, dtype=torch.long, device="meta")
    assert transient_bytes(EMBEDDING, (None, indices)) == expected


def test_other_operations_take_none():
    assert transient_bytes(aten.relu.default, (query(4, 4),)) == 0


@pytest.mark.parametrize(
    ("capability", "mib"),
    [
        ((7, 5), 8.125),
        ((8, 9), 8.125),
        ((9, 0), 32),
        ((10, 0), 32),
        ((10, 3), 32),
        ((12, 0), 8.125),
    ],
)
def test_cublas_workspaces_by_generation(capability, mib):
    assert Rules(Platform.CUDA, capability).cublas_workspace_bytes == mib * MIB


def test_norms_of_many_tensors_have_parts_for_the_chunks_of_the_largest():
    tensors = [torch.empty(size, device="meta") for size in (10, 65_536, 65_537 * 3)]
    assert transient_bytes(aten._foreach_norm.Scalar, (tensors, 2.0)) == 3 * 4 * 4
    doubles = [tensor.double() for tensor in tensors]
    assert transient_bytes(aten._foreach_norm.Scalar, (doubles, 2.0)) == 3 * 4 * 8
    assert transient_bytes(aten._foreach_norm.Scalar, ([], 2.0)) == 0
