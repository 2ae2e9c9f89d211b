"""Runs over ARC tasks: what training on a task gains, and budgets that hold over all of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from arc_worlds import BUDGET, job_of, run, small_decoder, write_task, written
from fake_accelerators import FakeCuda, cuda_probe

from memorymark.data.arc.arc_tasks import Example, Task
from memorymark.errors import Cancelled, NotAvailable, WorkloadError
from memorymark.probes.cpu import CpuProbe
from memorymark.records.arc_plan import ArcPlan
from memorymark.records.arc_report import ArcReport, TaskEnd
from memorymark.records.config import TrainingConfig
from memorymark.records.event import CancelToken
from memorymark.trainer.arc.run_arc import run_arc
from memorymark.units import KIB, MIB


@pytest.fixture(autouse=True)
def _home(home):
    """A home of its own, and one thread."""


def test_training_on_a_task_answers_what_the_model_could_not():
    """All weights of one layer, from random ones: LoRA adapts what knows something already."""
    plan = ArcPlan(
        generated=4, steps=150, batch_size=8, learning_rate=5e-3, all_weights=True,
        augment="colours", shown="as-trained", target_accuracy=0.25,
    )  # fmt: skip
    report = run(plan)
    assert report.accuracy_after >= 0.25 and report.accuracy_after > report.accuracy_before
    assert {str(each.verdict) for each in report.verdicts.values()} == {"PASS", "NOT PROVEN"}
    assert report.verdicts["accuracy"].verdict == "PASS"
    assert all(each.stopped_by is TaskEnd.STEPS and each.steps == 150 for each in report.tasks)


def test_lora_trains_some_parameters_and_each_task_begins_anew(tmp_path):
    """What a task comes to does not depend on the tasks before it."""
    data = written(tmp_path / "tasks", 3)
    plan = ArcPlan(data=data, steps=3, batch_size=2, learning_rate=0.01)
    all_three = run(plan)
    assert all_three.config.lora_rank == 8
    assert all_three.trainable_parameters == 8 * (32 + 96 + 32 + 32 + 32 + 128 + 128 + 32)
    assert all_three.findings[0].startswith("LoRA of rank 8 trains 4,096 of ")
    last = sorted((tmp_path / "tasks").iterdir())[-1]
    alone = run(ArcPlan(data=str(last), steps=3, batch_size=2, learning_rate=0.01))
    assert alone.tasks[0].train_loss == all_three.tasks[2].train_loss
    assert all_three.tasks_per_second > 0 and all_three.read_tasks == 3


def test_out_of_memory_ends_one_task_and_the_others_go_on(tmp_path):
    folder = tmp_path / "tasks"
    written(folder, 2)
    large = np.zeros((12, 12), dtype=np.uint8)
    write_task(folder, Task("large", (Example(large, large),) * 3, (Example(large, large),)))
    job = job_of(ArcPlan(data=str(folder), steps=2, seq_len=1000), positions=1000)
    report = run_arc(CpuProbe(2 * MIB), job)
    ended = {each.name: each.stopped_by for each in report.tasks}
    assert ended.pop("large") is TaskEnd.OUT_OF_MEMORY
    assert set(ended.values()) == {TaskEnd.STEPS}
    (failed,) = [each for each in report.tasks if each.name == "large"]
    assert "out of memory" in failed.error and failed.correct_after is None
    assert report.peak_allocated_bytes <= 2 * MIB
    assert report.verdicts["memory"].verdict == "FAIL"


def test_less_memory_halves_the_micro_batch_and_says_so():
    plan = ArcPlan(generated=1, steps=2, batch_size=8)
    whole = run(plan)
    half = run(plan, budget=whole.peak_allocated_bytes - 1)
    assert half.tasks[0].stopped_by is TaskEnd.STEPS
    assert half.peak_allocated_bytes < whole.peak_allocated_bytes
    assert any("micro-batch of 8" in each for each in half.tasks[0].findings)


def test_the_time_budget_ends_tasks_in_time():
    plan = ArcPlan(generated=3, steps=1_000_000, batch_size=2, time_budget="3s")
    report = run(plan)
    assert {each.stopped_by for each in report.tasks} <= {TaskEnd.TIME, TaskEnd.NOT_RUN}
    assert len(report.tasks) == 3
    assert report.verdicts["time"].verdict == "FAIL"


def test_a_task_without_room_is_an_error_and_the_others_go_on(tmp_path):
    folder = tmp_path / "tasks"
    written(folder, 1)
    wide = np.zeros((9, 9), dtype=np.uint8)
    write_task(folder, Task("a-wide", (Example(wide, wide),) * 2, (Example(wide, wide),)))
    report = run(ArcPlan(data=str(folder), steps=1))
    assert [each.stopped_by for each in report.tasks] == [TaskEnd.ERROR, TaskEnd.STEPS]
    assert "Give a longer --seq-len" in report.tasks[0].error


def test_a_rate_that_makes_nan_is_an_error_of_its_task():
    report = run(ArcPlan(generated=1, steps=20, all_weights=True, learning_rate=1000.0))
    assert report.tasks[0].stopped_by in (TaskEnd.ERROR, TaskEnd.STEPS)
    assert report.tasks[0].error is None or "smaller learning rate" in report.tasks[0].error


def test_cancelling_keeps_the_tasks_that_were_done():
    cancel, told = CancelToken(), []

    def note(text, progress):
        told.append(text)
        if text.startswith("Task 1 of 3"):
            cancel.cancel()

    with pytest.raises(Cancelled, match="Stopped after 1 of 3 tasks") as stop:
        run(ArcPlan(generated=3, steps=1), note=note, cancel=cancel)
    assert isinstance(stop.value.partial, ArcReport) and len(stop.value.partial.tasks) == 1
    assert told[0] == "3 tasks were generated"


def test_the_folder_holds_adapters_the_pretrained_model_and_the_report(tmp_path):
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    plan = ArcPlan(
        data=written(tmp_path / "tasks", 2), steps=2, pretrain_steps=2, pretrain_batch=2,
        checkpoint=str(tmp_path / "out"),
    )  # fmt: skip
    report = run(plan)
    assert report.pretraining_steps == 2 and report.pretraining_loss > 0
    names = {each.name for each in (tmp_path / "out").rglob("*") if each.is_file()}
    assert {f"{each.name}.safetensors" for each in report.tasks} < names
    assert not any(name.startswith(".writing") for name in names)
    adapter = load_file(tmp_path / "out" / "adapters" / f"{report.tasks[0].name}.safetensors")
    trained = list(adapter.values())
    assert all("lora_" in name for name in adapter)
    assert sum(each.numel() for each in trained) == report.trainable_parameters
    assert any(bool(each.any()) for name, each in adapter.items() if "lora_B" in name)
    kept = ArcReport.from_dict(json.loads((tmp_path / "out" / "arc-report.json").read_text()))
    assert kept.tasks == report.tasks
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "model")
    assert sum(each.numel() for each in model.parameters()) == report.parameters - sum(
        each.numel() for each in trained
    )


def test_what_cannot_be_saved_is_said_and_the_run_goes_on(tmp_path):
    out = tmp_path / "out"
    (out / "arc-report.json").mkdir(parents=True)
    report = run(ArcPlan(generated=1, steps=1, checkpoint=str(out)))
    assert report.tasks[0].stopped_by is TaskEnd.STEPS
    (tmp_path / "file").write_text("")
    with pytest.raises(NotAvailable, match="Name another one with --checkpoint"):
        run(ArcPlan(generated=1, steps=1, checkpoint=str(tmp_path / "file" / "out")))


def test_pretraining_leaves_half_of_the_time_to_the_tasks():
    plan = ArcPlan(generated=1, steps=1, pretrain_steps=1_000_000, time_budget="6s")
    report = run(plan)
    assert 0 < report.pretraining_steps < 1_000_000
    assert any(each.startswith("Pretraining ended after") for each in report.findings)


def test_a_model_that_lora_cannot_adapt_is_refused(monkeypatch):
    from memorymark.workloads import lora

    monkeypatch.setattr(lora, "_linear_layers", lambda model, heads: iter(()))
    with pytest.raises(WorkloadError, match=r"LoRA would train nothing.*Its layers with weights"):
        run(ArcPlan(generated=1, steps=1))


def test_the_precision_of_a_config_is_taken():
    report = run(ArcPlan(generated=1, steps=1), TrainingConfig(precision="bf16", lora_rank=2))
    assert report.config.precision == "bf16" and report.trainable_parameters == 4096 // 4
    assert report.tasks[0].stopped_by is TaskEnd.STEPS


def test_on_cuda_the_allocator_holds_the_budget_from_the_model_on():
    cuda = FakeCuda(256 * MIB)
    job = job_of(ArcPlan(generated=2, steps=2, pretrain_steps=1, pretrain_batch=2))
    report = run_arc(cuda_probe(cuda, budget_bytes=128 * MIB), job)
    assert [each.stopped_by for each in report.tasks] == [TaskEnd.STEPS] * 2
    assert set(cuda.fractions) == {1.0, 0.5} and cuda.fractions[-1] == 1.0
    assert report.verdicts["memory"].verdict == "PASS" and report.peak_allocated_bytes > 64 * KIB


def test_a_model_that_has_no_room_ends_all_tasks():
    job = job_of(ArcPlan(generated=2, steps=2))
    report = run_arc(cuda_probe(FakeCuda(256 * MIB), budget_bytes=32 * KIB), job)
    assert [each.stopped_by for each in report.tasks] == [TaskEnd.OUT_OF_MEMORY] * 2
    assert "out of memory" in report.tasks[1].error
    assert report.verdicts["memory"].verdict == "FAIL"


def test_the_peak_is_that_of_the_steps():
    report = run(ArcPlan(generated=2, steps=3, all_weights=True))
    model = small_decoder().build(job_of(ArcPlan(generated=1)).whole)
    weights = sum(each.numel() * each.element_size() for each in model.parameters())
    assert 4 * weights < report.peak_allocated_bytes < BUDGET
    assert report.peak_allocated_bytes == max(each.peak_bytes for each in report.tasks)
    assert torch.is_grad_enabled() and report.peak_allocated_bytes > 64 * KIB
