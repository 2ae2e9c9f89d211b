import pytest
import torch
from torch import nn

from memorymark.memory.gradients import check_gradients
from memorymark.memory.tracker import MemoryTracker


def trained(device="cpu"):
    model = nn.Sequential(nn.Linear(4, 4, device=device), nn.Linear(4, 2, device=device))
    model(torch.ones(3, 4, device=device)).sum().backward()
    return model


def test_a_faultless_backward_pass():
    check = check_gradients(trained())
    assert check.trainable_parameters == check.with_gradient == 4
    assert check.gradient_bytes == check.trainable_bytes == 4 * (20 + 10)
    assert check.finite is True and check.missing == ()


def test_missing_gradients_are_named():
    model = trained()
    model[1].weight.grad = None
    check = check_gradients(model)
    assert check.missing == ("1.weight",) and check.with_gradient == 3
    assert check.gradient_bytes < check.trainable_bytes


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_gradients_that_are_not_finite(value):
    model = trained()
    model[0].bias.grad[2] = value
    assert check_gradients(model).finite is False


def test_frozen_parameters_do_not_count():
    model = trained()
    model[0].requires_grad_(False)
    assert check_gradients(model).trainable_parameters == 2


def test_without_data_it_is_unknown_whether_they_are_finite():
    assert check_gradients(trained("meta")).finite is None


def test_the_check_takes_next_to_no_memory():
    model = trained()
    with MemoryTracker("cpu") as tracker:
        check_gradients(model)
    assert tracker.peak_bytes <= 16
