"""What the code around has set is suspended, as far as this torch has the parts for it."""

import pytest
import torch
from tiny import TinyNet
from torch.overrides import TorchFunctionMode

from memorymark.gpus.catalogue import find_gpu
from memorymark.memory import torch_parts
from memorymark.memory.ambient import staying_ambient, without_ambient
from memorymark.probes.simulated import SimulatedProbe
from memorymark.records.config import TrainingConfig
from memorymark.workloads.trial_spec import TrialSpec


class Counting(TorchFunctionMode):
    calls = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.calls += 1
        return func(*args, **(kwargs or {}))


def pack(tensor):
    raise AssertionError("nothing of the engine's is saved by the hooks of the code around")


def test_modes_and_hooks_come_back_in_their_order():
    x = torch.ones(2, requires_grad=True)
    with (
        Counting() as outer,
        Counting() as inner,
        torch.autograd.graph.saved_tensors_hooks(pack, pack),
    ):
        before = outer.calls, inner.calls
        with without_ambient():
            (x * x).sum().backward()
        assert (outer.calls, inner.calls) == before
        assert torch_parts.take_function_modes() == [inner, outer]
        torch_parts.put_function_modes([inner, outer])
        with pytest.raises(AssertionError):
            x * x
    assert inner.calls and outer.calls
    assert staying_ambient() is None


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (torch._C, "_EnableTorchFunction"),
        (torch._C._autograd, "_top_saved_tensors_default_hooks"),
        (torch._functorch.pyfunctorch, "temporarily_clear_interpreter_stack"),
    ],
)
def test_a_torch_without_a_part_says_what_stays(monkeypatch, owner, name):
    monkeypatch.delattr(owner, name)
    spec = TrialSpec(TinyNet(), TrainingConfig(), 4)
    with without_ambient():
        trial = SimulatedProbe(find_gpu("a100-40gb")).run_trial(spec)
    sentence = staying_ambient()
    assert name in sentence and torch.__version__ in sentence
    assert sentence in trial.assumptions
