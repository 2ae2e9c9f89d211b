import copy

import pytest
import torch
from tiny import TinyNet, tiny_bert
from torch import nn

from memorymark.errors import WorkloadError
from memorymark.records.config import TrainingConfig
from memorymark.workloads.build import build_model, make_batch
from memorymark.workloads.checkpointing import checkpoint_blocks
from memorymark.workloads.trial_spec import TrialSpec

CPU = torch.device("cpu")


def blocks_of(count):
    return [nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8)) for _ in range(count)]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(8, 8)
        self.blocks = nn.Sequential(*blocks_of(3))
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x))).square().mean()


def counted(model):
    calls = []
    for block in model.blocks:
        block[0].register_forward_hook(lambda *_: calls.append(1))
    return calls


@pytest.mark.parametrize("training", [True, False])
def test_the_same_loss_and_gradients(training):
    plain = Net().train(training)
    recomputing = copy.deepcopy(plain)
    checkpoint_blocks(recomputing, "net")
    calls, x = counted(recomputing), torch.rand(4, 8)
    losses = [model(x) for model in (plain, recomputing)]
    assert torch.equal(*losses) and len(calls) == 3
    for loss in losses:
        loss.backward()
    assert len(calls) == 6  # each block ran once more
    for one, other in zip(plain.parameters(), recomputing.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_a_model_that_brings_its_own():
    losses, torch_seed = [], 3
    for checkpointing in (False, True):
        config = TrainingConfig(seq_len=8, gradient_checkpointing=checkpointing)
        torch.manual_seed(torch_seed)
        workload = tiny_bert()
        model = build_model(workload, config, CPU)
        loss, _ = workload.forward(model, make_batch(TrialSpec(workload, config, 2), CPU))
        loss.backward()
        losses.append((loss, [parameter.grad for parameter in model.parameters()]))
    torch.testing.assert_close(*losses)


def test_a_model_without_blocks():
    with pytest.raises(WorkloadError, match="no repeated blocks"):
        build_model(TinyNet(), TrainingConfig(gradient_checkpointing=True), CPU)
