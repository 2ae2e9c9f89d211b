"""The memory of bitsandbytes' AdamW8bit, without bitsandbytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

# bitsandbytes 0.50, optim/optimizer.py: smaller parameters keep fp32 states, and
# blocks of 256 values share one scale; both states have a table of 256 values.
_SMALLEST_QUANTIZED = 4096
_BLOCK = 256
_TABLE = 256


class SimulatedAdamW8bit(torch.optim.Optimizer):
    """Allocates what AdamW8bit allocates, and computes nothing.

    Args:
        parameters: The parameters to optimize.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        super().__init__(parameters, {})
        self._tables: list[Tensor] = []

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """Allocate the states of every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter not in self.state:
                    self.state[parameter] = self._states(parameter)

    def _states(self, parameter: Tensor) -> dict[str, Tensor]:
        if parameter.numel() < _SMALLEST_QUANTIZED:
            return {
                f"state{index}": torch.zeros_like(parameter, dtype=torch.float32)
                for index in (1, 2)
            }
        blocks = -(-parameter.numel() // _BLOCK)
        states = {}
        for index in (1, 2):
            states[f"state{index}"] = torch.zeros_like(parameter, dtype=torch.uint8)
            states[f"absmax{index}"] = torch.zeros(blocks, device=parameter.device)
        return {**states, **self._shared_tables(parameter.device)}

    def _shared_tables(self, device: torch.device) -> dict[str, Tensor]:
        if not self._tables:
            self._tables = [torch.zeros(_TABLE, device=device) for _ in (1, 2)]
        return {f"qmap{index}": table for index, table in enumerate(self._tables, start=1)}
