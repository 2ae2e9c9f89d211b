import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from plain_training import prepared


def test_it_is_the_plain_loop_step_by_step(tmp_path, monkeypatch):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    text = tmp_path / "text.txt"
    text.write_text("Now is the winter of our discontent made glorious summer.\n" * 60)
    try:
        found = prepared(text, 5)
    finally:
        torch.set_num_threads(threads)
    assert found["equal_losses"] == found["steps"] == 5
    assert found["ratio"] > 0 and found["eval_loss"] > 0
