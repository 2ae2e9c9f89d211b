"""Ctrl-C and kill, in a process of its own, on a workload slow enough to be hit."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import FakeProbe, FakeWorkload
from leases import is_held

from memorymark.analysis.analyze import analyze_on
from memorymark.errors import Cancelled
from memorymark.records.config import TrainingConfig
from memorymark.records.event import Event, EventKind

ROOT = Path(__file__).resolve().parents[2]
WORKLOAD = """
    import time, torch
    from torch import nn

    def make_batch(batch_size):
        return torch.rand(batch_size, 64)

    def loss(model, batch):
        time.sleep(0.2)
        return model(batch).square().mean()

    def slow():
        return nn.Linear(64, 64), make_batch, loss
"""

Running = subprocess.Popen[str]


@pytest.fixture
def analysis(tmp_path: Path) -> Iterator[Running]:
    """An analysis that has finished a trial and is in the next one."""
    (tmp_path / "slow_workload.py").write_text(textwrap.dedent(WORKLOAD))
    words = shlex.split("analyze slow_workload:slow --device cpu --memory-budget 1GiB --json")
    running = subprocess.Popen(
        [sys.executable, "-m", "memorymark", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MEMORYMARK_HOME": str(tmp_path / "home")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    seen = ""
    while "samples/s" not in seen:
        line = running.stderr.readline()
        assert line, f"The analysis ended early: {seen}"
        seen += line
    yield running
    running.kill()
    running.communicate()


def test_ctrl_c_ends_cleanly_with_a_partial_result(analysis: Running, tmp_path: Path) -> None:
    analysis.send_signal(signal.SIGINT)
    out, err = analysis.communicate(timeout=20)
    assert analysis.returncode == 130
    assert "Partial result" in err and "Traceback" not in err
    assert '"complete": false' in out
    assert not is_held("cpu:0", tmp_path / "home" / "locks")


def test_a_trial_that_was_told_of_is_kept() -> None:
    def interrupt(event: Event) -> None:
        if event.kind is EventKind.TRIAL_FINISHED:
            raise KeyboardInterrupt

    with pytest.raises(Cancelled) as stopped:
        analyze_on(FakeProbe(), FakeWorkload(), TrainingConfig(), on_event=interrupt)
    assert len(stopped.value.partial.trials) == 1


def test_kill_leaves_no_lock(analysis: Running, tmp_path: Path) -> None:
    folder = tmp_path / "home" / "locks"
    assert is_held("cpu:0", folder)
    analysis.kill()
    analysis.wait(timeout=20)
    time.sleep(0.1)
    assert not is_held("cpu:0", folder)
