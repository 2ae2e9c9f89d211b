"""Builds a model as it is used, not trained: with random weights, with its own, without data."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from memorymark.errors import UsageError, quoted
from memorymark.records.config import Precision, TrainingConfig
from memorymark.workloads.base import Batch, Workload
from memorymark.workloads.build import build_model
from memorymark.workloads.huggingface import HuggingFaceWorkload
from memorymark.workloads.quantized import quantize

if TYPE_CHECKING:
    from memorymark.workloads.generation_spec import GenerationSpec
    from memorymark.workloads.serving_spec import ServingSpec

_DTYPES = {
    Precision.FP32: torch.float32, Precision.FP16: torch.float16, Precision.BF16: torch.bfloat16,
}  # fmt: skip


def served(workload: Workload) -> HuggingFaceWorkload:
    """Return a workload whose model can be used.

    Raises:
        UsageError: It is no model of Hugging Face transformers.
    """
    if not isinstance(workload, HuggingFaceWorkload):
        raise UsageError(
            f"{quoted(workload.name)} is no model of Hugging Face transformers, whose inputs and "
            "answers are known. Give hf:FOLDER, hf:ID or a short name of `memorymark models`."
        )
    return workload


def dtype_of(config: TrainingConfig) -> torch.dtype:
    """Return the number format of a model's weights."""
    return _DTYPES[config.precision]


def serving_model(
    spec: ServingSpec | GenerationSpec, device: torch.device, folder: Path | None = None
) -> nn.Module:
    """Return the model that generates on its device, quantized where it is to be.

    Args:
        spec: What generates.
        device: Where it is to be; on meta it has no data.
        folder: Where its weights lie; None makes random ones.

    Raises:
        WorkloadError: It cannot be built, or its weights cannot be read.
        MissingPackage: Its weights are to be quantized, and the package for it is not installed.
    """
    model = build_served(spec.workload, spec.built_as, device, folder)
    weights = spec.config.weights
    return quantize(model, weights, device) if weights.is_quantized else model


def serving_models(
    spec: GenerationSpec, device: torch.device, folders: Sequence[Path | None] | None = None
) -> nn.Module:
    """Return what generates on its device: the model, or the list of both where two write.

    The weights of each are random alike, as far as they are random: as if it were built alone.

    Args:
        spec: The generation.
        device: Where it is to be; on meta it has no data.
        folders: Where the weights lie, of each model; None makes random ones.

    Raises:
        WorkloadError: One cannot be built, or its weights cannot be read.
    """
    made = []
    for each, folder in zip(spec.models, folders or [None] * len(spec.models), strict=True):
        if device.type != "meta":
            torch.manual_seed(spec.plan.seed)
        made.append(serving_model(each, device, folder))
    return made[0] if len(made) == 1 else nn.ModuleList(made)


def build_served(
    workload: Workload, config: TrainingConfig, device: torch.device, folder: Path | None = None
) -> nn.Module:
    """Return a model on its device, in eval mode, its weights in the format of the config.

    A model of Hugging Face transformers is made as it is loaded to be used, any other as it is
    built to be trained.

    Args:
        workload: The model.
        config: How it is built.
        device: Where it is to be; on meta it has no data.
        folder: Where its weights lie; None makes random ones.

    Raises:
        WorkloadError: It cannot be built, or its weights cannot be read.
    """
    if isinstance(workload, HuggingFaceWorkload):
        workload = _Served(workload, dtype_of(config), folder)
        config = dataclasses.replace(config, precision=Precision.FP32)  # the format is given
    return build_model(workload, config, device).eval().requires_grad_(False)


class _Served(Workload):
    """A workload whose model is built as it is used."""

    def __init__(
        self, workload: HuggingFaceWorkload, dtype: torch.dtype, folder: Path | None
    ) -> None:
        self.name = workload.name
        self._inner, self._dtype, self._folder = workload, dtype, folder

    def build(self, config: TrainingConfig) -> nn.Module:
        """Return the model."""
        return self._inner.build_to_serve(config, self._dtype, self._folder)

    def batch(self, batch_size: int, config: TrainingConfig) -> Batch:
        """Return what the model reads."""
        return self._inner.batch(batch_size, config)

    def forward(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Any]:
        """Return a loss: nothing here trains."""
        return self._inner.forward(model, batch)
