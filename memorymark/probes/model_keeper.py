"""Keeps the model of the last trial, so that a search builds it only once."""

from __future__ import annotations

import torch
from torch import nn

from memorymark.probes.kept_models import KeptModels
from memorymark.training.tracked import live_bytes_of
from memorymark.workloads.base import Workload
from memorymark.workloads.build import (
    build_model,
    is_own,
    learn_batches,
    notes_on,
    tensors_beside,
)
from memorymark.workloads.naming import is_folder
from memorymark.workloads.trial_spec import TrialSpec


class ModelKeeper:
    """Builds models on one device and keeps the last one, without gradients.

    Args:
        device: Where the models are built.
        kept: Models that stay beyond this keeper; None keeps none.
        built_for: What else changes how a model is built, such as the GPU that is simulated.
    """

    def __init__(
        self, device: torch.device, kept: KeptModels | None = None, built_for: object = None
    ) -> None:
        self._device, self._kept, self._built_for = device, kept, built_for
        self._key: object = None
        self._model: nn.Module | None = None
        self._workload: Workload | None = None

    @property
    def model(self) -> nn.Module | None:
        """The model that is kept, None where there is none."""
        return self._model

    @property
    def live_bytes(self) -> int:
        """Bytes of the model that is kept, and of what takes part beside it."""
        if self._model is None or self._workload is None:
            return 0
        beside = (tensor for _, tensor, _ in tensors_beside(self._workload, self._model))
        return live_bytes_of(self._model, *beside)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of how the model was built."""
        return () if self._model is None else notes_on(self._model)

    def get(self, spec: TrialSpec) -> nn.Module:
        """Return the model that a trial trains, built anew only if it must be.

        Raises:
            WorkloadError: The model cannot be built.
        """
        if not self.holds(spec):
            self.release()
            self._model = self._taken(spec) or self._built(spec)
            self._workload = spec.workload
            learn_batches(spec, self._device)
            self._key = spec.workload, spec.config
        assert self._model is not None
        return self._model

    def _taken(self, spec: TrialSpec) -> nn.Module | None:
        """Return the model of an earlier request; None where there is none."""
        if self._kept is None or not _is_the_same_each_time(spec.workload):
            return None
        return self._kept.take(self._key_of(spec), spec.workload.name)

    def _built(self, spec: TrialSpec) -> nn.Module:
        model = build_model(spec.workload, spec.config, self._device)
        if self._kept is not None and _is_the_same_each_time(spec.workload):
            self._kept.keep(self._key_of(spec), model)
        return model

    def _key_of(self, spec: TrialSpec) -> object:
        described = spec.workload.describe(spec.config)
        return self._device, self._built_for, spec.workload, described

    def holds(self, spec: TrialSpec) -> bool:
        """Return whether the model for this is there already."""
        return self._model is not None and self._key == (spec.workload, spec.config)

    def tidy(self) -> None:
        """Drop the gradients that a trial left on the model."""
        if self._model is None or self._workload is None:
            return
        self._model.zero_grad(set_to_none=True)
        for _, tensor, _ in tensors_beside(self._workload, self._model):
            tensor.grad = None

    def release(self) -> None:
        """Let go of the model and its memory."""
        if self._model is not None and self._workload is not None:
            self._workload.forget(self._model)
        self._model, self._key, self._workload = None, None, None


def _is_the_same_each_time(workload: Workload) -> bool:
    """Whether no code and no folder of the user's has a say in what is built."""
    return not (is_own(workload) or is_folder(workload.name))
