"""Scripts with head and loss in chunks, for heads after which a model changes its logits.

They are run: they need what was measured, and their losses are those of the whole logits.
"""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
import torch
import transformers
from test_snippets import SIZES, one_thread, peak_of, promised  # noqa: F401

from memorymark.errors import UsageError
from memorymark.records.config import TrainingConfig
from memorymark.report.snippets import lines_for, snippet

# With 16 tokens each more than one chunk, of logits that take most of the memory.
BATCH_SIZE = 80
DECODER = {**SIZES, "vocab_size": 1000, "head_dim": 8}
PAIR = {
    "vocab_size": 1000, "d_model": 32, "encoder_layers": 1, "decoder_layers": 1,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64, "max_position_embeddings": 64, "pad_token_id": 1, "bos_token_id": 0,
    "eos_token_id": 2, "decoder_start_token_id": 2,
}  # fmt: skip
HEADS = {
    "a bias, without a cache": ("BartConfig", PAIR, {}),
    "a bias, with a cache": ("PLBartConfig", PAIR, {"precision": "amp-bf16"}),
    "a decoder alone": ("BartConfig", PAIR, {"task": "causal-lm"}),
    "masked tokens": ("BartConfig", PAIR, {"task": "masked-lm"}),
    "a soft cap": ("Gemma2Config", DECODER, {"lora_rank": 4}),
    "no soft cap": ("Gemma2Config", {**DECODER, "final_logit_softcapping": None}, {}),
    "a soft cap of one's own": (
        "Gemma3TextConfig", {**DECODER, "final_logit_softcapping": 20.0}, {"loop": "trainer"}
    ),
    "a scale": ("CohereConfig", DECODER, {"use_cache": "off"}),
    "a divisor": ("GraniteConfig", {**DECODER, "logits_scaling": 8.0}, {"freeze": "*embed*"}),
}  # fmt: skip


def folder_of(path, kind, values):
    getattr(transformers, kind)(**values).save_pretrained(path)
    return f"hf:{path}"


def config_of(values, settings):
    task = "seq2seq-lm" if "decoder_layers" in values else "causal-lm"
    given = {"task": task, "seq_len": 16, "optimizer": "sgd", **settings}
    return TrainingConfig(**given, chunked_cross_entropy=True)


def losses_of(text, capsys):
    torch.manual_seed(3)
    capsys.readouterr()
    exec(compile(text, "script.py", "exec"), {"__name__": "__main__"})
    return [float(each) for each in re.findall(r"loss ([\d.]+)", capsys.readouterr().out)]


@pytest.mark.parametrize("head", HEADS)
def test_the_script_needs_what_was_measured_and_has_the_same_losses(head, tmp_path, capsys):
    kind, values, settings = HEADS[head]
    name, config = folder_of(tmp_path, kind, values), config_of(values, settings)
    expected = promised(name, config, BATCH_SIZE)
    text = snippet(name, config, BATCH_SIZE)
    assert peak_of(text) == expected
    whole = dataclasses.replace(config, chunked_cross_entropy=False)
    losses = losses_of(text, capsys)
    assert len(losses) == 3
    assert losses == pytest.approx(losses_of(snippet(name, whole, BATCH_SIZE), capsys), abs=2e-4)


def test_a_script_without_the_change_of_its_logits_is_seen(tmp_path, capsys):
    """Else the losses would be the same of any head."""
    name = folder_of(tmp_path, "GraniteConfig", {**DECODER, "logits_scaling": 8.0})
    text = snippet(name, config_of(DECODER, {}), BATCH_SIZE)
    without = text.replace("(project(hidden) / config.logits_scaling)", "project(hidden)")
    assert text != without
    assert losses_of(without, capsys) != pytest.approx(losses_of(text, capsys), abs=2e-4)


@pytest.mark.parametrize("kind", ["blenderbot", "recurrent_gemma", "t5gemma"])
def test_what_has_no_short_script_is_refused(kind, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(UsageError, match=r"no short script .* Leave chunked cross entropy off"):
        snippet(f"hf:{tmp_path}", config_of(PAIR, {}), 4)


def test_a_model_that_is_not_known_here_says_what_may_be_missing():
    text = snippet("hf:somebody/net", config_of(DECODER, {}), 4)
    assert "# If the model changes its logits after its head, change them in the loss too." in text
    assert "If the model changes" not in snippet("gpt2", config_of(DECODER, {}), 4)
    assert "after the head" in lines_for({"chunked_cross_entropy": True})
