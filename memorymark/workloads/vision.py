"""Image classifiers of torchvision and timm, with random weights."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from memorymark.errors import InvalidValue, MissingPackage, UnknownChoice, WorkloadError
from memorymark.memory.oom import is_out_of_memory
from memorymark.records.config import Task, TrainingConfig, UseCache
from memorymark.workloads.base import Batch, Workload

_NUM_CLASSES = 1000
# Weight of the auxiliary heads' losses: Szegedy et al. 2015, arXiv 1409.4842, section 5.
_AUXILIARY_WEIGHT = 0.3


class ImageClassifier(Workload):
    """An image classifier from a library of models: cross entropy over random images.

    Args:
        library: "torchvision" or "timm".
        model_name: The model's name in that library.

    Raises:
        MissingPackage: The library is not installed.
        UnknownChoice: The library has no such model.
    """

    def __init__(self, library: str, model_name: str) -> None:
        self.name = f"{library}:{model_name}"
        self._library = library
        self._model_name = model_name
        known = list_vision_models(library)
        if model_name not in known:
            error = UnknownChoice(f"{library} model", model_name, known)
            hint = f"See them with: memorymark models --library {library}"
            raise UnknownChoice(
                f"{library} model", model_name, [error.nearest] if error.nearest else [], hint
            )

    def describe(self, config: TrainingConfig) -> TrainingConfig:
        """Fill in the task and the number of classes."""
        if config.task not in (None, Task.IMAGE_CLASSIFICATION):
            raise InvalidValue("task", str(config.task), f"image-classification for {self.name}")
        if config.use_cache is UseCache.ON:
            raise InvalidValue("use cache", "on", f"auto or off: {self.name} has no such cache")
        num_labels = config.num_labels or _NUM_CLASSES
        return dataclasses.replace(config, task=Task.IMAGE_CLASSIFICATION, num_labels=num_labels)

    def build(self, config: TrainingConfig) -> nn.Module:
        """Build the model by its name in the library."""
        num_labels = self.describe(config).num_labels
        try:
            return _create(self._library, self._model_name, num_labels, config.image_size)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise WorkloadError(f"The model {self.name!r} cannot be built: {error}") from error

    def batch(self, batch_size: int, config: TrainingConfig) -> Batch:
        """Make random images (batch_size, 3, image_size, image_size) in [0, 1] and labels."""
        size = config.image_size
        num_labels = self.describe(config).num_labels
        return {
            "images": torch.rand(batch_size, 3, size, size),
            "labels": torch.randint(num_labels, (batch_size,)),
        }

    def forward(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Any]:
        """Return the cross entropy, auxiliary heads included, and the model's outputs."""
        outputs = model(batch["images"])
        return _cross_entropy(outputs, batch["labels"]), outputs


def list_vision_models(library: str) -> list[str]:
    """Return the names of the library's classifiers.

    Raises:
        MissingPackage: The library is not installed.
    """
    if library == "timm":
        return list(_import("timm").list_models())
    models = _import("torchvision").models
    return list(models.list_models(module=models))


def _import(library: str) -> Any:
    try:
        return importlib.import_module(library)
    except (ImportError, RuntimeError) as error:
        raise MissingPackage(library, f"A model of {library}") from error


def _create(library: str, name: str, num_labels: int | None, image_size: int) -> nn.Module:
    if library == "timm":
        return _import("timm").create_model(name, pretrained=False, num_classes=num_labels)
    options: dict[str, Any] = {"num_classes": num_labels}
    if name in ("googlenet", "inception_v3"):
        # Their own initialisation draws truncated normals on the host, for minutes.
        options["init_weights"] = False
    if name.startswith("vit_") and image_size != 224:
        options["image_size"] = image_size
    return _import("torchvision").models.get_model(name, weights=None, **options)


def _cross_entropy(output: Any, labels: Tensor) -> Tensor:
    if isinstance(output, Tensor):
        return functional.cross_entropy(output, labels)
    heads: Sequence[Tensor] = [head for head in output if head is not None]
    loss = functional.cross_entropy(heads[0], labels)
    for head in heads[1:]:
        loss = loss + _AUXILIARY_WEIGHT * functional.cross_entropy(head, labels)
    return loss
