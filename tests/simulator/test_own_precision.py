"""The user's own regions of mixed precision and modes count, without an option."""

import pytest
import torch
from own import measured, simulated
from torch import nn
from torch.nn import functional

from memorymark.simulator.session import AUTOCAST_SLOT

WIDTH = 64


def model_of():
    return nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH))


def pixels(batch_size):
    return torch.rand(batch_size, WIDTH)


def plain():
    return model_of(), pixels, lambda model, x: functional.mse_loss(model(x), x)


def region(make):
    def factory():
        def loss(model, x):
            with make():
                return functional.mse_loss(model(x), x)

        return model_of(), pixels, loss

    return factory


def taken(factory, **options):
    """What the steps allocate, and the most that they hold."""
    steps = simulated(factory, 8, cuda=True, **options)
    blocks = [(block.size_bytes, block.phase) for block in steps.trace.blocks]
    return blocks, steps.free_running.peak_allocated_bytes


@pytest.mark.parametrize("make", [
    lambda: torch.autocast("cuda", dtype=torch.bfloat16),
    lambda: torch.amp.autocast("cuda", torch.bfloat16),
    lambda: torch.autocast(device_type="cuda", dtype=torch.bfloat16),
    lambda: torch.cuda.amp.autocast(dtype=torch.bfloat16),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore:.torch.cuda.amp.autocast")
def test_a_region_of_the_users_counts_as_the_option_does(make):
    assert taken(region(make)) == taken(plain, precision="amp-bf16") != taken(plain)


def test_without_a_type_the_region_is_in_fp16():
    seen = []

    def factory():
        def loss(model, x):
            with torch.autocast("cuda"):
                y = model(x)
            seen.append((y.dtype, torch.get_autocast_dtype("cuda"), torch.is_autocast_enabled()))
            return y.float().mean()

        return model_of(), pixels, loss

    before = torch.get_autocast_dtype(AUTOCAST_SLOT)
    simulated(factory, cuda=True)
    assert seen[0] == (torch.float16, torch.float16, False)
    assert torch.get_autocast_dtype(AUTOCAST_SLOT) is before
    assert not torch.is_autocast_enabled(AUTOCAST_SLOT)


def test_a_region_within_the_model():
    def factory():
        class Inner(nn.Module):
            def __init__(self):
                super().__init__()
                self.net = model_of()

            @torch.autocast("cuda", dtype=torch.bfloat16)
            def forward(self, x):
                seen.append(torch.is_autocast_enabled("cuda"))
                return self.net(x)

        return Inner(), pixels, lambda model, x: model(x).float().mean()

    seen = []
    simulated(factory, cuda=True)
    assert seen == [True, True]


def test_frozen_parts_stay_as_the_user_left_them():
    def factory():
        model = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH), nn.Dropout())
        model[1].eval().requires_grad_(False)
        modes.append(model)
        return model, pixels, lambda model, x: model(x).square().mean()

    modes = []
    assert not simulated(factory).assumptions
    assert measured(factory).fits
    assert [[m.training for m in model] for model in modes[:1]] == [[True, False, True]]
    assert [m.training for m in modes[-1]] == [True, False, True]
    simulated(factory, dropout=False)
    assert [m.training for m in modes[-1]] == [False, False, False]


def test_a_model_left_in_eval_mode_is_trained_as_loops_do():
    def factory():
        return model_of().eval(), pixels, lambda model, x: model(x).square().mean()

    assert any("in eval mode; it is trained" in text for text in measured(factory).assumptions)
