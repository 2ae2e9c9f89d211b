"""Models of torchvision and timm, with random weights; image classifiers are built here."""

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
from memorymark.records.config import DEFAULT_IMAGE_SIZE, Task, TrainingConfig, UseCache
from memorymark.workloads.base import Batch, Workload
from memorymark.workloads.sample_lengths import with_own_lengths
from memorymark.workloads.torchvision_models import TorchvisionModel

_NUM_CLASSES = 1000
# Weight of the auxiliary heads' losses: Szegedy et al. 2015, arXiv 1409.4842, section 5.
_AUXILIARY_WEIGHT = 0.3
# Its auxiliary head cannot take less than 299: torchvision, `inception_v3`.
_TORCHVISION_SIZES = {"inception_v3": 299}
_FOLDERS = ("detection", "segmentation", "video")


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
        config = with_own_lengths(config, Task.IMAGE_CLASSIFICATION.lengths, self.name)
        return dataclasses.replace(
            config,
            task=Task.IMAGE_CLASSIFICATION,
            num_labels=config.num_labels or _NUM_CLASSES,
            image_size=config.image_size or _own_size(self._library, self._model_name),
        )

    def build(self, config: TrainingConfig) -> nn.Module:
        """Build the model by its name in the library."""
        config = self.describe(config)
        size = config.image_size or 0
        try:
            return _create(self._library, self._model_name, config.num_labels, size)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise WorkloadError(f"The model {self.name!r} cannot be built: {error}") from error

    def batch(self, batch_size: int, config: TrainingConfig) -> Batch:
        """Make random images (batch_size, 3, image_size, image_size) in [0, 1] and labels."""
        config = self.describe(config)
        size = config.image_size or 0
        return {
            "images": torch.rand(batch_size, 3, size, size),
            "labels": torch.randint(config.num_labels or 2, (batch_size,)),
        }

    def forward(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Any]:
        """Return the cross entropy, auxiliary heads included, and the model's outputs."""
        outputs = model(batch["images"])
        return _cross_entropy(outputs, batch["labels"]), outputs


def vision_workload(library: str, model_name: str) -> Workload:
    """Return the workload of a model by its name in a library.

    Raises:
        MissingPackage: The library is not installed.
        UnknownChoice: The library has no such model.
        WorkloadError: The model cannot be trained here.
    """
    if library == "torchvision":
        for folder in _FOLDERS:
            if model_name in _folder(folder):
                return TorchvisionModel(model_name, folder)
        _refuse_untrainable(model_name)
    return ImageClassifier(library, model_name)


def list_vision_models(library: str) -> list[str]:
    """Return the names of the library's models that can be trained here.

    Raises:
        MissingPackage: The library is not installed.
    """
    if library == "timm":
        return list(_import("timm").list_models())
    models = _import("torchvision").models
    names = list(models.list_models(module=models))
    return [*names, *(name for folder in _FOLDERS for name in _folder(folder))]


def _folder(folder: str) -> list[str]:
    models = _import("torchvision").models
    return list(models.list_models(module=getattr(models, folder)))


def _refuse_untrainable(model_name: str) -> None:
    if model_name in _folder("quantization"):
        plain = model_name.removeprefix("quantized_")
        raise WorkloadError(
            f"The model 'torchvision:{model_name}' is quantized, for inference alone. "
            f"Train torchvision:{plain} instead."
        )
    if model_name in _folder("optical_flow"):
        raise WorkloadError(
            f"The model 'torchvision:{model_name}' takes two images and is trained on optical "
            "flow, for which there is no batch here. Write a package.module:factory."
        )


def _own_size(library: str, name: str) -> int:
    """Return the size of images in pixels for which a model was made."""
    if library == "torchvision":
        return _TORCHVISION_SIZES.get(name, DEFAULT_IMAGE_SIZE)
    pretrained = _import("timm").get_pretrained_cfg(name)
    size = getattr(pretrained, "input_size", None)
    return int(size[-1]) if size else DEFAULT_IMAGE_SIZE


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
