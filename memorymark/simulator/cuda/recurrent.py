"""LSTM, GRU and RNN as the libraries run them: cuDNN on CUDA, oneDNN for an LSTM on the CPU.

Without them PyTorch runs the layers step by step, and each step keeps tensors of its own. What is
allocated follows PyTorch 2.15, aten/src/ATen/native/cudnn/RNN.cpp and native/mkldnn/RNN.cpp; how
large the libraries' own buffers are is in `recurrent_buffers.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from memorymark.memory.storage import storage_key
from memorymark.simulator.cuda.autocast import autocast_off, cast_arguments, is_autocast_on
from memorymark.simulator.cuda.recurrent_packed import run_packed
from memorymark.simulator.cuda.recurrent_steps import run_steps
from memorymark.simulator.session import current
from memorymark.simulator.torch_compat import call_replaced, operation

_CUDNN = operation("aten::_cudnn_rnn")
_MKLDNN = operation("aten::mkldnn_rnn_layer")
_LSTM_CELL = operation("aten::_thnn_fused_lstm_cell")
_GRU_CELL = operation("aten::_thnn_fused_gru_cell")
# cuDNN's numbers for the kinds of layers; oneDNN's for an LSTM.
_MODES = {"rnn_relu": 0, "rnn_tanh": 1, "lstm": 2, "gru": 3}
_MKLDNN_LSTM = 2
_CUDNN_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def flatten_weights(model: nn.Module) -> None:
    """Move the weights of each recurrent layer into one storage, as `.cuda()` does."""
    for module in model.modules():
        if isinstance(module, nn.RNNBase):
            _flatten(module)


def _flatten(module: nn.RNNBase) -> None:
    weights = list(module.parameters(recurse=False))
    is_plain = all(x.is_meta and x.dtype is weights[0].dtype for x in weights)
    if not weights or not is_plain or _one_storage(weights) is not None:
        return
    hidden = sum(x.size(0) for name, x in module.named_parameters() if name.startswith("weight_ih"))
    biases = 0 if module.bias else 2 * hidden
    buffer = weights[0].new_empty(sum(x.numel() for x in weights) + biases)
    start = 0
    for weight in weights:
        weight.data = buffer.detach()[start : start + weight.numel()].view_as(weight)
        start += weight.numel()


def _one_storage(weights: Any) -> Tensor | None:
    """Return all of the storage that weights share, None where each has its own."""
    if len({storage_key(x) for x in weights}) > 1:
        return None
    whole = weights[0].new_empty(0)
    return whole.set_(weights[0].untyped_storage())


def _layers(name: str, op: Any) -> Callable[..., Any]:
    """Return the kernel for whole sequences."""

    def kernel(
        input: Tensor, hx: Any, params: list[Tensor], has_biases: bool, num_layers: int,
        dropout: float, train: bool, bidirectional: bool, batch_first: bool,
    ) -> Any:  # fmt: skip
        session = current()
        arguments = (input, hx, params, has_biases, num_layers, dropout, train, bidirectional)
        if session is not None and input.numel():
            states = hx if name == "lstm" else [hx, None]
            if session.rules.is_cuda and _cudnn_takes(input):
                return _cudnn(name, input, states, arguments, batch_first=batch_first)
            if name != "lstm" and not session.rules.is_cuda:
                return run_steps(name, *arguments, batch_first)
            if name == "lstm" and not session.rules.is_cuda and _mkldnn_takes(arguments):
                return _mkldnn(arguments, batch_first)
        return call_replaced(op, *arguments, batch_first)

    return kernel


def _packed(name: str, op: Any) -> Callable[..., Any]:
    """Return the kernel for packed sequences."""

    def kernel(
        data: Tensor, batch_sizes: Tensor, hx: Any, params: list[Tensor], has_biases: bool,
        num_layers: int, dropout: float, train: bool, bidirectional: bool,
    ) -> Any:  # fmt: skip
        session = current()
        arguments = (hx, params, has_biases, num_layers, dropout, train, bidirectional)
        states = hx if name == "lstm" else [hx, None]
        if session is not None and not session.rules.is_cuda and data.numel():
            given = [state for state in states if state is not None]
            return run_packed(name, data, batch_sizes.tolist(), given, *arguments[1:])
        if session is None or not _cudnn_takes(data):
            return call_replaced(op, data, batch_sizes, *arguments)
        return _cudnn(name, data, states, (data, *arguments), batch_sizes=batch_sizes.tolist())

    return kernel


def _cudnn_takes(input: Tensor) -> bool:
    return torch.backends.cudnn.enabled and input.dtype in _CUDNN_DTYPES


def _cudnn(
    name: str, input: Tensor, states: Any, arguments: Any, *,
    batch_first: bool = False, batch_sizes: Any = (),
) -> Any:  # fmt: skip
    _, _, weights, has_biases, num_layers, dropout, train, bidirectional = arguments
    hx, cx = states
    if is_autocast_on():
        # In either of autocast's formats: native/cudnn/AutocastRNN.cpp names fp16.
        input, hx, cx = (x if x is None else x.to(torch.float16) for x in (input, hx, cx))
        weights = _FlatCopies.apply(torch.float16, *weights)
    hidden = hx.size(2) if cx is None else cx.size(2)
    projected = hx.size(2) if hx.size(2) != hidden else 0
    stride = (4 if has_biases else 2) + bool(projected)
    output, hy, cy, _, _ = _CUDNN(
        input, list(weights), stride, _one_storage(weights), hx, cx, _MODES[name], hidden,
        projected, num_layers, batch_first, dropout, train, bidirectional, batch_sizes, None,
    )  # fmt: skip
    return (output, hy, cy) if name == "lstm" else (output, hy)


class _FlatCopies(torch.autograd.Function):
    """Weights in a lower format, in one buffer."""

    @staticmethod
    def forward(ctx: Any, dtype: torch.dtype, *weights: Tensor) -> tuple[Tensor, ...]:
        """Copy the weights."""
        ctx.dtypes = [weight.dtype for weight in weights]
        buffer = weights[0].new_empty(sum(x.numel() for x in weights), dtype=dtype)
        parts = buffer.split([x.numel() for x in weights])
        return tuple(part.view_as(x).detach() for part, x in zip(parts, weights, strict=True))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        """Return the gradients in the weights' own format."""
        pairs = zip(grads, ctx.dtypes, strict=True)
        return (None, *(None if grad is None else grad.to(dtype) for grad, dtype in pairs))


def _mkldnn_takes(arguments: Any) -> bool:
    input, hx, params = arguments[:3]
    plain = torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled
    same_sizes = hx[0].size(2) == hx[1].size(2)  # no projection
    return plain and same_sizes and all(x.dtype is torch.float32 for x in (input, *hx, *params))


def _mkldnn(arguments: Any, batch_first: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Run layer by layer and direction by direction."""
    input, (hx, cx), params, has_biases, num_layers, dropout, train, bidirectional = arguments
    layer_input = (input.transpose(0, 1) if batch_first else input).contiguous()
    directions = 2 if bidirectional else 1
    stride = 4 if has_biases else 2
    hy, cy = [], []
    for layer in range(num_layers):
        outputs = []
        for direction in range(directions):
            index = layer * directions + direction
            weights = params[index * stride : (index + 1) * stride]
            if not has_biases:
                weights = [*weights, *(torch.zeros_like(weight) for weight in weights)]
            output, last_h, last_c, _ = _MKLDNN(
                layer_input, *weights, hx[index], cx[index], direction > 0, [], _MKLDNN_LSTM,
                hx.size(2), num_layers, has_biases, bidirectional, batch_first, train,
            )  # fmt: skip
            outputs.append(output)
            hy.append(last_h)
            cy.append(last_c)
        layer_input = outputs[0] if directions == 1 else torch.cat(outputs, -1)
        if dropout and train and layer < num_layers - 1:
            layer_input = torch.dropout(layer_input, dropout, True)
    output = layer_input.transpose(0, 1) if batch_first else layer_input
    return output, torch.stack(hy), torch.stack(cy)


def _cell(name: str, op: Any, fused: Any) -> Callable[..., Any]:
    """Return the kernel for one step: CUDA adds and activates in one kernel (native/RNN.cpp)."""

    def kernel(
        input: Tensor, hx: Any, w_ih: Tensor, w_hh: Tensor,
        b_ih: Tensor | None = None, b_hh: Tensor | None = None,
    ) -> Any:  # fmt: skip
        session = current()
        args, _ = cast_arguments(name, (input, hx, w_ih, w_hh, b_ih, b_hh), {})
        with autocast_off() if session is not None else nullcontext():
            if session is None or not session.rules.is_cuda:
                return call_replaced(op, *args)
            return step(*args)

    def step(
        input: Tensor, hx: Any, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None, b_hh: Tensor | None
    ) -> Any:
        state, cell = (hx[0], hx[1]) if name == "lstm_cell" else (hx, hx)
        gates = torch.matmul(input, w_ih.t()), torch.matmul(state, w_hh.t())
        outputs = fused(*gates, cell, b_ih, b_hh)
        return outputs[:2] if name == "lstm_cell" else outputs[0]

    return kernel


_OPS = {name: operation(f"aten::{name}.input") for name in _MODES}
_PACKED_OPS = {name: operation(f"aten::{name}.data") for name in _MODES}
_CELLS = {"lstm_cell": _LSTM_CELL, "gru_cell": _GRU_CELL}
_CELL_OPS = {name: operation(f"aten::{name}") for name in _CELLS}

KERNELS: dict[Any, Callable[..., Any]] = {
    **{op: _layers(name, op) for name, op in _OPS.items()},
    **{op: _packed(name, op) for name, op in _PACKED_OPS.items()},
    **{op: _cell(name, op, _CELLS[name]) for name, op in _CELL_OPS.items()},
}
