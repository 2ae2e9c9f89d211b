import dataclasses
import json

import pytest
import torch
from small_trainings import losses_of, small_gpt2, small_job, train_small

from memorymark.errors import WorkloadError
from memorymark.probes.cpu import CpuProbe
from memorymark.records.event import CancelToken
from memorymark.records.training_run import StoppedBy, TrainingRun
from memorymark.trainer.checkpoint_files import steps_in
from memorymark.trainer.forecast import predicted_peak
from memorymark.units import MIB
from memorymark.workloads.trial_spec import TrialSpec


def test_a_training_learns_and_its_record_comes_back(tmp_path):
    run = train_small(small_job(steps=60, learning_rate=0.01, checkpoint=str(tmp_path)))
    assert run.stopped_by is StoppedBy.LENGTH and run.steps == 60 and run.error is None
    assert run.tokens == 60 * 4 * 16 and run.samples == 240
    assert run.eval_loss < run.evaluations[0].loss - 1
    assert run.evaluations[0].step == 0 and run.evaluations[-1].step == 60
    assert TrainingRun.from_dict(json.loads(json.dumps(run.to_dict()))) == run


@pytest.mark.parametrize(
    "config, accumulation",
    [({}, 1), ({}, 3), ({"grad_clip": 1.0}, 1), ({"optimizer": "sgd-momentum"}, 2),
     ({"gradient_checkpointing": True}, 1), ({"lora_rank": 2}, 1), ({"precision": "bf16"}, 1),
     ({"precision": "amp-bf16"}, 2), ({"zero_grad": "after-step"}, 1)],
)  # fmt: skip
def test_memory_is_to_the_byte_what_was_predicted(config, accumulation):
    run = train_small(small_job(4, accumulation, config=config, steps=6))
    assert run.peak_memory_bytes == run.predicted_peak_bytes
    assert run.verdicts["memory"].verdict == "PASS"


def test_a_run_that_is_resumed_has_the_losses_of_one_that_never_stopped(tmp_path, monkeypatch):
    whole = train_small(small_job(steps=12, checkpoint=str(tmp_path / "whole"), eval_every=4))
    folder = str(tmp_path / "parts")
    begun = small_job(steps=12, checkpoint=folder, checkpoint_every=5, eval_every=4)
    cancel = CancelToken()

    def stop(text, share, known):
        if known().steps >= 7:
            cancel.cancel()

    monkeypatch.setattr("memorymark.trainer.train._TOLD_EVERY", 0.0)
    first = train_small(begun, cancel=cancel, on_progress=stop)
    assert first.stopped_by is StoppedBy.USER and first.steps == 7
    second = train_small(small_job(steps=12, checkpoint=folder, eval_every=4, resume=True))
    assert second.resumed_from == 7
    assert losses_of(second) == losses_of(whole)
    evaluations = [(each.step, each.loss) for each in second.evaluations if each.step != 7]
    assert evaluations == [(each.step, each.loss) for each in whole.evaluations]


def test_out_of_memory_in_the_middle_goes_on_in_smaller_micro_batches(tmp_path):
    job = small_job(8, steps=5, checkpoint=str(tmp_path))
    spec = TrialSpec(job.workload, job.config, 8)
    needed, _ = predicted_peak(CpuProbe(512 * MIB), spec)
    smaller, _ = predicted_peak(CpuProbe(512 * MIB), dataclasses.replace(spec, batch_size=4))
    budget = (needed + smaller) // 2
    notes = []
    run = train_small(job, budget=budget, note=notes.append)
    assert run.batch_size == 4 and run.config.gradient_accumulation == 2
    assert run.effective_batch_size == 8 and run.steps == 5
    assert run.peak_memory_bytes <= budget
    assert any("needs" in note and "accumulation" in note for note in notes)


def test_memory_that_is_only_missing_later_is_noticed_while_work_is_followed():
    workload = small_gpt2(dropout=0.0)
    build = workload.build

    def hungry(config):
        model = build(config)
        if next(model.parameters()).device.type == "meta":
            return model
        own, count = model.forward, [0]

        def forward(*args, **kwargs):
            count[0] += 1
            if count[0] > 1 and kwargs["input_ids"].shape[0] > 2 and model.training:
                torch.zeros(80 * MIB // 4)
            return own(*args, **kwargs)

        model.forward = forward
        return model

    workload.build = hungry
    run = train_small(small_job(4, steps=4, workload=workload), budget=64 * MIB)
    assert run.steps == 4 and run.batch_size == 2 and run.config.gradient_accumulation == 2
    assert any("Out of memory at step" in text for text in run.findings)


def test_a_model_that_does_not_fit_is_refused_before_it_is_built(tmp_path):
    with pytest.raises(WorkloadError, match="cannot be trained within it"):
        train_small(small_job(4, steps=2, checkpoint=str(tmp_path / "x")), budget=10_000)
    assert not (tmp_path / "x").exists()


def test_a_loss_that_is_no_number_stops_at_once_and_keeps_the_last_checkpoint(tmp_path):
    job = small_job(
        steps=40, learning_rate=1000.0, checkpoint=str(tmp_path), checkpoint_every=1,
        config={"optimizer": "sgd"},
    )  # fmt: skip
    run = train_small(job)
    assert run.stopped_by is StoppedBy.NOT_FINITE
    assert "step" in run.error and "learning rate" in run.error and "is whole" in run.error
    assert steps_in(tmp_path)[-1] <= run.steps and run.model_folder is None


def test_time_ends_a_training_saved_and_in_time(tmp_path):
    job = small_job(steps=10**9, time_budget="4s", checkpoint=str(tmp_path), eval_every=10**9)
    run = train_small(job)
    assert run.stopped_by is StoppedBy.TIME_BUDGET and run.verdicts["time"].verdict == "PASS"
    assert steps_in(tmp_path)[-1] == run.steps > 0


def test_it_stops_early_where_the_evaluation_falls_no_more():
    job = small_job(steps=500, learning_rate=0.0, eval_every=1, patience=3)
    run = train_small(job)
    assert run.stopped_by is StoppedBy.EARLY and run.steps == 3


def test_with_patience_the_model_is_the_best_one(tmp_path):
    job = small_job(
        steps=40, learning_rate=0.5, eval_every=1, patience=4, checkpoint=str(tmp_path),
        config={"optimizer": "sgd"},
    )  # fmt: skip
    run = train_small(job)
    assert run.stopped_by in (StoppedBy.EARLY, StoppedBy.LENGTH)
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(run.model_folder).eval()
    arrays = job.evaluation.read(range(8))
    ids = torch.from_numpy(arrays["input_ids"])
    losses = [model(input_ids=part, labels=part).loss.item() for part in ids.split(4)]
    assert sum(losses) / 2 == pytest.approx(run.best_eval_loss, abs=1e-5)


def test_checkpoints_of_another_training_are_refused(tmp_path):
    folder = str(tmp_path)
    train_small(small_job(steps=2, checkpoint=folder))
    with pytest.raises(WorkloadError, match="--resume"):
        train_small(small_job(steps=2, checkpoint=folder))
    with pytest.raises(WorkloadError, match="another data"):
        train_small(small_job(samples=65, steps=4, checkpoint=folder, resume=True))
    from transformers import GPT2Config

    from memorymark.workloads.huggingface import HuggingFaceWorkload

    wider = HuggingFaceWorkload(
        "small-gpt2", GPT2Config(vocab_size=32, n_positions=16, n_embd=32, n_layer=2, n_head=2)
    )
    with pytest.raises(WorkloadError, match="another model"):
        train_small(small_job(steps=4, checkpoint=folder, resume=True, workload=wider))
    with pytest.raises(WorkloadError, match="no checkpoint"):
        train_small(small_job(steps=4, checkpoint=str(tmp_path / "none"), resume=True))


def test_samples_are_written_at_each_evaluation_and_change_nothing(tmp_path):
    plain = train_small(small_job(steps=6, eval_every=3))
    run = train_small(small_job(steps=6, eval_every=3, sample_tokens=5))
    assert losses_of(run) == losses_of(plain)
    assert [len(each.sample.split()) for each in run.evaluations] == [8 + 5] * 3
    assert plain.evaluations[0].sample is None
