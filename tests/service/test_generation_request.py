"""A generation as a request: on its device, in the app's processes, with files in memory."""

from __future__ import annotations

import base64

import pytest
from generators import byte_tokenizer, image_bytes, saved, tiny_vit
from leases import is_held
from tiny import tiny_llama

import memorymark
from memorymark.errors import MemoryMarkError, NotAvailable, UsageError
from memorymark.records.event import EventKind
from memorymark.records.generation_plan import GenerationPlan
from memorymark.records.generation_run import WeightsFrom
from memorymark.records.request import Request, RequestKind
from memorymark.service.execute import execute
from memorymark.service.messages import read_media, written_media
from memorymark.settings import load_settings
from memorymark.workloads import resolve


@pytest.fixture(autouse=True)
def _home(home):
    """A home of its own, and one thread."""


@pytest.fixture
def folder(tmp_path):
    saved(tiny_llama(), tmp_path / "model")
    byte_tokenizer().save_pretrained(tmp_path / "model")
    return f"hf:{tmp_path / 'model'}"


def asked(model, device="cpu", gpu=None, **plan):
    generation = GenerationPlan(**{"max_new_tokens": 4, **plan})
    return Request(RequestKind.GENERATE, model, device=device, gpu=gpu, generation=generation)


def test_a_device_is_held_while_text_is_written(folder):
    held, settings = [], load_settings()

    def on_event(event):
        if event.kind is EventKind.TEXT:
            held.append((is_held("cpu:0", settings.locks_folder), event.progress))

    run = execute(asked(folder, prompt="Hi"), settings=settings, on_event=on_event)
    assert run.weights_from is WeightsFrom.FOLDER and held
    assert all(is_now for is_now, _ in held) and not is_held("cpu:0", settings.locks_folder)
    assert [share for _, share in held] == sorted(share for _, share in held)


def test_the_library_blends_two_folders(folder, tmp_path):
    other = tmp_path / "other"
    saved(tiny_llama(), other)
    byte_tokenizer().save_pretrained(other)
    more = {"device": "cpu", "max_new_tokens": 6, "temperature": 1, "blend": f"hf:{other}"}
    run = memorymark.generate(folder, "Hi", blend_share=0.25, **more)
    # The same weights: each has its own share of every token.
    assert run.blend_shares == pytest.approx([0.25] * 6)
    assert run.tokens == memorymark.generate(folder, "Hi", **{**more, "blend": None}).tokens
    assert run.blend_weights_from is WeightsFrom.FOLDER and run.weights_from is WeightsFrom.FOLDER
    assert run.predicted_peak_bytes == run.peak_allocated_bytes


def test_text_comes_piece_by_piece_in_the_library(folder):
    heard = []
    run = memorymark.generate(folder, "Hi", device="cpu", max_new_tokens=6, on_text=heard.append)
    assert "".join(heard) == run.text
    with pytest.raises(UsageError, match="Unknown option 'max_tokens'"):
        memorymark.generate(folder, "Hi", max_tokens=6)


def test_a_simulated_card_is_refused(folder):
    with pytest.raises(NotAvailable, match="measured, not simulated"):
        execute(asked(folder, device=None, gpu="l4", prompt="Hi"))


def test_the_app_reads_no_file_but_what_was_uploaded(tmp_path):
    saved(tiny_vit(), tmp_path / "vit", image=written_image(tmp_path))
    request = asked(f"hf:{tmp_path / 'vit'}", image=written_image(tmp_path))
    with pytest.raises(UsageError, match="is not here any more"):
        execute(request, find_workload=resolve)
    run = execute(request, find_workload=resolve, media={"image": image_bytes()})
    assert run.labels and run.weights_from is WeightsFrom.FOLDER
    with pytest.raises(MemoryMarkError, match="it is none"):
        execute(request, find_workload=resolve, media={"image": b"x"})


def written_image(folder):
    (folder / "a.png").write_bytes(image_bytes())
    return str(folder / "a.png")


def test_the_app_asks_no_hub_for_weights(monkeypatch):
    from memorymark.workloads import checkpoint

    monkeypatch.setattr(checkpoint, "_of_the_hub", lambda name: pytest.fail("the hub was asked"))
    run = execute(asked("smollm2-135m", max_new_tokens=1, prompt_tokens=2), find_workload=resolve)
    assert run.weights_from is WeightsFrom.RANDOM


def test_files_travel_to_the_process_of_a_job():
    media = {"image": bytes(range(256))}
    written = written_media(media)
    assert read_media(written) == media and base64.b64decode(written["image"]) == media["image"]
