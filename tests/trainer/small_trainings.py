"""Small trainings, shared by the tests of the trainer."""

from __future__ import annotations

from typing import Any

import numpy as np

from memorymark.probes.cpu import CpuProbe
from memorymark.records.config import TrainingConfig
from memorymark.records.generation_run import WeightsFrom
from memorymark.records.training_plan import TrainingPlan
from memorymark.records.training_run import TrainingRun
from memorymark.trainer.train import train_on
from memorymark.trainer.training_job import TrainingJob
from memorymark.units import MIB
from memorymark.workloads.checkpoint import Checkpoint
from memorymark.workloads.huggingface import HuggingFaceWorkload

SEQ_LEN = 16
VOCABULARY = 32


class CountingSamples:
    """Sequences that count on: what comes next can be learned."""

    tokens_per_sample = SEQ_LEN

    def __init__(self, count: int, first: int = 0) -> None:
        self._count, self._first = count, first

    def __len__(self) -> int:
        return self._count

    def read(self, indices: Any) -> dict[str, np.ndarray]:
        starts = np.asarray(list(indices))[:, None] + self._first
        ids = (starts + np.arange(SEQ_LEN)[None, :]) % VOCABULARY
        ids = ids.astype(np.int64)
        return {"input_ids": ids, "attention_mask": np.ones_like(ids), "labels": ids.copy()}


def small_gpt2(dropout: float = 0.1) -> HuggingFaceWorkload:
    """Return a GPT-2 of two layers, 16 wide."""
    from transformers import GPT2Config

    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=SEQ_LEN, n_embd=16, n_layer=2, n_head=2,
        resid_pdrop=dropout, embd_pdrop=dropout, attn_pdrop=dropout, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return HuggingFaceWorkload("small-gpt2", config)


def small_job(
    batch_size: int = 4, accumulation: int = 1, samples: int = 64, *,
    workload: Any = None, config: dict[str, Any] | None = None, **plan: Any,
) -> TrainingJob:  # fmt: skip
    workload = workload or small_gpt2()
    options = {"task": "causal-lm", "seq_len": SEQ_LEN, "gradient_accumulation": accumulation}
    described = workload.describe(TrainingConfig(**{**options, **(config or {})}))
    return TrainingJob(
        workload, described, TrainingPlan(**plan), batch_size, CountingSamples(samples),
        CountingSamples(8, first=5), Checkpoint(None, WeightsFrom.RANDOM),
        fingerprint={"samples": samples},
    )  # fmt: skip


def train_small(job: TrainingJob, budget: int = 512 * MIB, **more: Any) -> TrainingRun:
    return train_on(CpuProbe(budget), job, **more)


def losses_of(run: TrainingRun) -> list[float]:
    return [point.loss for point in run.curve]
