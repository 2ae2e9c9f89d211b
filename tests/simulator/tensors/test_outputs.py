"""Outputs without data are as large as those of the kernels on tensors with data."""

import pytest
import torch
from torch.nn import functional

from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.device import SimulatedDevice
from memorymark.simulator.session import simulating
from memorymark.simulator.tensors.shapes import ShapeCache

LOSSES = {
    "mse": functional.mse_loss,
    "smooth-l1": functional.smooth_l1_loss,
    "huber": functional.huber_loss,
    "l1": functional.l1_loss,
    "soft-margin": functional.soft_margin_loss,
    "bce": functional.binary_cross_entropy,
    "weighted-bce": lambda x, y, **options: functional.binary_cross_entropy(x, y, y, **options),
    "bce-logits": functional.binary_cross_entropy_with_logits,
}


@pytest.fixture
def session():
    with simulating(Rules(Platform.CPU)) as session, SimulatedDevice(session, ShapeCache()):
        yield session


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_has_the_storage_of_the_real_one(name, reduction, session):
    loss = LOSSES[name]
    real = loss(torch.rand(4, 6), torch.rand(4, 6), reduction=reduction)
    given = (torch.empty(4, 6, device="meta") for _ in range(2))
    found = loss(*given, reduction=reduction)
    assert found.shape == real.shape
    assert found.untyped_storage().nbytes() == real.untyped_storage().nbytes()


def test_alignments_are_as_wide_as_the_longest_target(session):
    steps, samples = 30, 4
    lengths = torch.full((samples,), steps), torch.tensor([5, 9, 3, 7])
    made = []
    for device in ("cpu", "meta"):
        scores = torch.rand(steps, samples, 20, device=device).log_softmax(-1)
        targets = torch.randint(1, 20, (samples, 9), device=device)
        made.append(torch.ops.aten._ctc_loss(scores, targets, *lengths))
    assert [x.shape for x in made[0]] == [x.shape for x in made[1]]
