"""A workload whose batches are given to it, in place of random ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from memorymark.records.config import TrainingConfig
from memorymark.workloads.base import Batch, Workload
from memorymark.workloads.build import is_own
from memorymark.workloads.huggingface import HuggingFaceWorkload
from memorymark.workloads.reach import Reached

Arrays = Mapping[str, np.ndarray]


class FedWorkload(Workload):
    """Builds and runs as another workload does, on batches that it is given.

    Args:
        inner: The workload.
        feed: Returns the next batch of so many samples, on the host; None takes the workload's
            own batches.
        weights: Folder of safetensors with which the model begins; None makes random weights.

    Attributes:
        losses: Loss of each micro-batch since the last call of `take_loss`, without its graph.
    """

    def __init__(
        self,
        inner: Workload,
        feed: Callable[[int], Arrays] | None = None,
        weights: Path | None = None,
    ) -> None:
        self.name, self.runs_own_code = inner.name, is_own(inner)
        self.is_live, self.grows, self.beside_bytes = inner.is_live, inner.grows, inner.beside_bytes
        self._inner, self._feed, self._weights = inner, feed, weights
        self.losses: list[float | Tensor] = []

    def take_loss(self) -> float:
        """Return the mean loss of the micro-batches since the last call, which waits for them."""
        losses, self.losses = self.losses, []
        return sum(map(float, losses)) / len(losses) if losses else float("nan")

    def describe(self, config: TrainingConfig) -> TrainingConfig:
        """Fill in what the config leaves to the workload."""
        return self._inner.describe(config)

    def build(self, config: TrainingConfig) -> nn.Module:
        """Return the model, with the weights that it is to begin with."""
        if self._weights is None or not isinstance(self._inner, HuggingFaceWorkload):
            return self._inner.build(config)
        return self._inner.build_to_serve(config, torch.float32, self._weights)

    def batch(self, batch_size: int, config: TrainingConfig) -> Batch:
        """Return the next batch."""
        if self._feed is None:
            return self._inner.batch(batch_size, config)
        return as_tensors(self._feed(batch_size))

    def forward(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Any]:
        """Run the model, and note the loss."""
        loss, outputs = self._inner.forward(model, batch)
        on_host = loss.device.type == "cpu"
        self.losses.append(float(loss.detach()) if on_host else loss.detach().clone())
        return loss, outputs

    def own_optimizer(self, model: nn.Module) -> Any:
        """Return the user's own optimizer."""
        return self._inner.own_optimizer(model)

    def own_step(self, model: nn.Module) -> Callable[[nn.Module, Batch, Any], Any] | None:
        """Return the user's own step."""
        return self._inner.own_step(model)

    def forget(self, model: nn.Module) -> None:
        """Let go of a model."""
        self._inner.forget(model)

    def notes(self, model: nn.Module) -> tuple[str, ...]:
        """Return what a reader of a result should know of how the model is trained."""
        return self._inner.notes(model)

    def beside(self, model: nn.Module) -> Reached:
        """Return what takes part in the step beside the model."""
        return self._inner.beside(model)

    def refers_to(self, model: nn.Module) -> bool:
        """Return whether the workload's own code uses a model that it is not handed."""
        return self._inner.refers_to(model)

    def bytes_on(self, device: torch.device) -> int:
        """Return what of it is on a device already."""
        return self._inner.bytes_on(device)

    def replace(self, model: nn.Module, twin: nn.Module) -> None:
        """Take a copy for the model that `build` has made."""
        self._inner.replace(model, twin)

    def chunk_cross_entropy(self, model: nn.Module) -> None:
        """Make the model compute its head and its loss in chunks of tokens."""
        self._inner.chunk_cross_entropy(model)

    def enable_checkpointing(self, model: nn.Module) -> None:
        """Make the model recompute activations in the backward pass."""
        self._inner.enable_checkpointing(model)


def as_tensors(arrays: Arrays) -> dict[str, Tensor]:
    """Return arrays as tensors of their own on the CPU, which a tracker sees as any others."""
    return {name: torch.from_numpy(each).clone() for name, each in arrays.items()}


def names_of_batch(workload: Workload, config: TrainingConfig) -> Sequence[str] | None:
    """Return what a workload's batches hold, by name; None where they are no mappings."""
    with torch.device("meta"):
        batch = workload.batch(1, config)
    return list(batch) if isinstance(batch, Mapping) else None
