"""torchvision's models for detection, segmentation and video, with random weights."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor, nn

from memorymark.errors import InvalidValue, WorkloadError
from memorymark.memory.oom import is_out_of_memory
from memorymark.records.config import TrainingConfig
from memorymark.workloads.base import Batch, Workload
from memorymark.workloads.sample_lengths import with_own_lengths
from memorymark.workloads.torchvision_kinds import kind_of


class TorchvisionModel(Workload):
    """A model for detection, segmentation or video, with the loss of torchvision's references.

    Args:
        model_name: The model's name in torchvision.
        folder: detection, segmentation or video.
    """

    def __init__(self, model_name: str, folder: str) -> None:
        self.name = f"torchvision:{model_name}"
        self._model_name = model_name
        self._kind = kind_of(folder, model_name)

    def describe(self, config: TrainingConfig) -> TrainingConfig:
        """Fill in the task, the number of classes and the lengths."""
        kind = self._kind
        if config.task not in (None, kind.task):
            raise InvalidValue("task", str(config.task), f"{kind.task} for {self.name}")
        if kind.needs_training_mode and not config.dropout:
            raise InvalidValue(
                "dropout", False, f"true for {self.name}, which has a loss in training mode alone"
            )
        config = with_own_lengths(config, kind.task.lengths, self.name)
        return dataclasses.replace(
            config,
            task=kind.task,
            num_labels=config.num_labels or kind.num_labels,
            image_size=config.image_size or kind.image_size,
            num_frames=kind.num_frames and (config.num_frames or kind.num_frames),
        )

    def build(self, config: TrainingConfig) -> nn.Module:
        """Build the model by its name."""
        from torchvision import models

        options: dict[str, Any] = {"num_classes": self.describe(config).num_labels}
        try:
            weights = {"weights": None, **_without_backbone_weights(self._model_name)}
            return models.get_model(self._model_name, **weights, **options)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise WorkloadError(f"The model {self.name!r} cannot be built: {error}") from error

    def batch(self, batch_size: int, config: TrainingConfig) -> Batch:
        """Make random images or videos, with what the model is trained on beside them."""
        return self._kind.make(batch_size, self.describe(config))

    def forward(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Any]:
        """Return the sum of the model's losses, and its outputs."""
        return self._kind.loss(model, batch)


def _without_backbone_weights(name: str) -> dict[str, None]:
    import inspect

    from torchvision import models

    builder = inspect.unwrap(models.get_model_builder(name))
    given = inspect.signature(builder).parameters
    return {"weights_backbone": None} if "weights_backbone" in given else {}
