"""The benchmark of loops: one family for real, and what is said of others."""

from __future__ import annotations

import sys

import loops
import pytest


@pytest.mark.parametrize("loop", loops.LOOPS)
def test_a_family_is_alike(loop):
    spec = loops.spec_of("GPTBigCode", loop, "auto")
    assert loops.real_peak_bytes(spec) == loops.simulated_peak_bytes(spec)


@pytest.mark.parametrize(("difference", "code"), [(0, 0), (4, 1)])
def test_a_difference_is_said(difference, code, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["loops.py", "--only", "GPTBigCode"])
    monkeypatch.setattr(loops, "real_peak_bytes", lambda spec: 1000)
    monkeypatch.setattr(loops, "simulated_peak_bytes", lambda spec: 1000 - difference)
    assert loops.main() == code
    line, last = capsys.readouterr().out.splitlines()
    assert line.startswith("GPTBigCode") and line.count("1.00000" if code == 0 else "0.99600") == 4
    assert last.endswith(f"{1 - code} of 1 alike")


def test_every_family_has_a_configuration():
    for family in loops.FAMILIES:
        spec = loops.spec_of(family, loops.Loop.PLAIN, "auto")
        assert spec.config.task in ("causal-lm", "seq2seq-lm")
