"""Bad input through the whole program: one clear sentence, the right exit code, no traceback."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from memorymark.cli import main

WORKLOADS = """
    import torch
    from torch import nn

    def make_batch(batch_size):
        return torch.rand(batch_size, 64)

    def loss(model, batch):
        return model(batch).square().mean()

    def good():
        return nn.Linear(64, 64), make_batch, loss

    def raises():
        raise RuntimeError("no weights here")

    def wrong_thing():
        return "a model"

    def bad_batch():
        return nn.Linear(64, 64), lambda batch_size: 1 / 0, loss

    def bad_loss():
        return nn.Linear(64, 64), make_batch, lambda model, batch: model(batch)

    def bad_forward():
        return nn.Linear(32, 32), make_batch, loss
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEMORYMARK_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad_input_workloads.py").write_text(textwrap.dedent(WORKLOADS))
    (tmp_path / "empty").mkdir()
    for name, text in {"corrupt": '{"model_type": "be', "nameless": "{}", "list": "[]"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(text)
    return tmp_path


def fails(capsys: pytest.CaptureFixture[str], line: str, code: int) -> str:
    """Run a command line that must fail; return its sentence."""
    given = main(line.split())
    out, err = capsys.readouterr()
    last = err.strip().splitlines()[-1]
    assert (given, out) == (code, ""), err
    assert last.startswith("Error: ") and "Traceback" not in err and "bug in" not in err
    return last


@pytest.mark.parametrize(
    ("model", "code", "said"),
    [
        ("brt", 2, "'bert'"),
        ("hf:./nowhere", 1, "no folder"),
        ("hf:./empty", 1, "no config.json"),
        ("hf:./corrupt", 1, "not readable JSON"),
        ("hf:./nameless", 1, "model_type"),
        ("hf:./list", 1, "model_type"),
        ("torchvision:resnet5", 2, "'resnet50'"),
        ("no_such_module:factory", 1, "module 'no_such_module' of the workload"),
        ("bad_input_workloads:god", 2, "'good'"),
        ("bad_input_workloads:raises", 1, "no weights here"),
        ("bad_input_workloads:wrong_thing", 1, "returned a str"),
        ("bad_input_workloads:bad_batch", 1, "make_batch"),
        ("bad_input_workloads:bad_loss", 1, "one element"),
        ("bad_input_workloads:bad_forward", 1, "shapes"),
    ],
)
@pytest.mark.parametrize("command", ["measure {} --batch-size 2", "analyze {}"])
def test_bad_models(
    capsys: pytest.CaptureFixture[str], command: str, model: str, code: int, said: str
) -> None:
    line = f"{command.format(model)} --device cpu --json"
    assert said in fails(capsys, line, code)


def test_no_network_names_the_local_form(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    sentence = fails(capsys, "analyze hf:nobody/no-such-model --device cpu", 1)
    assert "cannot be reached" in sentence and "hf:FOLDER" in sentence


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--batch-size 0", "batch size is 0"),
        ("--batch-size -4", "batch size is -4"),
        ("--batch-size 70000", "65535"),
        ("--batch-size 2 --device gpu0", "cuda, mps, cpu"),
        ("--batch-size 2 --memory-budget lots", "4GiB"),
        ("--batch-size 2 --memory-budget 0", "above zero"),
    ],
)
def test_bad_numbers_and_devices(
    capsys: pytest.CaptureFixture[str], options: str, said: str
) -> None:
    assert said in fails(capsys, f"measure bad_input_workloads:good --json {options}", 2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--current-batch-size 0", "current batch size is 0"),
        ("--granularity 0", "granularity is 0"),
        ("--headroom 1.5", "headroom is 1.5"),
        ("--objective speed", "throughput, memory"),
        ("--price -1", "price per hour is -1"),
        ("--gpu a10o", "'a10'"),
        ("--gpu a10 --device cpu", "Both"),
    ],
)
def test_bad_analysis_options(capsys: pytest.CaptureFixture[str], options: str, said: str) -> None:
    assert said in fails(capsys, f"analyze bad_input_workloads:good --json {options}", 2)


def test_sequence_longer_than_the_position_table(capsys: pytest.CaptureFixture[str]) -> None:
    line = "measure bert --batch-size 1 --device cpu --seq-len 513"
    sentence = fails(capsys, line, 2)
    assert "513" in sentence and "512" in sentence


def test_budget_smaller_than_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    line = "analyze bad_input_workloads:good --device cpu --memory-budget 8KiB"
    given = main(line.split())
    _, err = capsys.readouterr()
    said = "Does not fit: batch 1 needs more than the memory budget of 8.0 KiB."
    assert given == 1 and said in err and "Traceback" not in err


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("nowhere.txt -o tokens.bin", 1, "'nowhere.txt' cannot be read"),
        ("empty -o tokens.bin", 1, "is a folder"),
        ("binary -o tokens.bin", 1, "byte 2 is NUL"),
        ("list/config.json -o nowhere/tokens.bin", 2, "in no folder that exists"),
        ("list/config.json -o tokens.bin --tokenizer ./empty", 1, "has no tokenizer"),
    ],
)
def test_bad_texts(
    capsys: pytest.CaptureFixture[str], folder: Path, line: str, code: int, said: str
) -> None:
    (folder / "binary").write_bytes(b"PK\0\1")
    assert said in fails(capsys, f"tokenize {line} --json", code)
    assert not (folder / "tokens.bin").exists()
