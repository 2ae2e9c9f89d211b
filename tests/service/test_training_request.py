"""Requests of trainings: devices, folders, the batch of an analysis."""

import json

import pytest
from leases import is_held

from memorymark.errors import NotAvailable
from memorymark.records.config import TrainingConfig
from memorymark.records.event import CancelToken, EventKind
from memorymark.records.request import Request, RequestKind
from memorymark.records.training_plan import TrainingPlan
from memorymark.records.training_run import StoppedBy
from memorymark.service.execute import execute
from memorymark.settings import Settings
from memorymark.units import MIB

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path / "home")


@pytest.fixture
def asked(tmp_path):
    """Makes a request of a small model over bytes, on a text."""
    config = {
        "model_type": "gpt2", "vocab_size": 256, "n_positions": 16, "n_embd": 16, "n_layer": 1,
        "n_head": 2, "bos_token_id": 0, "eos_token_id": 0,
        "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0,
    }  # fmt: skip
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    (tmp_path / "text.txt").write_text("Sweet are the uses of adversity.\n" * 60)

    def ask(kind=RequestKind.TRAIN, batch_size=4, other=None, **plan):
        training = TrainingPlan(data=str(tmp_path / "text.txt"), **{"steps": 3, **plan})
        return Request(
            kind, f"hf:{tmp_path / 'model'}", TrainingConfig(seq_len=16), device="cpu",
            memory_budget=256 * MIB, batch_size=batch_size, training=training, other_model=other,
        )  # fmt: skip

    return ask


def test_the_device_is_held_for_the_whole_length_and_steps_are_told(settings, asked):
    seen, known = [], []

    def on_event(event):
        if event.kind is EventKind.STEP:
            seen.append(is_held("cpu:0", settings.locks_folder))
            known.append(event.known())

    run = execute(asked(), settings=settings, on_event=on_event)
    assert seen and all(seen) and not is_held("cpu:0", settings.locks_folder)
    assert known[0].steps >= 1 and known[0].model == run.model


def test_without_a_folder_it_gets_one_of_its_own(settings, asked):
    first, second = (execute(asked(), settings=settings) for _ in range(2))
    assert first.checkpoint != second.checkpoint
    assert first.checkpoint.startswith(str(settings.home / "trained"))
    assert first.model_folder.startswith(first.checkpoint)


def test_cancelling_ends_it_saved(settings, asked):
    token = CancelToken()

    def on_event(event):
        if event.kind is EventKind.STEP:
            token.cancel()

    run = execute(asked(steps=10**6), settings=settings, on_event=on_event, cancel=token)
    assert run.stopped_by is StoppedBy.USER and run.steps >= 1 and run.model_folder is not None


def test_the_second_model_has_the_effective_batch_of_the_first(settings, asked, tmp_path):
    request = asked(RequestKind.COMPARE_TRAINING, None, f"hf:{tmp_path / 'model'}")
    found = execute(request, settings=settings)
    one, two = found.runs
    assert one.effective_batch_size == two.effective_batch_size
    losses = [each.loss for each in two.curve]  # in other micro-batches, so not to the bit
    assert [each.loss for each in one.curve] == pytest.approx(losses, rel=1e-4)


def test_nothing_is_trained_on_a_simulated_gpu(settings, asked):
    import dataclasses

    request = dataclasses.replace(asked(), device=None, gpu="t4")
    with pytest.raises(NotAvailable, match="measured, not simulated"):
        execute(request, settings=settings)
