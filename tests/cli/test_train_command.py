import csv
import json

import pytest

from memorymark.cli import main

KEYS = (
    "model", "config", "batch_size", "gradient_accumulation", "steps", "tokens", "seconds",
    "train_loss", "eval_loss", "perplexity", "peak_memory_bytes", "memory_budget_bytes",
    "time_budget_seconds", "stopped_by", "checkpoint", "verdicts",
)  # fmt: skip

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def given(tmp_path):
    """A GPT-2 over bytes as a folder, and a text."""
    config = {
        "model_type": "gpt2", "vocab_size": 256, "n_positions": 32, "n_embd": 16, "n_layer": 1,
        "n_head": 2, "bos_token_id": 0, "eos_token_id": 0,
    }  # fmt: skip
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    (tmp_path / "text.txt").write_text("Whether 'tis nobler in the mind to suffer\n" * 100)
    return [
        f"hf:{tmp_path / 'model'}", "--data", str(tmp_path / "text.txt"), "--seq-len", "32",
        "--device", "cpu", "--memory-budget", "256MiB",
    ]  # fmt: skip


def test_it_trains_resumes_and_writes_what_generate_opens(given, tmp_path, capsys):
    folder = str(tmp_path / "out")
    words = [*given, "--batch-size", "4", "--checkpoint", folder, "--json"]
    assert main(["train", *words, "--steps", "6"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["steps"] == 6 and first["stopped_by"] == "length"
    assert first["peak_memory_bytes"] == first["predicted_peak_bytes"]
    assert set(KEYS) <= set(first)
    assert any(each["gpu"] == "p100" and each["fits"] for each in first["forecasts"])
    assert main(["train", *words, "--steps", "9", "--resume"]) == 0
    second = json.loads(capsys.readouterr().out)
    assert second["resumed_from"] == 6 and second["steps"] == 9
    with open(f"{folder}/steps.csv", newline="") as file:
        steps = [row["step"] for row in csv.DictReader(file) if row["loss"]]
    assert steps == [str(step) for step in range(1, 10)]
    prompt = ["--prompt", "Whether", "--max-new-tokens", "4", "--device", "cpu", "--json"]
    assert main(["generate", f"hf:{folder}/model", *prompt]) == 0
    written = json.loads(capsys.readouterr().out)
    assert written["weights_from"] == "folder" and len(written["tokens"]) == 4
    assert written["text"] and written["prompt_tokens"] == 7


def test_the_batch_is_found_where_none_is_given(given, capsys):
    assert main(["train", *given, "--steps", "1", "--effective-batch", "8", "--json"]) == 0
    run = json.loads(capsys.readouterr().out)
    assert run["batch_size"] * run["gradient_accumulation"] == 8
    assert any("recommends" in finding for finding in run["findings"])


def test_in_words_it_says_what_was_measured_and_what_other_cards_would_take(given, capsys):
    assert main(["train", *given, "--batch-size", "2", "--steps", "2"]) == 0
    said = capsys.readouterr().out
    assert "measured" in said and "Memory: PASS" in said and "simulated" in said
    assert "h100-80gb" in said


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--batch-size", "some"], "auto"),
        (["--steps", "1", "--epochs", "1"], "More than one length"),
        (["--time-budget", "soon"], "span of time"),
        (["--data", "nowhere.txt"], "nowhere.txt"),
        (["--resume"], "--checkpoint"),
        (["--batch-size", "3", "--effective-batch", "8"], "no multiple"),
        (["--batch-size", "1", "--memory-budget", "100KiB"], "cannot be trained within it"),
        (["--learning-rate", "-1"], "learning rate"),
        (["--seq-len", "64", "--batch-size", "1"], "positions"),
    ],
)
def test_what_cannot_be_done_ends_in_one_sentence(given, capsys, words, sentence):
    assert main(["train", *given, "--steps", "1", *words] if "--steps" not in words
                else ["train", *given, *words]) in (1, 2)  # fmt: skip
    said = capsys.readouterr()
    assert sentence in said.err and "Traceback" not in said.err and not said.out


def test_a_learning_rate_that_breaks_the_model_is_told_with_the_step(given, tmp_path, capsys):
    words = ["--batch-size", "2", "--steps", "50", "--learning-rate", "1000", "--optimizer", "sgd"]
    folder = str(tmp_path / "out")
    assert main(["train", *given, *words, "--checkpoint", folder, "--json"]) == 1
    said = capsys.readouterr()
    assert json.loads(said.out)["stopped_by"] == "not-finite"
    assert "step" in said.err and "is whole" in said.err


def test_two_models_are_trained_on_the_same_tokens(given, tmp_path, capsys):
    other = tmp_path / "wider"
    other.mkdir()
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "n_embd": 32}))
    model, *rest = given
    folder = tmp_path / "both"
    words = ["--batch-size", "4", "--steps", "4", "--checkpoint", str(folder), "--price", "2"]
    assert main(["compare-training", model, f"hf:{other}", *rest, *words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    one, two = found["runs"]
    assert one["tokens"] == two["tokens"] and one["eval_loss"] != two["eval_loss"]
    assert all(cost > 0 for cost in found["costs_usd"])
    with open(found["csv"], newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["model"] for row in rows} == set(found["models"]) and len(rows) >= 8
    assert rows[0]["tokens"] == str(4 * 32)
