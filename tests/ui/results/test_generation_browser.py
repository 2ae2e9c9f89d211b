"""A small model that streams in a real browser: its first words, a stop, and the next in line."""

import pytest
from app_server import WAIT, server, settled
from generators import byte_tokenizer
from screens import assert_fits_width

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that takes seconds for all of its tokens, and does not end by itself."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    path = tmp_path_factory.mktemp("model")
    config = LlamaConfig(
        vocab_size=256, hidden_size=64, intermediate_size=64, num_hidden_layers=24,
        num_attention_heads=4, max_position_embeddings=2048, eos_token_id=None,
        architectures=["LlamaForCausalLM"],
    )  # fmt: skip
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(path)
    byte_tokenizer().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def address(server_home, folder):
    """A server with the engine's own probes, whose owner allows the folder."""
    allowed = {"MEMORYMARK_WORKLOADS": f"hf:{folder}", "MEMORYMARK_PROBE_FACTORY": ""}
    with server(server_home, MEMORYMARK_FIRST_RUN="off", **allowed) as address:
        yield address


def fill(page, address, folder, prompt):
    page.goto(f"{address}/generate?model=hf:{folder}")
    settled(page)
    page.get_by_role("textbox", name="Prompt").fill(prompt)
    page.get_by_role("textbox", name="Prompt").press("Control+Enter")
    settled(page)
    page.get_by_role("slider", name="New tokens").press("End")
    settled(page)
    return page.get_by_role("button", name="Generate", exact=True)


def test_text_streams_stops_and_others_wait(address, folder, tab, chrome):
    context = chrome.new_context(viewport={"width": 1280, "height": 900})
    other = context.new_page()
    waiting = fill(other, address, folder, "Somebody else")
    fill(tab, address, folder, "Hello").click()
    stop = tab.get_by_role("button", name="Stop")
    tab.wait_for_function(
        "document.querySelector('[class*=st-key-written_] code')?.innerText.length > 8",
        timeout=2 * WAIT,
    )
    assert stop.is_visible(), "the first words are there before the last are made"
    waiting.click()
    other.get_by_text("is busy with run").wait_for(timeout=WAIT)
    stop.click()
    tab.get_by_text("The text was stopped").wait_for(timeout=WAIT)
    settled(tab)
    assert tab.get_by_text("none, to the byte").count()
    assert_fits_width(tab)
    other.get_by_role("button", name="Stop").click()
    context.close()
