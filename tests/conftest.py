"""What all tests share: the fakes are importable, and whole calls can have a home of their own."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

# A shell ignores Ctrl-C for what it starts in the background, and so would all processes of tests.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home of one's own, the engine's own probes, and one thread."""
    import torch

    monkeypatch.setenv("MEMORYMARK_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MEMORYMARK_PROBE_FACTORY", raising=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small steps: threads would only wait for one another
    yield
    torch.set_num_threads(threads)
