"""Generation from the command line: text, figures, JSON, and a sentence for what does not suit."""

from __future__ import annotations

import json
import sys

import pytest
from generators import byte_tokenizer, image_bytes, saved, tiny_vit
from tiny import tiny_llama

from memorymark.cli import main
from memorymark.service.history import RunHistory

KEYS = {
    "model", "config", "plan", "device", "source", "weights_from", "text", "tokens", "labels",
    "stopped_by", "prompt_tokens", "new_tokens", "load_seconds", "first_token_seconds",
    "prefill_tokens_per_second", "decode_tokens_per_second", "weights_bytes", "cache_bytes",
    "predicted_peak_bytes", "peak_allocated_bytes", "peak_reserved_bytes", "prediction_error",
}  # fmt: skip
SHORT = "--device cpu --precision fp32 --max-new-tokens 5"


@pytest.fixture(autouse=True)
def _home(home):
    """A home of its own, and one thread."""


@pytest.fixture
def folder(tmp_path):
    saved(tiny_llama(), tmp_path / "model")
    byte_tokenizer().save_pretrained(tmp_path / "model")
    return f"hf:{tmp_path / 'model'}"


def run(capsys, words, code=0):
    assert main(words) == code
    return capsys.readouterr()


def test_one_json_document_with_predicted_beside_measured(folder, capsys):
    out, err = run(capsys, ["generate", folder, "--prompt", "Hi", *SHORT.split(), "--json"])
    values = json.loads(out)
    assert values.keys() >= KEYS and values["weights_from"] == "folder"
    assert values["predicted_peak_bytes"] == values["peak_allocated_bytes"]
    assert values["prediction_error"] == 0 and values["new_tokens"] == 5
    assert "Simulating what it will hold" in err
    kept = RunHistory().find(limit=1)[0]
    assert kept.kind == "generate"
    assert RunHistory().open(kept.run_id).record == {**values, "run_id": kept.run_id}


def test_text_streams_to_the_output_and_beside_a_document(folder, capsys):
    words = ["generate", folder, "--prompt", "Hi", *SHORT.split()]
    text = json.loads(run(capsys, [*words, "--json"])[0])["text"]
    streamed = run(capsys, [*words, "--stream"])[0]
    plain = run(capsys, words)[0]
    printed = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
    assert streamed.startswith(printed) and plain.startswith(printed)
    assert "none, to the byte" in streamed and "none, to the byte" in plain
    out, err = run(capsys, [*words, "--stream", "--json"])
    assert json.loads(out)["text"] == text and printed in err


def test_what_a_model_writes_is_no_escape_of_the_terminal(folder, capsys, monkeypatch):
    from memorymark.inference.words import TokenWords

    monkeypatch.setattr(TokenWords, "add", lambda self, token: "\x1b[2J\u202eX\n")
    out, _ = run(capsys, ["generate", folder, "--prompt", "Hi", *SHORT.split(), "--stream"])
    assert "\x1b" not in out and "\\x1b[2J\\u202eX\n" in out


def test_an_image_is_named(tmp_path, capsys):
    saved(tiny_vit(), tmp_path / "vit", image=image_file(tmp_path))
    words = ["generate", f"hf:{tmp_path / 'vit'}", "--image", image_file(tmp_path)]
    out, _ = run(capsys, [*words, "--device", "cpu"])
    assert "LABEL_" in out and "The image was classified" in out and "new tokens" not in out


def image_file(tmp_path):
    (tmp_path / "a.png").write_bytes(image_bytes())
    return str(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--temperature", "-1"], "temperature is -1.0; accepted: a number from 0"),
        (["--prompt", "x", "--image", "a.png"], "reads no images"),
        (["--prompt", "x", "--audio", "a.wav"], "hears no sound"),
        (["--prompt", "x" * 3000], "prompt is '3,000 tokens'; accepted: up to 2,048 tokens"),
        (["--prompt", "x", "--precision", "int3"], "Unknown weights 'int3'"),
        (["--prompt", "x", "--task", "ctc"], "Unknown task 'ctc'"),
        ([], "reads a text. Give --prompt TEXT"),
    ],
)
def test_what_does_not_suit_is_one_sentence(folder, capsys, words, said):
    out, err = run(capsys, ["generate", folder, "--device", "cpu", *words], code=2)
    last = err.strip().splitlines()[-1]
    assert out == "" and last.startswith("Error: ") and said in last


def test_two_models_write_one_text(capsys):
    words = ["generate", "bdh-small", "--prompt", "Once", "--temperature", "1", *SHORT.split()]
    blended = [*words, "--blend", "gpt2-bytes-small", "--blend-share"]
    values = json.loads(run(capsys, [*blended, "0.3", "--json"])[0])
    assert values["predicted_peak_bytes"] == values["peak_allocated_bytes"]
    assert len(values["blend_shares"]) == values["new_tokens"] == 5
    assert values["mean_blend_share"] == pytest.approx(sum(values["blend_shares"]) / 5)
    assert (values["plan"]["blend"], values["plan"]["blend_share"]) == ("gpt2-bytes-small", 0.3)
    out, _ = run(capsys, [*blended, "0.3"])
    assert "bdh-small blended with 30 % of gpt2-bytes-small" in out
    assert "share of gpt2-bytes-small in the tokens" in out
    alone = json.loads(run(capsys, [*words, "--json"])[0])
    assert json.loads(run(capsys, [*blended, "0", "--json"])[0])["tokens"] == alone["tokens"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--blend", "gpt2"], "'bdh-small' has 256 tokens and 'gpt2' 50,257"),
        (["--blend", "bert"], "and 'bert' 30,522: two models"),
        (["--blend", "t5-small"], "is used for seq2seq-lm"),
        (["--blend", "gtp2-bytes"], "Unknown model 'gtp2-bytes'"),
        (["--blend", "torchvision:resnet18"], "no model of Hugging Face"),
        (["--blend-share", "0.2"], "Name one with --blend MODEL"),
        (["--blend", "bdh", "--blend-share", "2"], "blend share is 2.0; accepted: a share from 0"),
    ],
)
def test_a_second_model_that_does_not_suit_is_one_sentence(capsys, words, said):
    given = ["generate", "bdh-small", "--prompt", "x", "--device", "cpu", "--random-weights"]
    out, err = run(capsys, [*given, *words], code=2)
    last = err.strip().splitlines()[-1]
    assert out == "" and last.startswith("Error: ") and said in last


@pytest.mark.parametrize("model", ["torchvision:squeezenet1_1", "facebook/wav2vec2-base-960h"])
def test_what_cannot_generate_says_so(capsys, model):
    _, err = run(capsys, ["generate", model, "--device", "cpu", "--random-weights"], code=2)
    assert "no model of Hugging Face" in err or "writes no text, and names no images" in err


@pytest.mark.parametrize(("weights", "name"), [("int8", "torchao"), ("int4", "bitsandbytes")])
def test_a_package_that_quantizes_is_asked_for(folder, capsys, monkeypatch, weights, name):
    monkeypatch.setitem(sys.modules, name, None)
    words = ["generate", folder, "--prompt", "x", "--device", "cpu", "--precision", weights]
    _, err = run(capsys, words, code=1)
    assert f"needs the package {name}" in err


def test_a_folder_of_pickles_is_refused(tmp_path, capsys, folder):
    model = tmp_path / "model"
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    _, err = run(capsys, ["generate", folder, "--prompt", "x"], code=1)
    assert "'pytorch_model.bin', which are not read" in err


def test_what_does_not_fit_is_said_before_it_is_loaded(folder, capsys):
    words = ["generate", folder, "--prompt", "x", *SHORT.split(), "--memory-budget", "200KiB"]
    out, err = run(capsys, words, code=1)
    assert "Out of memory" in out and "It needs" in err and "Loading" not in err


def test_a_stop_prints_what_was_written(folder, capsys, monkeypatch):
    from memorymark.records.event import CancelToken

    asked = []
    monkeypatch.setattr(
        CancelToken, "cancelled", property(lambda self: asked.append(1) or len(asked) > 4)
    )
    words = ["generate", folder, "--prompt", "x", "--device", "cpu", "--max-new-tokens", "500"]
    out, err = run(capsys, words, code=130)
    assert "The text was stopped" in out and "Stopped after" in err
