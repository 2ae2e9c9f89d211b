"""Which lengths a sample has, and that no other is ignored in silence."""

import pytest

from memorymark.errors import InvalidValue
from memorymark.records.config import Task, TrainingConfig
from memorymark.workloads.registry import resolve
from memorymark.workloads.sample_lengths import check_lengths, lengths_of_sample


@pytest.mark.parametrize(
    ("model_type", "has_audio", "lengths"),
    [
        ("clip", False, ("image_size", "seq_len")),
        ("xclip", False, ("num_frames", "image_size", "seq_len")),
        ("clap", True, ("audio_seconds", "seq_len")),
    ],
)
def test_pairs_have_the_lengths_of_their_halves(model_type, has_audio, lengths):
    assert lengths_of_sample(Task.CONTRASTIVE, model_type, has_audio=has_audio) == lengths


def test_what_was_filled_in_is_not_what_somebody_gave():
    check_lengths(TrainingConfig(image_size=224, seq_len=512), ("seq_len",), "bert")
    check_lengths(TrainingConfig(), (), "mine")


@pytest.mark.parametrize(
    ("model", "given", "taken"),
    [
        ("bert", {"image_size": 384}, "sequence length"),
        ("torchvision:resnet18", {"audio_seconds": 5}, "image size"),
        ("torchvision:fcn_resnet50", {"num_frames": 5}, "image size"),
        ("torchvision:r3d_18", {"audio_seconds": 5}, "number of video frames and image size"),
    ],
)
def test_a_length_that_a_model_does_not_take_is_refused(model, given, taken):
    with pytest.raises(InvalidValue, match=f"accepted: nothing: .*; its lengths: {taken}"):
        resolve(model).describe(TrainingConfig(**given))


def test_a_sequence_length_is_left_out_where_no_text_is_read():
    given = TrainingConfig(seq_len=512, precision="bf16")
    assert check_lengths(given, ("seq_len",), "bert") is given
    assert check_lengths(given, ("image_size",), "resnet") == TrainingConfig(precision="bf16")
