from __future__ import annotations

import json

import pytest

from memorymark.errors import InvalidValue, UnknownChoice
from memorymark.records.config import MAX_BATCH_SIZE, Precision, TrainingConfig, check_batch_size


def test_defaults_are_those_of_the_interface():
    config = TrainingConfig()
    said = (config.precision, config.optimizer, config.attention, config.zero_grad)
    assert said == ("fp32", "adamw", "sdpa", "before-forward")
    assert (config.seq_len, config.image_size, config.dropout) == (128, None, True)


def test_names_become_members():
    assert TrainingConfig(precision="amp-bf16").precision is Precision.AMP_BF16


@pytest.mark.parametrize(
    ("field", "given", "nearest"),
    [
        ("optimizer", "adamv", "adam"),
        ("precision", "fp33", "fp32"),
        ("task", "causal", "causal-lm"),
    ],
)
def test_an_unknown_name_gets_the_nearest_one(field, given, nearest):
    with pytest.raises(UnknownChoice) as caught:
        TrainingConfig(**{field: given})
    assert repr(given) in str(caught.value)
    assert f"Did you mean {nearest!r}?" in str(caught.value)


@pytest.mark.parametrize("field", ["seq_len", "image_size", "gradient_accumulation", "num_labels"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "8", 10**9])
def test_counts_are_whole_numbers_in_range(field, value):
    with pytest.raises(InvalidValue, match=r"accepted: a whole number from 1"):
        TrainingConfig(**{field: value})


@pytest.mark.parametrize("value", [0, -3, MAX_BATCH_SIZE + 1, 2.0, None])
def test_batch_sizes_are_checked(value):
    with pytest.raises(InvalidValue, match="batch size"):
        check_batch_size(value)
    assert check_batch_size(MAX_BATCH_SIZE) == MAX_BATCH_SIZE


def test_a_config_survives_json():
    config = TrainingConfig(task="masked-lm", num_labels=5, dropout=False, optimizer_impl="fused")
    assert TrainingConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_an_unknown_key_is_refused():
    with pytest.raises(UnknownChoice, match="seq_len"):
        TrainingConfig.from_dict({"seqlen": 8})


def test_lengths_that_a_task_has_not_are_left_out_of_json():
    plain = TrainingConfig(task="masked-lm")
    assert not {"audio_seconds", "num_frames"} & plain.to_dict().keys()
    heard = TrainingConfig(task="ctc", audio_seconds=5)
    assert heard.to_dict()["audio_seconds"] == 5
    assert all(TrainingConfig.from_dict(each.to_dict()) == each for each in (plain, heard))


NEWER = {
    "lora_rank": 8, "freeze": "*embed*", "grad_clip": 1.0, "drop_outputs": True,
    "chunked_cross_entropy": True, "expandable_segments": True,
}  # fmt: skip


def test_newer_settings_stand_in_json_only_where_they_are_chosen():
    plain, chosen = TrainingConfig(), TrainingConfig(**NEWER)
    assert not NEWER.keys() & plain.to_dict().keys()
    assert NEWER.items() <= chosen.to_dict().items()
    assert all(TrainingConfig.from_dict(each.to_dict()) == each for each in (plain, chosen))


def test_patterns_of_parameters_are_names_with_commas_between():
    assert TrainingConfig(freeze=" *embed*, *.bias,").freeze == "*embed*,*.bias"
    assert TrainingConfig(freeze="*embed*, *.bias").frozen_patterns == ("*embed*", "*.bias")
    assert TrainingConfig().frozen_patterns == ()
    for wrong in ("", ",", "two words", 8, "x" * 10**5):
        with pytest.raises(InvalidValue, match=r"freeze is .*\*embed\*"):
            TrainingConfig(freeze=wrong)


def test_a_plain_loop_keeps_its_outputs_unless_it_drops_them():
    assert TrainingConfig().keeps_outputs
    assert not TrainingConfig(drop_outputs=True).keeps_outputs
    assert not TrainingConfig(loop="trainer").keeps_outputs
