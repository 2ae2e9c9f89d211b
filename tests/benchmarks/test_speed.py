"""The speed benchmark counts what it says, and fails where a bound is broken."""

import sys
from unittest.mock import create_autospec

import pytest
import speed
from speed import Figure

from memorymark.workloads import resolve


def test_the_first_run_is_thrown_away():
    calls = []
    wall, cpu = speed.timed(lambda: calls.append(0), runs=3)
    assert len(calls) == 4
    assert len(wall) == len(cpu) == 3


def test_a_figure_knows_its_bound():
    assert Figure("a", 1.0, 9.0, None, 1.0).holds
    assert not Figure("a", 1.1, 1.1, None, 1.0).holds
    assert Figure("a", 1.1, 1.1, None, None).holds


@pytest.mark.parametrize(("value", "words", "code"), [
    (0.5, ["--check"], 0), (2.0, ["--check"], 1), (2.0, [], 0),
])  # fmt: skip
def test_check_fails_on_a_broken_bound(monkeypatch, capsys, value, words, code):
    figures = [Figure("estimate x", value, 3, 0.4, 1.0)]
    monkeypatch.setattr(speed, "measure", create_autospec(speed.measure, return_value=figures))
    monkeypatch.setattr(sys, "argv", ["speed.py", *words])
    assert speed.main() == code
    printed = capsys.readouterr().out
    assert ("OVER" in printed) == (value > 1)
    assert "cores" in printed and "torch" in printed


def test_the_large_model_has_eight_billion_parameters():
    import torch

    from memorymark.records.config import TrainingConfig

    with torch.device("meta"):
        model = speed.llama_8b().build(TrainingConfig())
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(8.03e9, rel=0.01)


def test_every_timed_model_exists():
    assert [resolve(model).name for model in speed.MODELS] == list(speed.MODELS)
    assert set(speed.TASKS) >= {f"estimate {model}" for model in speed.MODELS}
