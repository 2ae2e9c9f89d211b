"""Batches of images, with what each task asks for beside them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from memorymark.workloads.inputs.batch_spec import BatchSpec, Inputs, part, vision_config

# COCO train2017 has 860,001 objects in 118,287 images.
OBJECTS_PER_IMAGE = 7
# Share of masked patches: Xie et al. 2022, SimMIM, arXiv 2111.09886, section 4.1.
_MASKED_SHARE = 0.6
# OneFormer's processor pads its texts to the length of CLIP's tokenizer.
_ONEFORMER_TOKENS = 77


def classified(spec: BatchSpec) -> Inputs:
    """Make pixel_values, or what the model takes in their place, and a class for each image."""
    return pictures(spec) | {"labels": torch.randint(spec.num_labels, (spec.batch_size,))}


def pictures(spec: BatchSpec) -> Inputs:
    """Make images in the form in which the model takes them."""
    return _OTHER_FORMS.get(spec.model_type, _pixels)(spec)


def _pixels(spec: BatchSpec) -> Inputs:
    return {"pixel_values": spec.random_pixels()}


def _color_tokens(spec: BatchSpec) -> Inputs:
    """Make images as ImageGPT's processor does: one color cluster for each pixel."""
    clusters = spec.hf_config.vocab_size - 1  # the last id starts a sequence
    return {"input_ids": torch.randint(clusters, (spec.batch_size, spec.hf_config.n_positions))}


def _patches(spec: BatchSpec) -> Inputs:
    """Make images as SigLIP 2's processor does: patches, up to the model's number of them."""
    vision, batch_size = spec.hf_config.vision_config, spec.batch_size
    side = math.isqrt(vision.num_patches)
    values = vision.num_channels * vision.patch_size**2
    return {
        "pixel_values": torch.rand(batch_size, vision.num_patches, values),
        "pixel_attention_mask": torch.ones((batch_size, vision.num_patches), dtype=torch.long),
        "spatial_shapes": torch.full((batch_size, 2), side),
    }


_OTHER_FORMS = {"imagegpt": _color_tokens, "siglip2": _patches}


def detected(spec: BatchSpec) -> Inputs:
    """Make images with the classes and boxes of their objects, one dictionary an image."""
    return _with_pixel_mask(spec) | {"labels": [_objects(spec) for _ in range(spec.batch_size)]}


def _with_pixel_mask(spec: BatchSpec) -> Inputs:
    size = spec.image_size
    mask = torch.ones((spec.batch_size, size, size), dtype=torch.long)
    return {"pixel_values": spec.random_pixels(), **spec.taken(pixel_mask=mask)}


def _objects(spec: BatchSpec) -> dict[str, Tensor]:
    """Return an image's objects: boxes as center, width and height in shares of the image."""
    return {
        "class_labels": torch.randint(spec.num_labels, (OBJECTS_PER_IMAGE,)),
        "boxes": torch.rand(OBJECTS_PER_IMAGE, 4) * 0.4 + 0.3,
    }


def segmented(spec: BatchSpec) -> Inputs:
    """Make images with a class for each pixel."""
    shape = (spec.batch_size, spec.image_size, spec.image_size)
    return {
        "pixel_values": spec.random_pixels(),
        "labels": torch.randint(spec.num_labels, shape),
    }


def segments(spec: BatchSpec) -> Inputs:
    """Make images with the classes and masks of their segments."""
    batch = _with_pixel_mask(spec)
    if "mask_labels" not in spec.takes:  # DETR's head takes all in one dictionary an image
        labels = [_objects(spec) | {"masks": _masks(spec)} for _ in range(spec.batch_size)]
        return batch | {"labels": labels}
    images = range(spec.batch_size)
    batch["mask_labels"] = [_masks(spec) for _ in images]
    batch["class_labels"] = [_objects(spec)["class_labels"] for _ in images]
    if "text_inputs" in spec.takes:
        batch |= _texts_of_segments(spec)
    return batch


def _masks(spec: BatchSpec) -> Tensor:
    size = spec.image_size
    return torch.randint(2, (OBJECTS_PER_IMAGE, size, size)).float()


def _texts_of_segments(spec: BatchSpec) -> Inputs:
    """Make what OneFormer reads: its task, and one text for each query but the learned ones."""
    config = spec.hf_config
    count = config.num_queries - config.text_encoder_n_ctx
    words, length = config.text_encoder_vocab_size, config.text_encoder_context_length
    return {
        "task_inputs": torch.randint(words, (spec.batch_size, config.task_seq_len)),
        "text_inputs": torch.randint(words, (spec.batch_size, count, length)),
    }


def masked(spec: BatchSpec) -> Inputs:
    """Make images, and which of their patches are masked, unless the model masks them itself."""
    vision = vision_config(spec.hf_config)
    if "bool_masked_pos" not in spec.takes or spec.model_type == "hiera":
        return {"pixel_values": spec.random_pixels()}
    count = (spec.image_size // vision.patch_size) ** 2
    return {
        "pixel_values": spec.random_pixels(),
        "bool_masked_pos": some_of(spec.batch_size, count, _MASKED_SHARE),
    }


def some_of(batch_size: int, count: int, share: float) -> Tensor:
    """Choose the first places of each row, the same number in all: (batch_size, count), boolean.

    Which ones they are changes no memory, and a simulation knows these.
    """
    return (torch.arange(count) < int(count * share)).expand(batch_size, count)


def prompted(spec: BatchSpec) -> Inputs:
    """Make images with a point on one object each, and its mask as large as predicted ones."""
    seen = part(vision_config(spec.hf_config), "backbone_config")
    patch = getattr(seen, "patch_size", None) or 16
    size = 4 * spec.image_size // patch  # the decoder doubles the patches' grid twice
    return {
        "pixel_values": spec.random_pixels(),
        "input_points": torch.rand(spec.batch_size, 1, 1, 2) * spec.image_size,
        "input_labels": torch.ones((spec.batch_size, 1, 1), dtype=torch.long),
        "multimask_output": False,
        "target_masks": torch.randint(2, (spec.batch_size, 1, 1, size, size)).float(),
    }


def depths(spec: BatchSpec) -> Inputs:
    """Make images with a depth in meters for each pixel."""
    shape = (spec.batch_size, spec.image_size, spec.image_size)
    return {"pixel_values": spec.random_pixels(), "target_depths": torch.rand(shape) * 10 + 0.1}
