"""Batches of videos."""

from __future__ import annotations

import torch

from memorymark.workloads.inputs.batch_spec import BatchSpec, Inputs
from memorymark.workloads.inputs.images import some_of

# Share of masked patches: Tong et al. 2022, VideoMAE, arXiv 2203.12602, section 4.
_MASKED_SHARE = 0.9


def frames(spec: BatchSpec) -> Inputs:
    """Make videos, (batch_size, frames, channels, size, size)."""
    name = "pixel_values_videos" if "pixel_values_videos" in spec.takes else "pixel_values"
    return {name: spec.random_pixels(spec.config.num_frames or 1)}


def classified_videos(spec: BatchSpec) -> Inputs:
    """Make videos with a class each."""
    return frames(spec) | {"labels": torch.randint(spec.num_labels, (spec.batch_size,))}


def masked_videos(spec: BatchSpec) -> Inputs:
    """Make videos, and which of their patches are masked."""
    config, length = spec.hf_config, spec.config.num_frames or 1
    count = length // config.tubelet_size * (spec.image_size // config.patch_size) ** 2
    return frames(spec) | {"bool_masked_pos": some_of(spec.batch_size, count, _MASKED_SHARE)}
