"""What torchvision's models are trained for: batches, losses and sizes, by their folders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from memorymark.records.config import Task, TrainingConfig

# COCO has 90 classes and the background, Pascal VOC 20 and it, Kinetics 400.
_COCO, _VOC, _KINETICS = 91, 21, 400
_PEOPLE, _KEYPOINTS = 2, 17
# COCO train2017 has 860,001 objects in 118,287 images.
_OBJECTS_PER_IMAGE = 7
# Weight of the auxiliary classifier: torchvision, references/segmentation/train.py, `criterion`.
_AUXILIARY_WEIGHT = 0.5
_FRAMES = 16

Batch = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """What a model of torchvision is trained for.

    Attributes:
        task: The task.
        num_labels: Classes of the data that its published weights were trained on.
        image_size: Height and width of its images in pixels.
        make: Makes a batch.
        loss: Returns the loss and the outputs of a model and a batch.
        needs_training_mode: Whether it computes a loss in training mode alone.
        num_frames: Frames of a video; None where it takes images.
    """

    task: Task
    num_labels: int
    image_size: int
    make: Callable[[int, TrainingConfig], Batch]
    loss: Callable[[nn.Module, Batch], tuple[Tensor, Any]]
    needs_training_mode: bool = False
    num_frames: int | None = None


def kind_of(folder: str, name: str) -> Kind:
    """Return what a model of one of torchvision's folders is trained for."""
    if folder == "segmentation":
        return Kind(Task.SEMANTIC_SEGMENTATION, _VOC, 520, _segmented, _pixel_loss)
    if folder == "video":
        size = _of(name, {"mvit": 224, "swin3d": 224, "s3d": 224}, 112)
        return Kind(
            Task.VIDEO_CLASSIFICATION, _KINETICS, size, _videos, _class_loss, num_frames=_FRAMES
        )
    is_people = name.startswith("keypointrcnn")
    task = Task.KEYPOINT_DETECTION if is_people else Task.OBJECT_DETECTION
    make = _of(name, {"keypointrcnn": _with_keypoints, "maskrcnn": _with_masks}, _detected)
    size = next((int(part) for part in ("300", "320") if part in name), 800)
    classes = _PEOPLE if is_people else _COCO
    return Kind(task, classes, size, make, _summed_loss, needs_training_mode=True)


def _of(name: str, by_beginning: Mapping[str, Any], otherwise: Any) -> Any:
    return next((v for key, v in by_beginning.items() if name.startswith(key)), otherwise)


def _pixels(batch_size: int, config: TrainingConfig, *middle: int) -> Tensor:
    size = config.image_size or 0
    return torch.rand(batch_size, 3, *middle, size, size)


def _segmented(batch_size: int, config: TrainingConfig) -> Batch:
    size = config.image_size or 0
    labels = torch.randint(config.num_labels or 2, (batch_size, size, size))
    return {"images": _pixels(batch_size, config), "labels": labels}


def _videos(batch_size: int, config: TrainingConfig) -> Batch:
    labels = torch.randint(config.num_labels or 2, (batch_size,))
    return {"images": _pixels(batch_size, config, config.num_frames or 1), "labels": labels}


def _detected(batch_size: int, config: TrainingConfig) -> Batch:
    images = _pixels(batch_size, config)
    return {
        "images": list(images),
        "targets": [_objects(config) for _ in range(batch_size)],
    }


def _objects(config: TrainingConfig) -> dict[str, Tensor]:
    """Return an image's objects: boxes as left, top, right, bottom in pixels.

    The models check their boxes and choose by them, so that they hold values even where
    nothing else does: boxes of several sizes, from corner to corner.
    """
    size, count = float(config.image_size or 0), _OBJECTS_PER_IMAGE
    boxes = [
        [size * at / (2 * count), size * at / (2 * count), size * (at + 1) / (count + 1),
         size * (at + 2) / (count + 2)]
        for at in range(count)
    ]  # fmt: skip
    labels = [1 + at % max((config.num_labels or 2) - 1, 1) for at in range(count)]
    return {"boxes": torch.tensor(boxes), "labels": torch.tensor(labels)}


def _with_masks(batch_size: int, config: TrainingConfig) -> Batch:
    batch, size = _detected(batch_size, config), config.image_size or 0
    shape = (_OBJECTS_PER_IMAGE, size, size)
    for target in batch["targets"]:
        target["masks"] = torch.randint(2, shape, dtype=torch.uint8)
    return batch


def _with_keypoints(batch_size: int, config: TrainingConfig) -> Batch:
    batch = _detected(batch_size, config)
    for target in batch["targets"]:
        middle = (target["boxes"][:, :2] + target["boxes"][:, 2:]) / 2
        places = middle[:, None].expand(-1, _KEYPOINTS, -1)
        visible = torch.ones((_OBJECTS_PER_IMAGE, _KEYPOINTS, 1))
        target["keypoints"] = torch.cat([places, visible], dim=-1)
    return batch


def _summed_loss(model: nn.Module, batch: Batch) -> tuple[Tensor, Any]:
    losses = model(batch["images"], batch["targets"])
    return sum(losses.values()), losses


def _pixel_loss(model: nn.Module, batch: Batch) -> tuple[Tensor, Any]:
    outputs = model(batch["images"])
    loss = functional.cross_entropy(outputs["out"], batch["labels"])
    if "aux" in outputs:
        auxiliary = functional.cross_entropy(outputs["aux"], batch["labels"])
        loss = loss + _AUXILIARY_WEIGHT * auxiliary
    return loss, outputs


def _class_loss(model: nn.Module, batch: Batch) -> tuple[Tensor, Any]:
    outputs = model(batch["images"])
    return functional.cross_entropy(outputs, batch["labels"]), outputs
