"""Which lengths a sample has, and that no other is ignored in silence."""

import pytest
from tiny import tiny_bert

from memorymark.errors import InvalidValue
from memorymark.records.config import Task, TrainingConfig
from memorymark.records.request import Request, RequestKind
from memorymark.service.execute import execute
from memorymark.settings import Settings
from memorymark.workloads.registry import resolve
from memorymark.workloads.sample_lengths import (
    lengths_left_out,
    lengths_of_sample,
    with_own_lengths,
)


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


@pytest.mark.parametrize(
    ("model", "given", "said"),
    [
        ("bert", {"image_size": 384}, "no images: the image size 384 is left out"),
        ("torchvision:resnet18", {"seq_len": 64}, "no text: the sequence length 64 is left out"),
        ("torchvision:r3d_18", {"seq_len": 512}, "no text: the sequence length 512 is left out"),
    ],
)
def test_a_length_that_a_model_does_not_take_is_left_out_and_said(model, given, said):
    given = TrainingConfig(**given)
    described = resolve(model).describe(given)
    (words,) = lengths_left_out(given, described)
    assert words.startswith(said)
    assert described == resolve(model).describe(TrainingConfig())


@pytest.mark.parametrize(
    ("model", "given", "taken"),
    [
        ("torchvision:resnet18", {"audio_seconds": 5}, "image size"),
        ("torchvision:fcn_resnet50", {"num_frames": 5}, "image size"),
        ("torchvision:r3d_18", {"audio_seconds": 5}, "number of video frames and image size"),
    ],
)
def test_audio_and_video_that_a_model_does_not_take_are_refused(model, given, taken):
    with pytest.raises(InvalidValue, match=f"accepted: nothing: .*; its lengths: {taken}"):
        resolve(model).describe(TrainingConfig(**given))


@pytest.mark.parametrize("model", ["bert", "torchvision:resnet18", "torchvision:r3d_18"])
def test_what_was_filled_in_is_not_what_somebody_gave(model):
    described = resolve(model).describe(TrainingConfig())
    assert lengths_left_out(TrainingConfig(), described) == ()
    assert lengths_left_out(described, resolve(model).describe(described)) == ()


def test_what_a_model_takes_stays():
    given = TrainingConfig(seq_len=512, precision="bf16")
    assert with_own_lengths(given, ("seq_len",), "x").seq_len == 512
    assert with_own_lengths(given, ("image_size",), "x").seq_len == TrainingConfig.seq_len


def test_a_result_says_what_was_left_out(tmp_path):
    request = Request(
        RequestKind.ANALYSIS, "bert", TrainingConfig(image_size=384, seq_len=16), gpu="t4"
    )
    found = execute(
        request,
        settings=Settings(home=tmp_path),
        find_workload=lambda model: tiny_bert(),
    )
    assert any("takes no images: the image size 384 is left out." in n for n in found.findings)
