"""GRU and RNN on the CPU: step by step, with the products of all inputs taken at once.

PyTorch's kernel for whole sequences asks whether its input is on the CPU before it does so
(PyTorch 2.15, aten/src/ATen/native/RNN.cpp, FullLayer), which a tensor without data is not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_Step = Callable[[Tensor, Tensor, Any], Tensor]


def run_steps(
    name: str, input: Tensor, hx: Tensor, params: list[Tensor], has_biases: bool, num_layers: int,
    dropout: float, train: bool, bidirectional: bool, batch_first: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return the outputs of all steps and the last hidden states.

    Args:
        name: "gru", "rnn_tanh" or "rnn_relu".
        input: Shape (steps, samples, inputs), or samples first.
        hx: The first hidden states, of shape (layers and directions, samples, hidden).
        params: The weights, as the module keeps them.
        has_biases: Whether biases are among the weights.
        num_layers: Number of layers.
        dropout: The share that is dropped between layers.
        train: Whether it is dropped.
        bidirectional: Whether each layer runs backwards too.
        batch_first: Whether samples come first in the input.
    """
    layer_input = input.transpose(0, 1) if batch_first else input
    directions, stride = 2 if bidirectional else 1, 4 if has_biases else 2
    states, last = hx.unbind(0), []
    for layer in range(num_layers):
        indices = range(layer * directions, (layer + 1) * directions)
        weights = [params[index * stride : (index + 1) * stride] for index in indices]
        before = [states[index] for index in indices]
        layer_input, after = _layer(STEPS[name], layer_input, before, weights)
        last += after
        if dropout and train and layer < num_layers - 1:
            layer_input = torch.dropout(layer_input, dropout, True)
    output = layer_input.transpose(0, 1) if batch_first else layer_input
    return output, torch.stack(last)


def _layer(
    step: _Step, input: Tensor, states: list[Tensor], weights: list[list[Tensor]]
) -> tuple[Tensor, list[Tensor]]:
    """Run one layer; the products of a direction live until those of the next are there."""
    outputs, last = [], []
    for backwards, state, given in zip((False, True), states, weights, strict=False):
        w_ih, w_hh, b_ih, b_hh = given if len(given) == 4 else (*given, None, None)
        products = functional.linear(input, w_ih, b_ih)
        made = []
        for gates in reversed(products.unbind(0)) if backwards else products.unbind(0):
            state = step(gates, state, (w_hh, b_hh))
            made.append(state)
        outputs.append(torch.stack(made[::-1] if backwards else made))
        last.append(state)
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1), last


def _gru(gates: Tensor, state: Tensor, weights: Any) -> Tensor:
    inputs = gates.unsafe_chunk(3, 1)
    hidden = functional.linear(state, *weights).unsafe_chunk(3, 1)
    reset = hidden[0].add_(inputs[0]).sigmoid_()
    update = hidden[1].add_(inputs[1]).sigmoid_()
    new = inputs[2].add(hidden[2].mul_(reset)).tanh_()
    return (state - new).mul_(update).add_(new)


def _rnn(activation: Callable[[Tensor], Tensor]) -> _Step:
    def step(gates: Tensor, state: Tensor, weights: Any) -> Tensor:
        return activation(functional.linear(state, *weights).add_(gates))

    return step


STEPS: dict[str, _Step] = {"gru": _gru, "rnn_tanh": _rnn(torch.tanh), "rnn_relu": _rnn(torch.relu)}
