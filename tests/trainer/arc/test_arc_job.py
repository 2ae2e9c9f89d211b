"""What a run on ARC tasks needs is checked before anything is built."""

from __future__ import annotations

import pytest
from arc_worlds import BUDGET, RANDOM, job_of, small_decoder, written
from tiny import TinyNet, tiny_resnet

from memorymark.errors import InvalidRecord, InvalidValue, UsageError
from memorymark.records.arc_plan import ArcPlan
from memorymark.records.config import TrainingConfig
from memorymark.trainer.arc.arc_job import arc_job
from memorymark.workloads.base import Workload


def asked(workload: Workload, plan: ArcPlan, config: TrainingConfig | None = None):
    return arc_job(workload, config or TrainingConfig(), plan, RANDOM, BUDGET)


def test_lora_is_the_default_and_the_model_gives_the_length():
    job = job_of(ArcPlan(generated=2))
    assert job.config.lora_rank == 8 and job.config.seq_len == 112
    assert job.config.task == "causal-lm" and job.whole.lora_rank is None
    assert len(job.tasks) == 2 and job.read is None
    assert job_of(ArcPlan(generated=5, tasks=3, seq_len=100)).config.seq_len == 100
    assert job_of(ArcPlan(generated=1), TrainingConfig(lora_rank=2)).config.lora_rank == 2
    assert job_of(ArcPlan(generated=1, all_weights=True)).config.lora_rank is None


def test_a_folder_is_read_up_to_the_number_of_tasks(tmp_path):
    job = job_of(ArcPlan(data=written(tmp_path / "tasks", 3), tasks=2))
    assert len(job.tasks) == 2 and job.read is not None and job.read.seconds > 0


@pytest.mark.parametrize(
    ("plan", "config", "kind", "said"),
    [
        ({}, {}, UsageError, "Name a folder of ARC tasks with --data FOLDER"),
        ({"data": "nowhere"}, {}, InvalidValue, "a folder of ARC tasks"),
        ({"generated": 1, "seq_len": 500}, {}, InvalidValue, "up to 112, the positions of"),
        ({"generated": 1, "grid_side": 1}, {}, InvalidValue, "from 2 to 30"),
        ({"generated": 1, "all_weights": True}, {"lora_rank": 4}, UsageError, "--lora-rank"),
        ({"generated": 1}, {"seq_len": 64}, UsageError, "takes no sequence length"),
        ({"generated": 1}, {"freeze": "*"}, UsageError, "takes no frozen parameters"),
    ],
)
def test_what_cannot_be_run_is_said(plan, config, kind, said):
    with pytest.raises(kind, match=said):
        job_of(ArcPlan(**plan), TrainingConfig(**config))


def test_a_file_that_is_no_task_is_named(tmp_path):
    written(tmp_path, 1)
    (tmp_path / "zz.json").write_text('{"train": []}')
    with pytest.raises(InvalidRecord, match=r"zz\.json"):
        job_of(ArcPlan(data=str(tmp_path)))


@pytest.mark.parametrize(
    ("workload", "said"),
    [
        (TinyNet(), "no model of Hugging Face"),
        (tiny_resnet(), "Unknown task for tiny-resnet"),
        (small_decoder(vocabulary=14), "a vocabulary of 14 tokens, and grids need 15"),
    ],
)
def test_a_model_that_writes_no_grids_is_refused(workload, said):
    with pytest.raises(UsageError, match=said):
        asked(workload, ArcPlan(generated=1))
