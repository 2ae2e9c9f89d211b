"""A tiny model that trains in a real browser: a curve, a stop, others who see it, a resume."""

import time

import pytest
from app_server import WAIT, server, settled
from generators import byte_tokenizer
from screens import assert_chart_words_apart, assert_fits_width, calm, shoot

from memorymark.records.training_run import StoppedBy, TrainingRun
from memorymark.service.history import RunHistory

pytestmark = pytest.mark.browser
TEXT = b"To be, or not to be, that is the question. " * 400


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model whose steps take some milliseconds each."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    path = tmp_path_factory.mktemp("model")
    config = LlamaConfig(
        vocab_size=257, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=256, architectures=["LlamaForCausalLM"],
    )  # fmt: skip
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(path)
    byte_tokenizer().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def address(server_home, folder):
    """A server with the engine's own probes, whose owner allows the folder."""
    allowed = {"MEMORYMARK_WORKLOADS": f"hf:{folder}", "MEMORYMARK_PROBE_FACTORY": ""}
    with server(server_home, MEMORYMARK_FIRST_RUN="off", OMP_NUM_THREADS="1", **allowed) as address:
        yield address


def start(page, address, folder, steps):
    query = f"steps={steps}&batch_size=2&seq_len=32&eval_every=200&eval_batches=1"
    page.goto(f"{address}/training?model=hf:{folder}&{query}")
    settled(page)
    page.locator("input[type=file]").set_input_files(
        {"name": "hamlet.txt", "mimeType": "text/plain", "buffer": TEXT}
    )
    page.get_by_text("hamlet.txt").wait_for(timeout=WAIT)
    settled(page)
    page.get_by_role("button", name="Train", exact=True).click()


def curve(page):
    return page.get_by_role("heading", name="Loss", exact=True)


def test_it_is_watched_stopped_seen_by_others_and_gone_on_with(
    address, folder, tab, chrome, server_home
):
    start(tab, address, folder, 100_000)
    curve(tab).wait_for(timeout=2 * WAIT)
    stop = tab.get_by_role("button", name="Stop")
    assert stop.is_visible(), "the curve is there before the end"
    context = chrome.new_context(viewport={"width": 390, "height": 900}, reduced_motion="reduce")
    other = context.new_page()
    other.goto(tab.url)
    curve(other).wait_for(timeout=WAIT)
    assert other.get_by_text("hf:").first.is_visible()
    settled(other)
    calm(other)
    shoot(other, "training-live")
    shoot(tab, "training-live")
    stop.click()
    resume = tab.get_by_role("button", name="Resume")
    resume.wait_for(timeout=2 * WAIT)
    settled(tab)
    tab.get_by_text("until it was stopped").wait_for(timeout=WAIT)
    other.get_by_text("until it was stopped").wait_for(timeout=WAIT)
    for page in (tab, other):
        calm(page)
        assert_fits_width(page)
        assert_chart_words_apart(page)
        shoot(page, "training-stopped")
    context.close()
    (stopped,) = ended(server_home)
    assert stopped.stopped_by is StoppedBy.USER and stopped.model_folder
    resume.click()
    tab.wait_for_function(f"!location.search.includes('{tab.url[-8:]}')", timeout=WAIT)
    curve(tab).wait_for(timeout=2 * WAIT)
    tab.get_by_role("button", name="Stop").click()
    gone_on = resumed_run(server_home)
    settled(tab)
    assert gone_on.resumed_from == stopped.steps <= gone_on.steps
    assert gone_on.curve[0].step == 1, "the curve is that of the whole training"
    tab.get_by_role("link", name="Open the trained model on Generate").click()
    tab.get_by_role("heading", name="Generate", level=1).wait_for(timeout=WAIT)
    settled(tab)
    tab.get_by_role("textbox", name="Prompt").fill("To be, ")
    tab.get_by_role("textbox", name="Prompt").press("Control+Enter")
    settled(tab)
    tab.get_by_role("button", name="Generate", exact=True).click()
    tab.get_by_role("heading", name="All figures").wait_for(timeout=2 * WAIT)


def resumed_run(home):
    """Wait for the record of the run that went on: the earlier one has a button to resume too."""
    until = time.monotonic() + 2 * WAIT / 1000
    while time.monotonic() < until:
        found = [run for run in ended(home) if run.resumed_from]
        if found:
            return found[0]
        time.sleep(0.2)
    raise AssertionError("the run that went on was not saved")


def ended(home):
    history = RunHistory(home / "runs.sqlite3")
    records = [history.open(run.run_id).record for run in history.find(kinds=["train"])]
    return [TrainingRun.from_dict(record) for record in records if record]
