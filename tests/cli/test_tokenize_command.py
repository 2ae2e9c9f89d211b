"""Tokenizing from the command line: words, JSON, exit codes, and generation with what is saved."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from generators import saved
from transformers import LlamaConfig

from memorymark.cli import main
from memorymark.data.byte_tokens import ByteTokens
from memorymark.data.token_file import open_token_file
from memorymark.records.config import Task
from memorymark.workloads.huggingface import HuggingFaceWorkload

WORDS = "To be, or not to be: that is the question.\n"


@pytest.fixture(autouse=True)
def folder(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "text.txt").write_text(WORDS * 20)
    (tmp_path / "binary.txt").write_bytes(b"PK\3\4\0\0")
    (tmp_path / "latin.txt").write_bytes("Größe".encode("latin-1"))
    (tmp_path / "empty.txt").touch()
    return tmp_path


def run(capsys, line: str, code: int = 0):
    assert main(line.split()) == code
    return capsys.readouterr()


def test_in_words(capsys) -> None:
    out, err = run(capsys, "tokenize text.txt text.txt -o tokens.bin --max-tokens 900")
    assert out.startswith("900 tokens of 900 bytes of text are in tokens.bin, by the tokenizer ")
    assert "bytes per token" in out and "Note: Ended at 900 tokens" in out
    assert "Writing the tokens of" in err
    assert open_token_file("tokens.bin").count == 900


def test_one_json_document(capsys) -> None:
    out, _ = run(capsys, "tokenize text.txt -o tokens.bin --train-tokenizer 264 --json")
    values = json.loads(out)
    assert (values["vocabulary_size"], values["tokenizer"]) == (264, "tokens-tokenizer")
    assert values["source_bytes"] == 20 * len(WORDS) and values["truncated"] is None
    assert values["bytes_per_token"] == values["source_bytes"] / values["tokens"] > 1.1
    out, _ = run(capsys, "tokenize text.txt -o again.bin --tokenizer tokens-tokenizer")
    again, first = open_token_file("again.bin"), open_token_file("tokens.bin")
    assert again.tokens.tolist() == first.tokens.tolist()


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("nowhere.txt -o a.bin", 1, "No such file"),
        (". -o a.bin", 1, "it is a folder"),
        ("empty.txt -o a.bin", 1, "is empty"),
        ("binary.txt -o a.bin", 1, "byte 4 is NUL"),
        ("latin.txt -o a.bin", 1, "byte 2 (0xf6) is no UTF-8"),
        ("text.txt", 2, "--output"),
        ("-o a.bin", 2, "FILE"),
        ("text.txt -o .", 2, "is a folder"),
        ("text.txt -o text.txt", 2, "one of the files that are read"),
        ("text.txt -o a.bin --tokenizer ./nowhere", 1, "There is no folder"),
        ("text.txt -o a.bin --tokenizer no/body", 1, "not found on the Hugging Face hub"),
        ("text.txt -o a.bin --train-tokenizer 3", 2, "256"),
        ("text.txt -o a.bin --train-tokenizer 300 --tokenizer tok", 2, "Both a tokenizer"),
        ("text.txt -o a.bin --max-tokens 0", 2, "max tokens is 0"),
    ],
)
def test_what_does_not_suit_is_one_sentence(capsys, folder, line, code, said) -> None:
    out, err = run(capsys, f"tokenize {line} --json", code)
    assert out == "" and said in err.strip().splitlines()[-1]
    assert "Traceback" not in err and "bug in" not in err
    assert not list(folder.glob("a.bin*"))


def test_a_model_with_the_saved_bytes_reads_and_writes_text(capsys, folder) -> None:
    config = LlamaConfig(
        vocab_size=256, hidden_size=64, intermediate_size=64, num_hidden_layers=1,
        num_attention_heads=2,
    )  # fmt: skip
    saved(HuggingFaceWorkload("bytes", config, Task.CAUSAL_LM), folder / "model")
    ByteTokens().save(folder / "model")
    line = "generate hf:./model --prompt Hi --device cpu --precision fp32 --max-new-tokens 4 --json"
    values = json.loads(run(capsys, line)[0])
    assert values["prompt_tokens"] == 2
    assert values["text"] == ByteTokens().decode(values["tokens"])


def test_it_starts_without_torch() -> None:
    code = (
        "import sys; from memorymark.cli import main; "
        "main(['tokenize', 'text.txt', '-o', 'a.bin', '--train-tokenizer', '260']); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
