"""Packed sequences on the CPU: step by step over the samples that are not over yet.

PyTorch takes the products of all inputs at once where they are on the CPU (PyTorch 2.15,
aten/src/ATen/native/RNN.cpp, PackedLayer and ReversedPackedLayer).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from memorymark.simulator.cuda.recurrent_steps import STEPS

_State = tuple[Tensor, ...]


def run_packed(
    name: str, data: Tensor, sizes: list[int], states: Any, params: list[Tensor],
    has_biases: bool, num_layers: int, dropout: float, train: bool, bidirectional: bool,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Return the outputs of all steps and the last states.

    Args:
        name: "lstm", "gru", "rnn_tanh" or "rnn_relu".
        data: The packed inputs.
        sizes: Samples in each step.
        states: The first states, one tensor or for an LSTM two, layers and directions first.
        params: The weights, as the module keeps them.
        has_biases: Whether biases are among the weights.
        num_layers: Number of layers.
        dropout: The share that is dropped between layers.
        train: Whether it is dropped.
        bidirectional: Whether each layer runs backwards too.
    """
    directions, stride = 2 if bidirectional else 1, 4 if has_biases else 2
    first = list(zip(*(state.unbind(0) for state in states), strict=True))
    last: list[_State] = []
    for layer in range(num_layers):
        outputs = []
        for direction in range(directions):
            index = layer * directions + direction
            weights = params[index * stride : (index + 1) * stride]
            run = _backwards if direction else _forwards
            output, state = run(name, data, sizes, first[index], weights)
            outputs.append(output)
            last.append(state)
        data = outputs[0] if directions == 1 else torch.cat(outputs, -1)
        if dropout and train and layer < num_layers - 1:
            data = torch.dropout(data, dropout, True)
    return data, *(torch.stack(part) for part in zip(*last, strict=True))


def _forwards(
    name: str, data: Tensor, sizes: list[int], state: _State, weights: list[Tensor]
) -> tuple[Tensor, _State]:
    products, hidden_weights = _products(data, weights)
    outputs, over, start = [], [], 0
    for before, size in zip([sizes[0], *sizes], sizes, strict=False):
        if size < before:
            over.append(tuple(part[size:before] for part in state))
            state = tuple(part[:size] for part in state)
        state = _step(name, products.narrow(0, start, size), state, hidden_weights)
        start += size
        outputs.append(state[0])
    over = [*over, state][::-1]
    return torch.cat(outputs), tuple(torch.cat(parts) for parts in zip(*over, strict=True))


def _backwards(
    name: str, data: Tensor, sizes: list[int], first: _State, weights: list[Tensor]
) -> tuple[Tensor, _State]:
    products, hidden_weights = _products(data, weights)
    outputs, end, before = [], data.size(0), sizes[-1]
    state = tuple(part[:before] for part in first)
    for size in reversed(sizes):
        if size > before:
            more = (part[before:size] for part in first)
            state = tuple(torch.cat(pair) for pair in zip(state, more, strict=True))
        state = _step(name, products.narrow(0, end - size, size), state, hidden_weights)
        end, before = end - size, size
        outputs.append(state[0])
    return torch.cat(outputs[::-1]), state


def _products(data: Tensor, weights: list[Tensor]) -> tuple[Tensor, Any]:
    w_ih, w_hh, b_ih, b_hh = weights if len(weights) == 4 else (*weights, None, None)
    return functional.linear(data, w_ih, b_ih), (w_hh, b_hh)


def _step(name: str, gates: Tensor, state: _State, weights: Any) -> _State:
    if name != "lstm":
        return (STEPS[name](gates, state[0], weights),)
    hidden, cell = state
    enter, forget, new, leave = functional.linear(hidden, *weights).add_(gates).unsafe_chunk(4, 1)
    enter, forget, new = enter.sigmoid_(), forget.sigmoid_(), new.tanh_()
    leave = leave.sigmoid_()
    cell = (forget * cell).add_(enter * new)
    return leave * cell.tanh(), cell
