"""One pass of an encoder, as published benchmarks ran it: the model without a head."""

from __future__ import annotations

import copy
from typing import Any

import torch
from inference_rows import Figure
from torch import Tensor, nn

from memorymark.gpus.catalogue import Gpu, find_gpu
from memorymark.probes.simulated import SimulatedProbe
from memorymark.records.config import Precision, TrainingConfig
from memorymark.records.trial import Stage, Trial
from memorymark.workloads.base import Workload
from memorymark.workloads.custom import CustomWorkload
from memorymark.workloads.trial_spec import TrialSpec

_PRECISIONS = {"float32": Precision.FP32, "float16": Precision.FP16, "bfloat16": Precision.BF16}
# Of the same compute capability as a card that the catalogue does not have.
_LIKE = {(7, 5): "t4", (8, 0): "a100-80gb", (8, 6): "a6000", (8, 9): "l40s", (9, 0): "h100-80gb"}


def encoded(figure: Figure, workload: Workload) -> Trial:
    """Return the simulated trial of an encoder's row."""
    config = TrainingConfig(precision=_PRECISIONS[figure.values["dtype"]], dropout=False)
    own = CustomWorkload(workload.name, _Factory(workload, figure))
    spec = TrialSpec(own, config, figure.batch_size, Stage.FORWARD_ONLY)
    return SimulatedProbe(card_of(figure)).run_trial(spec)


def card_of(figure: Figure) -> Gpu:
    """Return a row's card, or one of the same compute capability."""
    return figure.gpu or find_gpu(_LIKE[figure.compute_capability])


class _Factory:
    """Makes the model of a row, its batches, and what is run."""

    def __init__(self, workload: Workload, figure: Figure) -> None:
        self._config, self._figure = workload._hf_config, figure

    def __call__(self) -> tuple[nn.Module, Any, Any]:
        from transformers import AutoModel

        attention = self._figure.attention.value
        config = copy.deepcopy(self._config)
        model = AutoModel.from_config(config, attn_implementation=attention)
        return model, self._batch, lambda model, batch: model(**batch)[0].mean()

    def _batch(self, batch_size: int) -> dict[str, Tensor]:
        shape = batch_size, self._figure.prompt_tokens
        mask = torch.ones(shape, dtype=torch.long)
        if batch_size > 1:
            mask[0, 0] = 0  # as the script of transformers' tables has it
        return {"input_ids": torch.randint(5, shape), "attention_mask": mask}
