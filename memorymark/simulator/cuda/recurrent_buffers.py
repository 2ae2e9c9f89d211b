"""What cuDNN's and oneDNN's recurrent layers allocate: outputs, reserve spaces and workspaces.

cuDNN does not document how large its reserve space (kept from forward to backward) and its
workspace are. Sizes that it once returned were published: four layers of 320 with 123 inputs at
25,000 steps times samples in fp32 reserved 736,000,000 bytes as LSTM and 864,000,000 as GRU, with
workspaces of 17,730,560 and 13,169,920 (github.com/pytorch/pytorch/issues/2895). That is, for
every step, sample and layer, 5 or 6 values for each hidden unit (an LSTM's four gates and its
cell), and one more between two layers. A plain RNN's one gate is counted in the same way.

oneDNN's workspace follows its sources (src/cpu/rnn/rnn_utils.cpp of oneDNN 3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from memorymark.simulator.torch_compat import operation

CUDNN = operation("aten::_cudnn_rnn")
CUDNN_BACKWARD = operation("aten::_cudnn_rnn_backward")
# "Slightly over 2 MB" (native/cudnn/RNN.cpp): the random state of dropout between layers.
DROPOUT_STATE_BYTES = 2 * 1024**2 + 512

_GATES = {0: 1, 1: 1, 2: 4, 3: 3}
_RESERVED = {0: 1, 1: 1, 2: 5, 3: 6}
_PAGE_BYTES = 4096
_FP32_BYTES = 4


@dataclass(frozen=True)
class _Sizes:
    """The sizes of one call of cuDNN.

    Attributes:
        steps: Steps of all samples together.
        samples: Samples at the first step.
        hidden: Hidden units of a layer, both directions together.
        outputs: Outputs of a layer at a step, both directions together.
        layers: Number of layers.
        mode: cuDNN's number for the kind of layer.
    """

    steps: int
    samples: int
    hidden: int
    outputs: int
    layers: int
    mode: int

    def reserve_bytes(self, itemsize: int, dropout: float) -> int:
        """Return the bytes that are kept for the backward pass."""
        inside = self.layers * _RESERVED[self.mode] * self.hidden
        between = (self.layers - 1) * self.outputs
        masks = between if dropout else 0  # a byte for each value that may be dropped
        return self.steps * ((inside + between) * itemsize + masks)

    def workspace_bytes(self, weights: int, itemsize: int) -> int:
        """Return the bytes of scratch: the weights once more, and the gates of one step."""
        gates = self.layers * _GATES[self.mode] * self.hidden * self.samples
        return (weights + gates) * itemsize


def cudnn_outputs(
    input: Tensor, weight: list[Tensor], weight_stride0: int, weight_buf: Tensor | None,
    hx: Tensor, cx: Tensor | None, mode: int, hidden_size: int, proj_size: int, num_layers: int,
    batch_first: bool, dropout: float, train: bool, bidirectional: bool, batch_sizes: list[int],
    dropout_state: Tensor | None = None,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Return output, hidden state, cell state, reserve space and weights of the forward pass."""
    if weight_buf is None:
        weight_buf = input.new_empty(_buffer_elements(weight, weight_stride0))
    sizes = _sizes(input, mode, hidden_size, proj_size, num_layers, batch_first, bidirectional,
                   batch_sizes)  # fmt: skip
    if batch_sizes:
        output = input.new_empty((input.size(0), sizes.outputs))
    else:
        steps = sizes.steps // sizes.samples
        output = input.new_empty((steps, sizes.samples, sizes.outputs))
        output = output.transpose_(0, 1) if batch_first else output
    reserve = sizes.reserve_bytes(input.element_size(), dropout) if train else 0
    directions = 2 if bidirectional else 1
    cell_shape = (num_layers * directions, sizes.samples, hidden_size)
    return (
        output,
        hx.new_empty((*cell_shape[:2], proj_size or hidden_size)),
        hx.new_empty(0) if cx is None else cx.new_empty(cell_shape),
        input.new_empty(reserve, dtype=torch.uint8),
        weight_buf,
    )


def cudnn_gradients(
    input: Tensor, weight: list[Tensor], weight_stride0: int, weight_buf: Tensor, hx: Tensor,
    cx: Tensor | None, output: Tensor, grad_output: Tensor | None, grad_hy: Tensor | None,
    grad_cy: Tensor | None, mode: int, hidden_size: int, proj_size: int, num_layers: int,
    batch_first: bool, dropout: float, train: bool, bidirectional: bool, batch_sizes: list[int],
    dropout_state: Tensor | None, reserve: Tensor, output_mask: list[bool],
) -> tuple[Any, ...]:  # fmt: skip
    """Return the gradients of input, hidden state, cell state and weights.

    Raises:
        RuntimeError: The layer was in eval mode, where cuDNN keeps nothing for the backward pass.
    """
    if grad_output is None and grad_hy is None and grad_cy is None:
        return None, None, None, [None] * len(weight)
    if not train:
        raise RuntimeError("cudnn RNN backward can only be called in training mode")
    gradients = []
    if output_mask[3]:
        start, buffer = 0, torch.empty_like(weight_buf)
        for x in weight:
            gradients.append(buffer[start : start + x.numel()].view(x.shape))
            start += x.numel()
    d_input = torch.empty_like(input, memory_format=torch.contiguous_format)
    return d_input, torch.empty_like(hx), None if cx is None else torch.empty_like(cx), gradients


def forward_scratch_bytes(args: tuple[Any, ...]) -> int:
    """Return the scratch of a forward pass: the workspace, and the input with time first."""
    input, weight, mode = args[0], args[1], args[6]
    sizes = _sizes(input, mode, args[7], args[8], args[9], args[10], args[13], args[14])
    itemsize = input.element_size()
    elements = _buffer_elements(weight, args[2])
    return sizes.workspace_bytes(elements, itemsize) + _copy_bytes(input, args[10])


def backward_scratch_bytes(args: tuple[Any, ...]) -> int:
    """Return the scratch of a backward pass beside the gradients of all that it returns.

    First the input's gradient is made, with the output's gradient in order, then that of the
    weights; the input with time first is needed for both.
    """
    input, weight_buf, gradient = args[0], args[3], args[7]
    sizes = _sizes(input, args[10], args[11], args[12], args[13], args[14], args[17], args[18])
    itemsize = input.element_size()
    ordered = _copy_bytes(gradient, args[14]) if gradient is not None else _bytes(args[6])
    gradient_first = max(0, ordered - _bytes(weight_buf))
    workspace = sizes.workspace_bytes(weight_buf.numel(), itemsize)
    return workspace + _copy_bytes(input, args[14]) + gradient_first


def mkldnn_workspace_bytes(inputs: int, hidden: int, steps: int, samples: int) -> int:
    """Return the workspace of one layer and direction of an LSTM in fp32 on the CPU."""
    cells, states = steps * samples, 2 * (steps + 1) * samples
    widest = _leading(max(inputs, hidden))
    parts = (cells * _leading(4 * hidden), cells * _leading(hidden), *[states * widest] * 3,
             *[states * hidden] * 2)  # fmt: skip
    return sum(_round_up(part * _FP32_BYTES, _PAGE_BYTES) for part in parts)


def mkldnn_outputs(
    input: Tensor, w0: Tensor, w1: Tensor, w2: Tensor, w3: Tensor, hx: Tensor, cx: Tensor,
    *options: Any,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Return output, hidden state, cell state and workspace of one layer and direction."""
    steps, samples, inputs = input.shape
    hidden = hx.size(-1)
    size = mkldnn_workspace_bytes(inputs, hidden, steps, samples)
    output = input.new_empty((steps, samples, hidden))
    workspace = input.new_empty(size, dtype=torch.uint8)
    return output, torch.empty_like(hx), torch.empty_like(cx), workspace


def _sizes(
    input: Tensor, mode: int, hidden: int, projected: int, layers: int, batch_first: bool,
    bidirectional: bool, batch_sizes: list[int],
) -> _Sizes:  # fmt: skip
    directions = 2 if bidirectional else 1
    steps = input.size(0) if batch_sizes else input.size(0) * input.size(1)
    samples = batch_sizes[0] if batch_sizes else input.size(0 if batch_first else 1)
    outputs = (projected or hidden) * directions
    return _Sizes(steps, samples, hidden * directions, outputs, layers, mode)


def _buffer_elements(weight: list[Tensor], stride: int) -> int:
    """Return the elements of cuDNN's weights, which have biases even where the layer has none."""
    has_biases = stride > 3
    biases = 0 if has_biases else sum(2 * x.size(0) for x in weight[::stride])
    return sum(x.numel() for x in weight) + biases


def _copy_bytes(x: Tensor, batch_first: bool) -> int:
    ordered = x.transpose(0, 1) if batch_first and x.dim() == 3 else x
    return 0 if ordered.is_contiguous() else _bytes(x)


def _bytes(x: Tensor) -> int:
    return x.numel() * x.element_size()


def _leading(elements: int) -> int:
    """Return a row's length that is a multiple of 64 bytes, and none of 256 values."""
    rounded = _round_up(elements, 16)
    return rounded + 16 if rounded % 256 == 0 else rounded


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


OUTPUTS: dict[Any, Callable[..., Any]] = {
    CUDNN: cudnn_outputs,
    CUDNN_BACKWARD: cudnn_gradients,
    operation("aten::mkldnn_rnn_layer"): mkldnn_outputs,
}
