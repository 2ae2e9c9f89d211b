"""Weights of 8 and 4 bits: by torchao and bitsandbytes, or by their rules on tensors without data.

What is quantized are the weights of linear layers but the output layer's, as transformers does, in
4 bits those of GPT-2's transposed ones too; everything else is computed in bfloat16.

- int8 is torchao's weight-only format (quantization/quantize_/workflows/int8): a byte for each
  weight, and for each row a scale in fp32 and a zero point of a byte. A layer casts its weights to
  bfloat16, multiplies, and scales what comes out.
- int4 is bitsandbytes' NF4 as transformers sets it up (nn/modules.py, autograd/_functions.py): two
  weights to a byte, a scale in fp32 for each 64 of them and a table of 16. One row of inputs is
  multiplied by a kernel that reads the packed weights; for more, the layer unpacks them first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from memorymark.errors import MissingPackage
from memorymark.records.serving_config import WeightFormat

_NF4_BLOCK = 64
_NF4_LEVELS = 16


def quantize(model: nn.Module, weights: WeightFormat, device: torch.device) -> nn.Module:
    """Return a model whose linear layers hold their weights in 8 or 4 bits.

    Args:
        model: The model in bfloat16; it is changed.
        weights: int8 or int4.
        device: Where it is; on `meta` the packages' rules stand for them.

    Raises:
        MissingPackage: The package that quantizes is not installed.
    """
    make = _BY_RULES[weights] if device.type == "meta" else _by_package(weights)
    for parent, name, layer in list(_layers(model, _KINDS[weights])):
        setattr(parent, name, make(_as_linear(layer)))
    return model


class Int8Linear(nn.Module):
    """A linear layer with weights of torchao's 8 bits.

    Args:
        linear: The layer that it stands for.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        rows, columns, device = linear.out_features, linear.in_features, linear.weight.device
        self.register_buffer("qdata", torch.empty(rows, columns, dtype=torch.int8, device=device))
        self.register_buffer("scale", torch.empty(rows, 1, dtype=torch.float32, device=device))
        self.register_buffer("zero_point", torch.empty(rows, 1, dtype=torch.int8, device=device))
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """Return (…, out_features) of (…, in_features)."""
        product = torch.mm(x.reshape(-1, x.shape[-1]), self.qdata.t().to(x.dtype))
        y = product * self.scale.to(x.dtype).flatten()
        y = y.reshape(*x.shape[:-1], self.qdata.shape[0])
        if self.bias is not None:
            y += self.bias
        return y


class Nf4Linear(nn.Module):
    """A linear layer with weights of bitsandbytes' 4 bits.

    Args:
        linear: The layer that it stands for.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.rows, self.columns = linear.out_features, linear.in_features
        count, device = self.rows * self.columns, linear.weight.device
        blocks = -(-count // _NF4_BLOCK)
        packed = torch.empty((count + 1) // 2, 1, dtype=torch.uint8, device=device)
        self.register_buffer("packed", packed)
        self.register_buffer("absmax", torch.empty(blocks, dtype=torch.float32, device=device))
        self.register_buffer("code", torch.empty(_NF4_LEVELS, device=device))
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """Return (…, out_features) of (…, in_features)."""
        halves = self.packed.view(self.rows, -1)
        if x.numel() == self.columns and self.columns % 4 == 0:
            # As many bytes as the packed weights have, read by a product without another copy.
            read = halves.view(x.dtype)
            return functional.linear(x[..., : read.shape[1]], read, self.bias)
        weight = x.new_empty(self.rows, self.columns)
        weight.view(self.rows, 2, -1).copy_(halves.unsqueeze(1))
        return functional.linear(x, weight, self.bias)


def packed_layers(model: nn.Module) -> list[int]:
    """Return how many weights each layer has whose weights have 4 bits by their rules."""
    return [x.rows * x.columns for x in model.modules() if isinstance(x, Nf4Linear)]


def _as_linear(layer: nn.Module) -> nn.Linear:
    """Return a linear layer; for one with transposed weights, another that does the same."""
    if isinstance(layer, nn.Linear):
        return layer
    assert isinstance(layer, Conv1D)
    columns, rows = layer.weight.shape
    linear = nn.Linear(columns, rows, device="meta")
    linear.weight = nn.Parameter(layer.weight.t().contiguous(), requires_grad=False)
    linear.bias = layer.bias
    return linear


def _layers(
    model: nn.Module, kinds: tuple[type[nn.Module], ...]
) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    """Yield the layers of some kinds but the output layer, with their parents and names in them."""
    find = getattr(model, "get_output_embeddings", None)
    output = find() if find is not None else None
    for parent in model.modules():
        for name, child in parent.named_children():
            if type(child) in kinds and child is not output:
                yield parent, name, child


def _by_package(weights: WeightFormat) -> Callable[[nn.Linear], nn.Module]:
    return _with_torchao() if weights is WeightFormat.INT8 else _with_bitsandbytes()


def _with_torchao() -> Callable[[nn.Linear], nn.Module]:
    try:
        from torchao.quantization import Int8WeightOnlyConfig, quantize_
    except ImportError as error:
        raise MissingPackage("torchao", "int8 weights on a device") from error

    def make(linear: nn.Linear) -> nn.Module:
        quantize_(linear, Int8WeightOnlyConfig())
        return linear

    return make


def _with_bitsandbytes() -> Callable[[nn.Linear], nn.Module]:
    try:
        import bitsandbytes
    except ImportError as error:
        raise MissingPackage("bitsandbytes", "int4 weights on a device") from error

    def make(linear: nn.Linear) -> nn.Module:
        device = linear.weight.device
        made = bitsandbytes.nn.Linear4bit(
            linear.in_features, linear.out_features, bias=linear.bias is not None,
            compute_dtype=linear.weight.dtype, quant_type="nf4", compress_statistics=False,
            device="meta",
        )  # fmt: skip
        made.weight = bitsandbytes.nn.Params4bit(
            linear.weight.data, requires_grad=False, quant_type="nf4", compress_statistics=False
        )
        made.bias = linear.bias
        return made.to(device)

    return make


_KINDS: dict[WeightFormat, tuple[type[nn.Module], ...]] = {
    WeightFormat.INT8: (nn.Linear,), WeightFormat.INT4: (nn.Linear, Conv1D),
}  # fmt: skip
_BY_RULES = {WeightFormat.INT8: Int8Linear, WeightFormat.INT4: Nf4Linear}
