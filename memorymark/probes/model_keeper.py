"""Keeps the model of the last trial, so that a search builds it only once."""

from __future__ import annotations

import torch
from torch import nn

from memorymark.probes.kept_models import kept_models
from memorymark.training.tracked import live_bytes_of
from memorymark.workloads.base import Workload
from memorymark.workloads.build import (
    build_model,
    findings_on,
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
        built_for: What else changes how a model is built, such as the GPU that is simulated.
    """

    def __init__(self, device: torch.device, built_for: object = None) -> None:
        self._device, self._built_for = device, built_for
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

    @property
    def findings(self) -> tuple[str, ...]:
        """What to tell first of how the model was built."""
        return () if self._model is None else findings_on(self._model)

    def get(self, spec: TrialSpec) -> nn.Module:
        """Return the model that a trial trains, built anew only if it must be.

        Raises:
            WorkloadError: The model cannot be built.
        """
        if not self.holds(spec):
            self.release()
            self._model = self._kept_or_built(spec)
            self._workload = spec.workload
            learn_batches(spec, self._device)
            self._key = spec.workload, spec.config
        assert self._model is not None
        return self._model

    def _kept_or_built(self, spec: TrialSpec) -> nn.Module:
        """Return the model of an earlier request of this process, else a new one.

        Code and folders of the user's may make something else each time: theirs are not kept.
        """
        kept, workload = kept_models(), spec.workload
        if kept is None or is_own(workload) or is_folder(workload.name):
            return build_model(workload, spec.config, self._device)
        key = self._device, self._built_for, workload, workload.describe(spec.config)
        model = kept.take(key, workload.name)
        if model is None:
            model = build_model(workload, spec.config, self._device)
            kept.keep(key, model)
        return model

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
