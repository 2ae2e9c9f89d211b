"""Which trainings run the same forward and backward passes, and differ in what comes after them."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable

from memorymark.records.config import Precision, TrainingConfig

# What an optimizer does, and when gradients, outputs and segments come and go.
_AROUND = (
    "optimizer", "optimizer_impl", "zero_grad", "drop_outputs", "grad_clip", "expandable_segments"
)  # fmt: skip
# Formats of as many bytes, in which the same kernels run.
_AS_WIDE = {
    Precision.TF32: Precision.FP32,
    Precision.AMP_FP16: Precision.AMP_BF16,
    Precision.FP16: Precision.BF16,
}


def passes_of(config: TrainingConfig, batch_size: int) -> Hashable:
    """Return what is the same for all trainings whose forward and backward passes are.

    Their blocks grow alike with the batch.
    """
    default = TrainingConfig()
    same = {name: getattr(default, name) for name in _AROUND}
    precision = _AS_WIDE.get(config.precision, config.precision)
    return dataclasses.replace(config, precision=precision, **same), batch_size
