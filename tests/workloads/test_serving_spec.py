"""What sessions run: what writes no text is told so, and lengths are those of text."""

from __future__ import annotations

import pytest
import torch
from generators import tiny_whisper
from tiny import tiny_bert, tiny_gpt2, tiny_llama, tiny_resnet, tiny_t5
from transformers import BertConfig

from memorymark.errors import UsageError
from memorymark.records.config import Task
from memorymark.records.serving_config import ServingConfig
from memorymark.records.session_run import SessionPlan
from memorymark.workloads.huggingface import HuggingFaceWorkload
from memorymark.workloads.served_model import serving_model
from memorymark.workloads.serving_spec import ServingSpec, encoder_note


def spec(workload, **config):
    return ServingSpec(workload, ServingConfig(**config), SessionPlan(sessions=1))


def test_a_model_that_writes_nothing_is_told_so_and_no_task_is_named_that_nobody_gave():
    with pytest.raises(UsageError) as refused:
        spec(tiny_resnet())
    said = str(refused.value)
    assert said.startswith("'tiny-resnet' writes no text: it is a model for image-classification.")
    assert "Give a model for one of causal-lm, " in said and "Unknown task" not in said


def test_a_task_that_was_given_is_named():
    with pytest.raises(UsageError, match="Unknown task 'ctc'"):
        spec(tiny_llama(), task="ctc")


def test_sound_has_a_length_of_its_own_whatever_the_context():
    whisper = spec(tiny_whisper(), context_tokens=100_000, output_tokens=8)
    serving_model(whisper, torch.device("meta"))
    prompt = whisper.make_prompt(torch.device("meta"))
    assert set(prompt) == {"input_features"}


@pytest.mark.parametrize(
    ("workload", "is_noted"),
    [(tiny_bert(), True), (tiny_gpt2(), False), (tiny_llama(), False), (tiny_t5(), False)],
    ids=lambda each: getattr(each, "name", str(each)),
)
def test_an_encoder_that_is_to_write_is_named_as_one(workload, is_noted):
    found = spec(workload, context_tokens=32, output_tokens=4)
    note = encoder_note(found.workload, found.config.task)
    assert (note is not None) == is_noted
    assert note is None or "'tiny-bert' is an encoder (is_decoder is off" in note


def test_an_encoder_that_is_built_as_a_decoder_is_one():
    workload = HuggingFaceWorkload("writer", BertConfig(is_decoder=True), Task.CAUSAL_LM)
    assert encoder_note(workload, Task.CAUSAL_LM) is None
