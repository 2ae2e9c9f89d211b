"""A cache of 4 bits by the rules of optimum-quanto, for tensors without data.

The format is that of quanto's qint4 as transformers sets it up (cache_utils.QuantoQuantizedLayer:
groups of 64 along the first axis, the newest 128 tokens as they are): two values to a byte, and
for each group a scale and a shift in the format of the keys (quanto/tensor/packed.py, grouped.py,
optimizers/max_optimizer.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import cache_utils

_LEVELS, _HALF_BITS = 15, 4


@dataclass
class Packed:
    """Keys or values of 4 bits.

    Attributes:
        data: Two values to a byte, (half of the groups, group).
        scale: Of each group, (groups, 1).
        shift: What is added before scaling, (groups, 1).
        shape: That of the tensor.
    """

    data: Tensor
    scale: Tensor
    shift: Tensor
    shape: torch.Size


class PackedLayer(cache_utils.QuantizedLayer):
    """A layer of a cache that keeps all but the newest tokens in 4 bits."""

    def _quantize(self, tensor: Tensor, axis: int) -> Packed:
        """Return a tensor in 4 bits.

        Raises:
            ValueError: Its values do not fall into whole groups.
        """
        count, size = tensor[0].numel(), self.q_group_size
        if count % size:
            raise ValueError(f"{count:,} keys of a sequence do not fall into groups of {size}")
        groups = tensor.reshape(-1, size)
        shift = -groups.amin(dim=1, keepdim=True)
        scale = (groups.amax(dim=1, keepdim=True) + shift) / _LEVELS
        levels = ((groups + shift) / scale).round_().clamp_(0, _LEVELS).to(torch.uint8)
        half = (len(levels) + 1) // 2
        data = levels[:half].clone()
        data[: len(levels) - half] |= levels[half:] << _HALF_BITS
        return Packed(data, scale, shift, tensor.shape)

    def _dequantize(self, packed: Packed) -> Tensor:
        """Return the tensor, as near as 4 bits are."""
        levels = torch.cat([packed.data & _LEVELS, packed.data >> _HALF_BITS])
        groups = levels[: len(packed.scale)] * packed.scale - packed.shift
        return groups.reshape(packed.shape)


def packed_cache(hf_config: Any) -> Any:
    """Return an empty cache of 4 bits for a model.

    Raises:
        ValueError: Some of its layers attend in another way than to all tokens.
    """
    layers = cache_utils.DynamicCache(config=hf_config).layers
    others = {type(each).__name__ for each in layers} - {cache_utils.DynamicLayer.__name__}
    if others:
        raise ValueError("only layers of full attention can be kept in 4 bits")
    return cache_utils.Cache(layers=[PackedLayer() for _ in layers])
