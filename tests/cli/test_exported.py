"""Scripts beside a result, written by the commands."""

from __future__ import annotations

import json

import pytest

import memorymark
from memorymark.cli import main
from memorymark.errors import UsageError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMORYMARK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MEMORYMARK_PROBE_FACTORY", "app_probe:make_probe")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_analysis_writes_a_script_with_the_recommended_batch(home, capsys):
    call = ["analyze", "bert", "--gpu", "l4", "--precision", "amp-bf16", "--json"]
    assert main([*call, "--export", "train.py", "--export-trainer", "trainer.py"]) == 0
    said = capsys.readouterr()
    analysis = json.loads(said.out)
    text = (home / "train.py").read_text()
    assert f"BATCH_SIZE = {analysis['optimal_batch_size']}\n" in text
    assert "torch.autocast(device.type, dtype=torch.bfloat16)" in text
    memory = f"{analysis['optimal_memory_gb']:.2f} GiB reserved of"
    head = [
        line
        for line in text.splitlines()
        if line.startswith("# Simulated for NVIDIA A100 40GB, 20")
    ]
    assert len(head) == 1 and memory in head[0]
    assert "memorymark" not in text.split("import torch", 1)[1]
    assert "bf16=True," in (home / "trainer.py").read_text()
    assert "train.py" in said.err and "trainer.py" in said.err


@pytest.mark.parametrize("command", ["estimate", "measure"])
def test_a_trial_writes_a_script_of_its_batch(home, command):
    where = ["--gpu", "l4"] if command == "estimate" else ["--device", "cpu"]
    assert main([command, "bert", "--batch-size", "4", *where, "--export", "train.py"]) == 0
    assert "BATCH_SIZE = 4\n" in (home / "train.py").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--export", "missing/train.py"], "is in no folder that exists"),
        (["--export", "."], "is a folder"),
        (["--export", "a.py", "--export-trainer", "a.py"], "the same file"),
    ],
)
def test_a_file_that_cannot_be_is_said_before_the_work(words, said, capsys):
    assert main(["analyze", "bert", "--gpu", "l4", *words]) == 2
    error = capsys.readouterr().err
    assert said in error and "batch" not in error


def test_a_model_that_the_trainer_does_not_take_is_said_before_the_work(home, capsys):
    call = ["analyze", "torchvision:resnet18", "--gpu", "l4", "--export-trainer", "x.py"]
    assert main(call) == 2
    assert "plain PyTorch" in capsys.readouterr().err
    assert not (home / "x.py").exists()


def test_the_library_writes_the_same(home):
    analysis = memorymark.analyze("bert", gpu="l4")
    text = memorymark.snippet(analysis)
    assert f"BATCH_SIZE = {analysis.optimal.batch_size}\n" in text
    compile(text, "train.py", "exec")
    assert "TrainingArguments(" in memorymark.snippet(analysis, trainer=True)


def test_a_batch_that_does_not_fit_has_no_script():
    trial = memorymark.estimate("bert", batch_size=60_000, gpu="t4")
    assert not trial.fits
    with pytest.raises(UsageError, match="does not fit"):
        memorymark.snippet(trial)
