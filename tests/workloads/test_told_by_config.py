"""What a config.json tells without torch is what transformers' own classes say."""

import pytest
from tiny import tiny_gpt2, tiny_llama, tiny_t5

from memorymark.records.config import Task
from memorymark.workloads.known_models import known_models
from memorymark.workloads.told_by_config import positions_told, task_told


@pytest.mark.parametrize(
    ("config", "task"),
    [
        ({"architectures": ["LlamaForCausalLM"]}, Task.CAUSAL_LM),
        ({"architectures": ["GPT2LMHeadModel"]}, Task.CAUSAL_LM),
        ({"architectures": ["ViTForImageClassification"]}, Task.IMAGE_CLASSIFICATION),
        ({"architectures": ["T5ForConditionalGeneration"]}, Task.SEQ2SEQ_LM),
        (
            {"architectures": ["WhisperForConditionalGeneration"], "num_mel_bins": 80},
            Task.SPEECH_SEQ2SEQ,
        ),
        (
            {"architectures": ["BlipForConditionalGeneration"], "vision_config": {}},
            Task.IMAGE_TEXT_TO_TEXT,
        ),
        ({"architectures": ["BertForMaskedLM"]}, None),
        ({"architectures": ["LlamaModel"]}, None),
        ({"architectures": []}, None),
        ({"architectures": "LlamaForCausalLM"}, None),
        ({"architectures": [7]}, None),
        ({"architectures": ["QwenForConditionalGeneration"], "audio_config": {}}, None),
        ({}, None),
    ],
)
def test_the_task_is_that_of_the_class_that_is_named(config, task):
    assert task_told(config) is task


@pytest.mark.parametrize("make", [tiny_llama, tiny_gpt2, tiny_t5])
def test_positions_are_those_of_the_configuration_as_it_is_saved(make):
    from memorymark.workloads.lengths import text_positions

    config = make().hf_config
    expected = None if config.is_encoder_decoder else text_positions(config)
    assert positions_told(config.to_dict()) == expected


def test_positions_of_every_shipped_decoder_are_known():
    decoders = [model for model in known_models() if model.task is Task.CAUSAL_LM]
    assert decoders
    assert all(positions_told(model.config) for model in decoders)


def test_positions_may_stand_with_the_text():
    assert positions_told({"text_config": {"max_position_embeddings": 64}}) == 64
    assert positions_told({"max_position_embeddings": -1, "text_config": 3}) is None
