"""Outputs of operations for which PyTorch's own rules without data are missing or differ.

A reduced loss that is computed in place is as large as it was before: the kernels for CPU and
CUDA alike fill a tensor of the input's size and shrink its shape, not its storage (PyTorch 2.15,
aten/src/ATen/native/Loss.cpp and native/cuda/Loss.cu).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from memorymark.simulator.torch_compat import operation, operations

_Rule = Callable[..., Any]


def rule_for(func: Any) -> _Rule | None:
    """Return what makes an operation's outputs from its arguments, None where PyTorch does."""
    return _RULES.get(func)


def sparse_rule_for(func: Any) -> _Rule | None:
    """Return what makes an operation's outputs where its first argument is a sparse tensor."""
    return _SPARSE_RULES.get(func)


def _keeps_storage(op: Any, position: int) -> _Rule:
    """Return the rule of a loss; `position` is that of `reduction` among the arguments."""

    def rule(*args: Any, **kwargs: Any) -> Tensor:
        given = list(args)
        if len(given) < position:
            given.append(kwargs.pop("weight", None))
        reduction = given[position] if len(given) > position else kwargs.pop("reduction", 1)
        given[position : position + 1] = [0]
        unreduced: Tensor = op(*given, **kwargs)
        return unreduced.resize_(()) if reduction else unreduced

    return rule


def _ctc_gradient(grad: Tensor, log_probs: Tensor, *rest: Any, **options: Any) -> Tensor:
    return torch.empty_like(log_probs, memory_format=torch.contiguous_format)


def _sparse_copy(sparse: Tensor, **options: Any) -> Tensor:
    """Copy indices and values; PyTorch's rule without data leaves out all elements."""
    indices, values = (part(sparse).clone() for part in _SPARSE_PARTS)
    return torch.sparse_coo_tensor(indices, values, sparse.shape, check_invariants=False)


def _sparse_product(added: Tensor, sparse: Tensor, dense: Tensor, **options: Any) -> Tensor:
    return dense.new_empty((sparse.size(0), dense.size(1)))


def _like_second(first: Tensor, second: Tensor, *rest: Any, **options: Any) -> Tensor:
    return torch.empty_like(second)


def _gru_cell(input_gates: Tensor, hidden_gates: Tensor, state: Tensor, *biases: Any) -> Any:
    """Return the new state, and what the backward pass needs (PyTorch 2.11 has no rule)."""
    return _like_second(input_gates, state), state.new_empty((state.size(0), 5 * state.size(1)))


def _gru_cell_backward(grad: Tensor, workspace: Tensor, has_bias: bool) -> tuple[Any, ...]:
    samples, hidden = grad.shape
    gates = [grad.new_empty((samples, 3 * hidden)) for _ in range(2)]
    biases = [grad.new_empty(3 * hidden) if has_bias else None for _ in range(2)]
    return (*gates, torch.empty_like(grad, memory_format=torch.contiguous_format), *biases)


def _bags(*args: Any, **kwargs: Any) -> Any:
    """Sum the embeddings of each bag; of sparse gradients, what is copied is not known."""
    if len(args) > 5 and args[5]:
        raise NotImplementedError
    return _EMBEDDING_BAG(*args, **kwargs)


_SPARSE_PARTS = (operation("aten::_indices"), operation("aten::_values"))
_SPARSE_RULES: dict[Any, _Rule] = {operation("aten::clone"): _sparse_copy}
_EMBEDDING_BAG = operation("aten::_embedding_bag")
_MSE = operation("aten::mse_loss")
_SMOOTH_L1 = operation("aten::smooth_l1_loss")
_SOFT_MARGIN = operation("aten::soft_margin_loss")
_BCE = operation("aten::binary_cross_entropy")

_RULES: dict[Any, _Rule] = {
    _MSE: _keeps_storage(_MSE, 2),
    _SMOOTH_L1: _keeps_storage(_SMOOTH_L1, 2),
    _SOFT_MARGIN: _keeps_storage(_SOFT_MARGIN, 2),
    _BCE: _keeps_storage(_BCE, 3),
    operation("aten::_sparse_addmm"): _sparse_product,
    operation("aten::_thnn_fused_gru_cell"): _gru_cell,
    operation("aten::_thnn_fused_gru_cell_backward"): _gru_cell_backward,
    _EMBEDDING_BAG: _bags,
    **dict.fromkeys(operations("_ctc_loss_backward", "_ctc_loss_backward.Tensor"), _ctc_gradient),
    **dict.fromkeys(
        operations(
            "multi_margin_loss_backward",
            "multilabel_margin_loss_backward",
            "fractional_max_pool3d_backward",
        ),
        _like_second,
    ),
}
