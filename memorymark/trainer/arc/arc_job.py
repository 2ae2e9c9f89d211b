"""What one run on ARC tasks is made of: a decoder, tasks and how long sequences may be."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from memorymark.data.arc.arc_tasks import ArcTasks, Task, load_tasks
from memorymark.data.arc.generated_tasks import generated_tasks
from memorymark.data.arc.grid_tokens import TOKENS
from memorymark.data.samples import Samples
from memorymark.errors import InvalidValue, UsageError, quoted
from memorymark.records.arc_plan import DEFAULT_LORA_RANK, TRAINED_BY, ArcPlan
from memorymark.records.config import Task as TrainedFor
from memorymark.records.config import TrainingConfig
from memorymark.records.option import changed, options_of
from memorymark.records.training_plan import TrainingPlan
from memorymark.trainer.training_job import TrainingJob
from memorymark.workloads.base import Workload
from memorymark.workloads.checkpoint import Checkpoint
from memorymark.workloads.huggingface import HuggingFaceWorkload
from memorymark.workloads.inputs.batch_spec import vocabulary_size
from memorymark.workloads.readers import positions_of
from memorymark.workloads.served_model import served

_SHOWN = 6  # examples of a generated task: with fewer, other rules than its own fit too
_LONGEST = 4096  # where neither the plan nor the model's positions say less


@dataclass(frozen=True)
class ArcJob:
    """A run, before it begins.

    Attributes:
        workload: The decoder.
        config: How it is trained on each task.
        plan: Which tasks, and how.
        checkpoint: Where its weights lie.
        tasks: The tasks that are answered.
        read: What was read from files, and how long that took; None of generated tasks.
        memory_budget_bytes: The most that may be used of the device; None where none was given.
    """

    workload: HuggingFaceWorkload
    config: TrainingConfig
    plan: ArcPlan
    checkpoint: Checkpoint
    tasks: tuple[Task, ...]
    read: ArcTasks | None = None
    memory_budget_bytes: int | None = None

    @property
    def whole(self) -> TrainingConfig:
        """How all weights are trained."""
        return dataclasses.replace(self.config, lora_rank=None)

    def pretraining(self, samples: Samples) -> TrainingJob:
        """Return the training of all weights before the first task."""
        plan = self.plan
        how = TrainingPlan(
            learning_rate=plan.pretrain_rate, steps=plan.pretrain_steps or None, seed=plan.seed,
            warmup=min(20, plan.pretrain_steps // 10),
        )  # fmt: skip
        return TrainingJob(
            self.workload, self.whole, how, plan.pretrain_batch, samples, None, self.checkpoint
        )

    def training(self, samples: Samples) -> TrainingJob:
        """Return the training on one task."""
        plan = self.plan
        how = TrainingPlan(learning_rate=plan.learning_rate, steps=plan.steps, seed=plan.seed)
        return TrainingJob(
            self.workload, self.config, how, plan.batch_size, samples, None, self.checkpoint
        )


def arc_job(
    workload: Workload,
    config: TrainingConfig,
    plan: ArcPlan,
    checkpoint: Checkpoint,
    memory_budget_bytes: int | None = None,
) -> ArcJob:
    """Read the tasks, and check that the model can be trained on them.

    Raises:
        UsageError: The model does not write text, or options contradict one another.
        InvalidValue: There are no tasks, or the model has too few tokens or positions.
        InvalidRecord: A file is no task.
    """
    decoder = served(workload)
    filled = decoder.describe(_filled(decoder, config, plan))
    _check_vocabulary(decoder)
    read = _read(plan)
    tasks = read.tasks if read is not None else generated_tasks(
        min(plan.generated or 0, plan.tasks or plan.generated or 0), plan.seed,
        sides=(plan.grid_side, plan.grid_side), shown=_SHOWN,
    )  # fmt: skip
    return ArcJob(decoder, filled, plan, checkpoint, tasks, read, memory_budget_bytes)


def _filled(decoder: HuggingFaceWorkload, config: TrainingConfig, plan: ArcPlan) -> TrainingConfig:
    """Fill in what follows from the plan: the task, the lengths, and how weights are trained."""
    for name in changed(config):
        if name not in TRAINED_BY:
            words = options_of(TrainingConfig)[name].label.lower()
            raise UsageError(
                f"Test-time training takes no {words}; accepted: "
                f"{', '.join(each.replace('_', ' ') for each in TRAINED_BY)}."
            )
    if plan.all_weights and config.lora_rank is not None:
        raise UsageError(
            f"Both all weights and LoRA of rank {config.lora_rank} are to be trained. Give "
            "--all-weights or --lora-rank."
        )
    rank = None if plan.all_weights else config.lora_rank or DEFAULT_LORA_RANK
    return dataclasses.replace(
        config, task=TrainedFor.CAUSAL_LM, seq_len=_seq_len(decoder, plan), lora_rank=rank
    )


def _seq_len(decoder: HuggingFaceWorkload, plan: ArcPlan) -> int:
    most = positions_of(decoder.hf_config)
    if plan.seq_len is None:
        return min(most or _LONGEST, _LONGEST)
    if most is not None and plan.seq_len > most:
        accepted = f"up to {most:,}, the positions of {quoted(decoder.name)}"
        raise InvalidValue("sequence length", plan.seq_len, accepted)
    return plan.seq_len


def _check_vocabulary(decoder: HuggingFaceWorkload) -> None:
    size = vocabulary_size(decoder.hf_config)
    if size < TOKENS:
        raise UsageError(
            f"{quoted(decoder.name)} has a vocabulary of {size:,} tokens, and grids need {TOKENS}: "
            "ten colours, ends of rows and grids, marks of inputs and outputs, padding. Name "
            "another model."
        )


def _read(plan: ArcPlan) -> ArcTasks | None:
    if plan.data is not None:
        return load_tasks(plan.data, plan.tasks)
    if plan.generated is None:
        raise UsageError(
            "There are no tasks to answer. Name a folder of ARC tasks with --data FOLDER, or have "
            "some made with --generated N."
        )
    return None
