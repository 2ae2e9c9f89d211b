"""The path of the module whose forward is running."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from memorymark.memory.modules import ModulePaths


class Noting(nn.Module):
    """Notes the current path, then runs what is inside."""

    def __init__(self, paths, seen, inner=None):
        super().__init__()
        self.inner = inner
        self._note = lambda: seen.append(paths.current)

    def forward(self, x):
        self._note()
        x = self.inner(x) if self.inner else x.sin()
        self._note()
        return x


@pytest.fixture
def watched():
    paths, seen = ModulePaths(), []
    inner = Noting(paths, seen)
    model = nn.Sequential(Noting(paths, seen, inner), nn.Identity())
    paths.watch(model)
    return paths, seen, model


def test_the_innermost_module_is_current(watched):
    paths, seen, model = watched
    model(torch.ones(1))
    assert seen == ["0", "0.inner", "0.inner", "0"]
    assert paths.current == ""


def test_a_forward_that_raises_is_left(watched):
    paths, _, model = watched
    model[0].inner.forward = lambda x: 1 / 0
    with pytest.raises(ZeroDivisionError):
        model(torch.ones(1))
    assert paths.current == ""


def test_a_forward_that_is_run_again_counts(watched):
    paths, seen, model = watched
    x = torch.ones(1, requires_grad=True)
    output = checkpoint(model, x, use_reentrant=False)
    seen.clear()
    output.sum().backward()
    assert seen[:2] == ["0", "0.inner"]
    paths.reset()
    assert paths.current == ""


def test_nothing_is_followed_any_more(watched):
    paths, seen, model = watched
    paths.unwatch()
    model(torch.ones(1))
    assert seen == [""] * 4
