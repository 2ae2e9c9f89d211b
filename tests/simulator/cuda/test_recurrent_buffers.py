"""oneDNN's workspace is as large as oneDNN says."""

import pytest
import torch

from memorymark.simulator.cuda.recurrent_buffers import mkldnn_workspace_bytes

SHAPES = [
    (32, 64, 40, 16), (32, 64, 1, 1), (100, 64, 10, 3), (32, 100, 10, 3), (200, 256, 10, 3),
    (512, 512, 10, 8), (7, 5, 3, 2), (256, 64, 9, 5), (123, 320, 12, 4),
]  # fmt: skip


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN")
@pytest.mark.parametrize(("inputs", "hidden", "steps", "samples"), SHAPES)
def test_workspace(inputs, hidden, steps, samples):
    weights = [torch.zeros(4 * hidden, size) for size in (inputs, hidden)]
    biases = [torch.zeros(4 * hidden) for _ in range(2)]
    states = [torch.zeros(samples, hidden) for _ in range(2)]
    workspace = torch.mkldnn_rnn_layer(
        torch.zeros(steps, samples, inputs), *weights, *biases, *states,
        False, [], 2, hidden, 1, True, False, False, True,
    )[3]  # fmt: skip
    assert mkldnn_workspace_bytes(inputs, hidden, steps, samples) == workspace.numel()
