"""What tests of ARC tasks share: a small decoder, tasks in files, and runs of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from memorymark.data.arc.arc_tasks import Task
from memorymark.data.arc.generated_tasks import generated_task
from memorymark.probes.cpu import CpuProbe
from memorymark.records.arc_plan import ArcPlan
from memorymark.records.arc_report import ArcReport
from memorymark.records.config import Task as TrainedFor
from memorymark.records.config import TrainingConfig
from memorymark.records.generation_run import WeightsFrom
from memorymark.trainer.arc.arc_job import ArcJob, arc_job
from memorymark.trainer.arc.run_arc import run_arc
from memorymark.units import MIB
from memorymark.workloads.checkpoint import Checkpoint
from memorymark.workloads.huggingface import HuggingFaceWorkload

RANDOM = Checkpoint(None, WeightsFrom.RANDOM)
BUDGET = 64 * MIB


def small_config(positions: int = 112, width: int = 32, vocabulary: int = 16) -> Any:
    from transformers import GPT2Config

    return GPT2Config(
        vocab_size=vocabulary, n_embd=width, n_layer=1, n_head=2, n_positions=positions,
        attn_pdrop=0.0, resid_pdrop=0.0, embd_pdrop=0.0, bos_token_id=0, eos_token_id=13,
    )  # fmt: skip


def small_decoder(**sizes: int) -> HuggingFaceWorkload:
    return HuggingFaceWorkload("tiny-gpt2", small_config(**sizes), TrainedFor.CAUSAL_LM)


def write_task(folder: Path, task: Task) -> None:
    values = {
        part: [{"input": x.input.tolist(), "output": x.output.tolist()} for x in examples]
        for part, examples in (("train", task.train), ("test", task.test))
    }
    (folder / f"{task.name}.json").write_text(json.dumps(values))


def written(folder: Path, count: int = 2, **how: Any) -> str:
    """Write generated tasks into a folder, as ARC's are; return its name."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        write_task(folder, generated_task(number, **{"sides": (3, 3), "shown": 3, **how}))
    return str(folder)


def job_of(plan: ArcPlan, config: TrainingConfig | None = None, **sizes: int) -> ArcJob:
    return arc_job(small_decoder(**sizes), config or TrainingConfig(), plan, RANDOM, BUDGET)


def run(
    plan: ArcPlan, config: TrainingConfig | None = None, budget: int = BUDGET, **how: Any
) -> ArcReport:
    return run_arc(CpuProbe(budget), job_of(plan, config), **how)
