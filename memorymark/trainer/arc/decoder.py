"""The decoder of a run: its base, what is trained of it, and the way back to where it began."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from memorymark.records.config import TrainingConfig
from memorymark.trainer.fed_workload import FedWorkload
from memorymark.workloads.base import Batch, Workload
from memorymark.workloads.build import build_model, findings_on


class Decoder:
    """A model of which a part is trained on each task, and then put back bit by bit.

    Args:
        model: The model, ready to train on a task.

    Attributes:
        model: The model.
        parameters: How many parameters it has, adapters included.
        trainable: How many of them are trained.
        findings: What to know of how it is trained.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.findings = findings_on(model)
        every = list(model.parameters())
        self.parameters = sum(each.numel() for each in every)
        self.trainable = sum(each.numel() for each in every if each.requires_grad)
        # On the host, beside what the budget counts, as far as the device is another one.
        self._began = {name: each.detach().cpu().clone() for name, each in self._changing()}

    def trained(self) -> dict[str, Tensor]:
        """Return what is trained, by its names."""
        parameters = self.model.named_parameters()
        return {name: each.detach() for name, each in parameters if each.requires_grad}

    @torch.no_grad()
    def reset(self) -> None:
        """Put back all that a task has changed, bit by bit."""
        for name, each in self._changing():
            each.copy_(self._began[name])
        self.model.zero_grad(set_to_none=True)

    def _changing(self) -> list[tuple[str, Tensor]]:
        """Return the parameters that are trained, and the buffers, which a pass may write to."""
        return [*self.trained().items(), *self.model.named_buffers()]


def adapted(
    base: nn.Module, workload: Workload, config: TrainingConfig, device: torch.device
) -> Decoder:
    """Return a base with what is trained on each task: adapters where the config has a rank.

    Raises:
        MissingPackage: peft is not installed.
        WorkloadError: The model has no layer to adapt; names the kinds of layers that it has.
    """
    return Decoder(build_model(_InHand(workload, base), config, device))


class _InHand(FedWorkload):
    """A workload whose model was built before."""

    def __init__(self, workload: Workload, model: nn.Module) -> None:
        super().__init__(workload)
        self._model = model

    def build(self, config: TrainingConfig) -> nn.Module:
        """Return the model."""
        return self._model

    def batch(self, batch_size: int, config: TrainingConfig) -> Batch:
        """Return a batch of the workload's own."""
        return self._inner.batch(batch_size, config)
