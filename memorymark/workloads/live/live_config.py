"""What the code around a call says of how a live model is trained."""

from __future__ import annotations

import dataclasses

import torch

from memorymark.records.config import Optimizer, Precision, TrainingConfig
from memorymark.workloads.live.live_workload import LiveTraining

_AMP = {torch.bfloat16: Precision.AMP_BF16, torch.float16: Precision.AMP_FP16}


def with_surroundings(
    live: LiveTraining, config: TrainingConfig | None
) -> tuple[LiveTraining, TrainingConfig]:
    """Return how a model is trained, with what is taken from the code around, and say so.

    A step of the user's own brings its precision along.
    """
    notes = list(live.notes)
    if config is None:
        config, around = TrainingConfig(), _autocast_around()
        if around is not None and live.step is None:
            config = dataclasses.replace(config, precision=around)
            notes.append(
                f"Autocast is on around the call: the step is taken in {around}"
                + (", its loss scaled." if around is Precision.AMP_FP16 else ".")
            )
    if live.optimizer is None and live.step is None and config.optimizer is not Optimizer.NONE:
        notes.append(f"No optimizer was given: {config.optimizer} is taken.")
    return dataclasses.replace(live, notes=tuple(notes)), config


def _autocast_around() -> Precision | None:
    for kind in ("cuda", "cpu"):
        if torch.is_autocast_enabled(kind):
            return _AMP.get(torch.get_autocast_dtype(kind))
    return None
