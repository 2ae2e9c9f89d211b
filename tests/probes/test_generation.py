"""What a generation will hold is what it holds, to the byte; and it ends as it should."""

import time

import numpy as np
import pytest
import torch
from generators import (
    READING_IMAGES,
    READING_TEXT,
    SAVED,
    byte_tokenizer,
    image_bytes,
    saved,
    spec_of,
    tiny_whisper,
    wav_bytes,
)
from tiny import tiny_llama

from memorymark.errors import Cancelled, NotAvailable
from memorymark.probes.choose import resolve_probe
from memorymark.probes.cpu import CpuProbe
from memorymark.probes.generation import RANDOM, generate_on
from memorymark.records.event import CancelToken
from memorymark.records.generation_run import Ending, GenerationRun, WeightsFrom
from memorymark.records.trial import Source
from memorymark.units import GIB
from memorymark.workloads import generation_spec
from memorymark.workloads.checkpoint import Checkpoint

MODELS = {**READING_TEXT, **READING_IMAGES, "whisper": tiny_whisper}


@pytest.fixture
def media(tmp_path, monkeypatch):
    """What each model reads."""
    (tmp_path / "a.png").write_bytes(image_bytes())
    (tmp_path / "a.wav").write_bytes(wav_bytes())
    noise = np.random.default_rng(0).random(16_000, np.float32)
    monkeypatch.setattr(generation_spec, "decode_sound", lambda data, name: noise)
    image, sound = {"image": str(tmp_path / "a.png")}, {"audio": str(tmp_path / "a.wav")}
    return {**dict.fromkeys(READING_IMAGES, image), "whisper": sound}


def generated(spec, budget=GIB, **more):
    return generate_on(CpuProbe(budget), spec, **more)


@pytest.mark.parametrize("plan", [{}, {"temperature": 1.0, "top_p": 0.9}], ids=str)
@pytest.mark.parametrize("weights", ["fp32", "bf16"])
@pytest.mark.parametrize("name", MODELS)
def test_the_predicted_peak_is_the_measured_one(media, name, weights, plan):
    given = {**media.get(name, {}), **plan, "max_new_tokens": 12}
    run = generated(spec_of(MODELS[name](), weights=weights, **given))
    assert run.predicted_peak_bytes == run.peak_allocated_bytes > run.weights_bytes
    assert run.prediction_error == 0 and run.predicted_most_bytes >= run.predicted_peak_bytes


def test_a_text_is_written_and_its_figures_are_there():
    run = generated(spec_of(tiny_llama()))
    assert run.target.source is Source.MEASURED and run.stopped_by is Ending.LENGTH
    assert run.new_tokens == 6 and run.text == " ".join(map(str, run.tokens))
    assert run.prompt_tokens == 10 and run.cache_bytes == 2 * 2 * 2 * 16 * 4 * (10 + 5)
    assert 0 < run.first_token_seconds < run.first_token_seconds + run.decode_seconds
    assert run.decode_tokens_per_second == pytest.approx(5 / run.decode_seconds)
    assert run.prefill_tokens_per_second > 0 and run.load_seconds > 0
    assert RANDOM in run.findings and run.weights_from is WeightsFrom.RANDOM
    assert GenerationRun.from_dict(run.to_dict()) == run


def test_an_image_is_named(media):
    run = generated(spec_of(READING_IMAGES["vit"](), **media["vit"]))
    assert run.stopped_by is Ending.ANSWERED and run.text is None and run.tokens == ()
    assert len(run.labels) == 5 and run.labels[0].name.startswith("LABEL_")
    shares = [label.share for label in run.labels]
    assert shares == sorted(shares, reverse=True) and 0.6 < sum(shares) <= 1
    assert run.decode_seconds is None and run.cache_bytes is None


def test_text_streams_as_it_is_made(tmp_path):
    saved(tiny_llama(), tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    checkpoint = Checkpoint(tmp_path, WeightsFrom.FOLDER)
    heard = []
    spec = spec_of(tiny_llama(), checkpoint=checkpoint, prompt="Hi", max_new_tokens=20)
    run = generated(spec, on_text=lambda piece, known: heard.append(piece))
    assert "".join(heard) == run.text and len(heard) > 1
    assert RANDOM not in run.findings and run.weights_from is WeightsFrom.FOLDER
    assert run.text == generated(spec).text, "the likeliest tokens are the same again"


@pytest.mark.parametrize("weights", ["fp32", "bf16"])
@pytest.mark.parametrize("name", SAVED)
def test_a_folder_with_a_processor_is_seen_and_heard(tmp_path, name, weights):
    (tmp_path / "a.png").write_bytes(image_bytes(60, 50))
    (tmp_path / "a.wav").write_bytes(wav_bytes(3))
    torch.manual_seed(1)
    workload = SAVED[name](tmp_path)
    given = {"image": str(tmp_path / "a.png"), "prompt": "What?"}
    if name == "whisper":
        given = {"audio": str(tmp_path / "a.wav")}
    heard, checkpoint = [], Checkpoint(tmp_path, WeightsFrom.FOLDER)
    spec = spec_of(workload, checkpoint=checkpoint, weights=weights, max_new_tokens=9, **given)
    run = generated(spec, on_text=lambda piece, known: heard.append(piece))
    assert "".join(heard) == run.text and run.new_tokens > 1 and run.error is None
    assert run.predicted_peak_bytes == run.peak_allocated_bytes > run.weights_bytes
    assert run.weights_from is WeightsFrom.FOLDER and RANDOM not in run.findings
    said = any("hears 2 s at a time: of 3 s only the first" in each for each in run.findings)
    assert said is (name == "whisper")
    assert not any("comes without" in each for each in run.findings)


def test_a_stop_keeps_what_was_written():
    cancel = CancelToken()
    heard = []

    def hear(piece, known):
        heard.append(piece)
        if len(heard) == 3:
            cancel.cancel()

    run = generated(spec_of(tiny_llama(), max_new_tokens=50), on_text=hear, cancel=cancel)
    assert run.stopped_by is Ending.STOPPED and run.new_tokens == 3
    assert run.predicted_peak_bytes == run.peak_allocated_bytes <= run.predicted_most_bytes
    with pytest.raises(Cancelled):
        generated(spec_of(tiny_llama()), cancel=cancel)


def test_with_each_piece_comes_the_record_of_what_was_written_so_far():
    heard, records = [], []

    def hear(piece, known):
        heard.append(piece)
        records.append((known(), "".join(heard)))

    run = generated(spec_of(tiny_llama()), on_text=hear)
    assert [known.new_tokens for known, _ in records] == [1, 2, 3, 4, 5, 6]
    for known, text in records:
        assert known.text == text and known.stopped_by is Ending.STOPPED
        assert known.predicted_peak_bytes == known.peak_allocated_bytes
        assert known.cache_bytes == 2 * 2 * 2 * 16 * 4 * (10 + known.new_tokens - 1)
        assert GenerationRun.from_dict(known.to_dict()) == known
    assert records[-1][0].cache_bytes == run.cache_bytes and run.stopped_by is Ending.LENGTH


def test_who_hears_the_text_slows_no_figure():
    run = generated(spec_of(tiny_llama()), on_text=lambda piece, known: time.sleep(0.3))
    assert run.elapsed_seconds > 1.8 > 5 * 0.3 > run.decode_seconds


def test_what_does_not_fit_is_not_loaded(monkeypatch):
    spec = spec_of(tiny_llama())
    needed = generated(spec).predicted_peak_bytes
    run = generated(spec, budget=needed - 1)
    assert run.stopped_by is Ending.OUT_OF_MEMORY and run.load_seconds is None
    assert run.error.startswith("It needs") and run.text is None
    assert generated(spec, budget=needed).stopped_by is Ending.LENGTH


def test_a_text_that_outgrows_the_budget_ends_there():
    from transformers import LlamaConfig

    from memorymark.workloads.huggingface import HuggingFaceWorkload

    config = LlamaConfig(
        vocab_size=50, hidden_size=32, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, eos_token_id=None,
    )  # fmt: skip
    spec = spec_of(HuggingFaceWorkload("narrow", config), max_new_tokens=100, prompt_tokens=4)
    whole = generated(spec)
    run = generated(spec, budget=whole.predicted_most_bytes - 20_000)
    assert run.stopped_by is Ending.OUT_OF_MEMORY and "the next token needs" in run.error
    assert 0 < run.new_tokens < 100 and whole.tokens[: run.new_tokens] == run.tokens
    assert run.predicted_peak_bytes == run.peak_allocated_bytes <= run.target.capacity_bytes


def test_a_simulated_card_generates_nothing():
    with pytest.raises(NotAvailable, match="runs on a device of this machine"):
        generate_on(resolve_probe(gpu="l4"), spec_of(tiny_llama()))


def test_the_random_numbers_of_the_caller_are_left_to_who_calls():
    first, second = (generated(spec_of(tiny_llama(), seed=seed, temperature=5)) for seed in (1, 2))
    assert first.tokens != second.tokens
    assert torch.is_grad_enabled()
