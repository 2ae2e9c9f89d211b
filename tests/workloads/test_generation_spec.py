"""What is given is compared with what a model reads, and with its positions."""

import json

import numpy as np
import pytest
import torch
from generators import (
    byte_tokenizer,
    image_bytes,
    saved,
    spec_of,
    tiny_captioner,
    tiny_llava,
    tiny_vit,
    tiny_whisper,
    wav_bytes,
)
from tiny import tiny_gpt2, tiny_llama, tiny_t5

from memorymark import bounds
from memorymark.errors import BatchTooLong, InvalidValue, UsageError, WorkloadError
from memorymark.records.config import Task
from memorymark.records.generation_run import WeightsFrom
from memorymark.records.serving_config import ServingConfig
from memorymark.records.session_run import SessionPlan
from memorymark.workloads import generation_spec
from memorymark.workloads.checkpoint import Checkpoint
from memorymark.workloads.huggingface import HuggingFaceWorkload
from memorymark.workloads.serving_spec import ServingSpec


@pytest.fixture
def image(tmp_path):
    (tmp_path / "a.png").write_bytes(image_bytes())
    return str(tmp_path / "a.png")


def test_without_a_tokenizer_a_random_prompt_is_read_and_said():
    spec = spec_of(tiny_llama(), prompt_tokens=9, prompt="Hello")
    assert spec.inputs.tensors["input_ids"].shape == (1, 9)
    assert "9 random tokens in place of the given one" in spec.inputs.notes[0]
    assert (spec.config.context_tokens, spec.config.prompt_tokens) == (15, 9)


def test_a_model_with_a_classifier_is_taken_as_one_that_writes():
    assert spec_of(tiny_gpt2()).built_as.task is Task.CAUSAL_LM


def test_a_model_that_neither_writes_nor_names_classes_is_refused():
    from transformers import Wav2Vec2Config

    config = Wav2Vec2Config(hidden_size=32, num_hidden_layers=1, num_attention_heads=2)
    with pytest.raises(UsageError, match="'tiny-ctc' writes no text, and names no images: it is a"):
        spec_of(HuggingFaceWorkload("tiny-ctc", config))


def test_sessions_of_a_model_that_writes_nothing_say_what_would_do():
    said = (
        "'tiny-vit' writes no text: it is a model for image-classification. Give a model for one "
        "of causal-lm, image-text-to-text, seq2seq-lm, speech-seq2seq; `memorymark models` lists "
    )
    with pytest.raises(UsageError, match=said):
        ServingSpec(tiny_vit(), ServingConfig(), SessionPlan())


def test_a_context_beyond_the_positions_is_named_as_page_and_command_do():
    with pytest.raises(BatchTooLong, match=r"Set the context \(--context\) to 64 or less"):
        ServingSpec(tiny_gpt2(), ServingConfig(context_tokens=2048), SessionPlan())


@pytest.mark.parametrize(
    ("make", "given", "said"),
    [
        (tiny_llama, {"image": "a.png"}, "image is 'a.png'; accepted: none: .* reads no images"),
        (tiny_llama, {"audio": "a.wav"}, "audio is 'a.wav'; accepted: none: .* hears no sound"),
        (tiny_vit, {"prompt": "x", "image": "a"}, "prompt is 'x'; .* reads an image alone"),
        (tiny_captioner, {"prompt": "x", "image": "a"}, "prompt is 'x'; .* reads an image alone"),
        (tiny_whisper, {"prompt": "x", "audio": "a"}, "prompt is 'x'; .* reads a sound alone"),
        (tiny_vit, {}, "reads an image. Give one with --image FILE"),
        (tiny_whisper, {}, "hears a sound. Give one with --audio FILE"),
        (tiny_llama, {"temperature": -1}, "temperature is -1; accepted: a number from 0"),
        (tiny_llama, {"temperature": float("nan")}, "temperature is nan"),
        (tiny_llama, {"max_new_tokens": 0}, "max new tokens is 0"),
        (tiny_gpt2, {"prompt_tokens": 65}, "prompt is '65 tokens'; accepted: up to 64 tokens"),
        (tiny_gpt2, {"prompt_tokens": 60}, "max new tokens is 6; accepted: up to 4: "),
    ],
)
def test_what_a_model_does_not_take_is_a_sentence(make, given, said):
    with pytest.raises(UsageError, match=said):
        spec_of(make(), **given)


def test_a_decoder_of_its_own_has_its_own_positions(tmp_path, monkeypatch):
    monkeypatch.setattr(generation_spec, "decode_sound", lambda data, name: np.zeros(16_000))
    (tmp_path / "a.wav").write_bytes(wav_bytes())
    given = {"audio": str(tmp_path / "a.wav")}
    with pytest.raises(InvalidValue, match="max new tokens is 448; accepted: up to 447"):
        spec_of(tiny_whisper(), max_new_tokens=448, **given)
    spec = spec_of(tiny_whisper(), max_new_tokens=447, **given)
    assert spec.inputs.tensors["input_features"].shape == (1, 20, 200)
    assert spec_of(tiny_t5(), max_new_tokens=5000).config.output_tokens == 5000


def test_a_long_sound_is_heard_in_part_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr(generation_spec, "decode_sound", lambda data, name: np.zeros(80_000))
    (tmp_path / "a.wav").write_bytes(wav_bytes())
    spec = spec_of(tiny_whisper(), audio=str(tmp_path / "a.wav"))
    assert spec.inputs.notes == [
        "The model hears 2 s at a time: of 5 s only the first were written down."
    ]


def test_an_endless_prompt_is_refused_before_it_is_read(monkeypatch):
    monkeypatch.setattr(generation_spec, "MEDIA", bounds.MediaBounds(characters=10))
    with pytest.raises(InvalidValue, match="up to 10 characters; it has 11"):
        spec_of(tiny_llama(), prompt="x" * 11)


def test_an_image_takes_the_place_of_the_random_one(image):
    spec = spec_of(tiny_llava(), image=image)
    pixels = spec.inputs.tensors["pixel_values"]
    assert pixels.shape == (1, 3, 32, 32) and pixels.min() >= -1 and pixels.max() <= 1
    assert not torch.equal(pixels, spec_of(tiny_llava(), image=image).inputs.tensors["input_ids"])
    assert spec.inputs.prompt_tokens == 16 + 10 and len(spec.inputs.notes) == 2


class TestFolder:
    """With a tokenizer beside the model."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        saved(tiny_llama(), tmp_path)
        byte_tokenizer().save_pretrained(tmp_path)
        self.folder = tmp_path
        self.checkpoint = Checkpoint(tmp_path, WeightsFrom.FOLDER)

    def read(self, **given):
        return spec_of(tiny_llama(), checkpoint=self.checkpoint, **given)

    def words(self, spec):
        return spec.reader.tokenizer.decode(spec.inputs.tensors["input_ids"][0])

    def test_a_prompt_is_read_as_it_is(self):
        spec = self.read(prompt="Héllo")
        assert self.words(spec) == "Héllo" and spec.inputs.prompt_tokens == 6
        assert spec.inputs.notes == []

    def test_a_chat_model_gets_its_own_template(self):
        file = self.folder / "chat_template.jinja"
        file.write_text("{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %} >")
        assert self.words(self.read(prompt="Hi")) == "[user] Hi >"

    def test_a_prompt_is_asked_for(self):
        with pytest.raises(UsageError, match=r"reads a text\. Give --prompt TEXT"):
            self.read()

    @pytest.mark.parametrize("text", ["", "{", json.dumps({"model": {"type": "Nonsense"}})])
    def test_a_damaged_tokenizer_is_a_sentence(self, text):
        (self.folder / "tokenizer.json").write_text(text)
        with pytest.raises(WorkloadError, match=r"The tokenizer in .* cannot be used") as caught:
            self.read(prompt="Hi")
        assert "\n" not in str(caught.value)
