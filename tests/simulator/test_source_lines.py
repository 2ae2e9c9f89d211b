"""The line that is named is the model's."""

import torch
from torch import nn

from memorymark.simulator.source_lines import running_line


class Asking(nn.Module):
    def forward(self, x):
        return running_line()


def test_the_line_is_that_of_the_model():
    assert "test_source_lines.py" in Asking()(torch.zeros(1))
    assert "return running_line()" in Asking()(torch.zeros(1))


def test_lines_of_torch_are_passed_over():
    found = []
    layer = nn.Linear(1, 1)
    layer.register_forward_hook(lambda *args: found.append(running_line()))
    layer(torch.zeros(1))
    assert "found.append" in found[0]
