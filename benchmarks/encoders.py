"""One pass of an encoder, as published benchmarks ran it: the model without a head."""

from __future__ import annotations

import copy
from typing import Any

import torch
from inference_rows import Figure
from torch import Tensor, nn

from memorymark.probes.simulated import SimulatedProbe
from memorymark.records.config import Precision, TrainingConfig
from memorymark.records.trial import Stage, Trial
from memorymark.workloads.base import Workload
from memorymark.workloads.custom import CustomWorkload
from memorymark.workloads.trial_spec import TrialSpec

_PRECISIONS = {"float32": Precision.FP32, "float16": Precision.FP16, "bfloat16": Precision.BF16}


def encoded(figure: Figure, workload: Workload) -> Trial:
    """Return the simulated trial of an encoder's row."""
    config = TrainingConfig(precision=_PRECISIONS[figure.values["dtype"]], dropout=False)
    own = CustomWorkload(workload.name, _Factory(workload, figure))
    spec = TrialSpec(own, config, figure.batch_size, Stage.FORWARD_ONLY)
    return SimulatedProbe(figure.simulated_gpu).run_trial(spec)


class _Factory:
    """Makes the model of a row, its batches, and what is run."""

    def __init__(self, workload: Workload, figure: Figure) -> None:
        self._config, self._figure = workload._hf_config, figure
        self._outputs: Any = None

    def __call__(self) -> tuple[nn.Module, Any, Any]:
        from transformers import AutoModel

        attention = self._figure.attention.value
        config = copy.deepcopy(self._config)
        model = AutoModel.from_config(config, attn_implementation=attention)
        return model, self._batch, self._run

    def _run(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Run a pass; its outputs live until those of the next one take their place."""
        self._outputs = model(**batch)
        return self._outputs[0].mean()

    def _batch(self, batch_size: int) -> dict[str, Tensor]:
        shape = batch_size, self._figure.prompt_tokens
        mask = torch.ones(shape, dtype=torch.long)
        if batch_size > 1:
            mask[0, 0] = 0  # as the script of transformers' tables has it
        return {"input_ids": torch.randint(5, shape), "attention_mask": mask}
