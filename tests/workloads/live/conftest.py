"""What the tests of whole checks share: a home of their own, and one thread."""

import pytest
import torch


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMORYMARK_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MEMORYMARK_PROBE_FACTORY", raising=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small steps: threads would only wait for one another
    yield
    torch.set_num_threads(threads)
