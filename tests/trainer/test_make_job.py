import json

import pytest
from small_trainings import small_gpt2

from memorymark.data.byte_tokens import ByteTokens
from memorymark.errors import InvalidValue, UsageError, WorkloadError
from memorymark.records.config import TrainingConfig
from memorymark.records.generation_run import WeightsFrom
from memorymark.records.training_plan import TrainingPlan
from memorymark.service.given_tokenizer import given_tokenizer
from memorymark.trainer.make_job import make_job
from memorymark.workloads.custom import workload_of
from memorymark.workloads.registry import resolve


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("To be, or not to be, that is the question.\n" * 60)
    return path


@pytest.fixture
def folder(tmp_path):
    """A GPT-2 over bytes, as a folder without weights."""
    config = {
        "model_type": "gpt2", "vocab_size": 256, "n_positions": 16, "n_embd": 16, "n_layer": 1,
        "n_head": 2, "bos_token_id": 0, "eos_token_id": 0,
    }  # fmt: skip
    path = tmp_path / "gpt2"
    path.mkdir()
    (path / "config.json").write_text(json.dumps(config))
    return path


def job_of(tmp_path, workload, plan=None, batch_size=None, config=None, found=8, **more):
    return make_job(
        workload, config or TrainingConfig(seq_len=16), TrainingPlan(**(plan or {})), batch_size,
        find_batch=lambda config, most: min(found, most), read_tokenizer=given_tokenizer,
        texts_folder=tmp_path / "texts", **more,
    )  # fmt: skip


def test_a_text_becomes_windows_of_bytes_and_its_end_is_kept_for_evaluation(tmp_path, text, folder):
    job = job_of(tmp_path, resolve(f"hf:{folder}"), {"data": str(text)}, 4)
    assert job.config.task == "causal-lm" and job.batch_size == 4
    whole = text.stat().st_size // 16
    assert whole - 2 <= len(job.samples) + len(job.evaluation) <= whole
    assert job.bytes_per_token == 1 and job.tokenizer.name == "bytes"
    assert job.checkpoint.comes_from is WeightsFrom.RANDOM
    assert job_of(tmp_path, resolve(f"hf:{folder}"), {"data": str(text), "eval_share": 0.0}, 4
                  ).evaluation is None  # fmt: skip


def test_the_batch_of_the_analysis_keeps_the_effective_batch(tmp_path, text, folder):
    model, plan = resolve(f"hf:{folder}"), {"data": str(text)}
    assert job_of(tmp_path, model, plan).batch_size == 8
    job = job_of(tmp_path, model, {**plan, "effective_batch": 12}, found=8)
    assert (job.batch_size, job.config.gradient_accumulation) == (6, 2)
    assert "8" in job.notes[-1] and "12" in job.notes[-1]
    job = job_of(tmp_path, model, {**plan, "effective_batch": 12}, 3)
    assert (job.batch_size, job.config.gradient_accumulation) == (3, 4)
    with pytest.raises(UsageError, match="no multiple"):
        job_of(tmp_path, model, {**plan, "effective_batch": 12}, 5)
    with pytest.raises(UsageError, match="one of them"):
        config = TrainingConfig(seq_len=16, gradient_accumulation=2)
        job_of(tmp_path, model, {**plan, "effective_batch": 12}, 3, config)


def test_what_a_model_cannot_be_trained_on_is_refused(tmp_path, text, folder):
    plan = {"data": str(text)}
    with pytest.raises(UsageError, match="--data"):
        job_of(tmp_path, resolve("gpt2"))
    with pytest.raises(InvalidValue, match="no language model"):
        job_of(tmp_path, resolve("torchvision:resnet18"), plan, 2)
    with pytest.raises(InvalidValue, match="causal-lm"):
        config = TrainingConfig(task="sequence-classification")
        job_of(tmp_path, resolve(f"hf:{folder}"), plan, 2, config)
    with pytest.raises(WorkloadError, match="256"):  # the small one has 32 tokens
        job_of(tmp_path, small_gpt2(), plan, 2, is_named=False)


def test_tokens_of_another_tokenizer_are_refused(tmp_path, text, folder):
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({"to": 0, "be": 1, "?": 2}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.save(str(folder / "tokenizer.json"))
    tokens = tmp_path / "tokens.bin"
    from memorymark.data.tokenizing import tokenize_files

    tokenize_files([text], ByteTokens(), tokens)
    with pytest.raises(WorkloadError, match="another tokenizer"):
        job_of(tmp_path, resolve(f"hf:{folder}"),
               {"data": str(tokens), "tokenizer": str(folder)}, 2)  # fmt: skip


def test_a_workload_of_ones_own_trains_on_its_own_batches(tmp_path):
    import torch
    from torch import nn

    def factory():
        model = nn.Linear(4, 2)
        return model, lambda n: torch.rand(n, 4), lambda m, x: m(x).square().mean()

    workload = workload_of("mine:factory", factory)
    job = make_job(
        workload, TrainingConfig(), TrainingPlan(steps=3), 4, find_batch=lambda config, most: 1,
        read_tokenizer=given_tokenizer, texts_folder=tmp_path, is_named=False,
    )  # fmt: skip
    assert job.samples is None and job.total_steps == 3 and "batches" in job.notes[0]
    from small_trainings import train_small

    run = train_small(job)
    assert run.steps == 3 and run.tokens is None and run.train_loss is not None
    with pytest.raises(UsageError, match="--steps"):
        make_job(
            workload, TrainingConfig(), TrainingPlan(), 4, find_batch=lambda config, most: 1,
            read_tokenizer=given_tokenizer, texts_folder=tmp_path, is_named=False,
        )  # fmt: skip
