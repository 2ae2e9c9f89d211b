"""Copies of what is live refer to one another, and to nothing that is live."""

import functools
import threading

import pytest
import torch
from torch import nn

from memorymark.errors import WorkloadError
from memorymark.placement.copies import Copies, is_of_a_library
from memorymark.placement.moving import Twins

META = torch.device("meta")
MODEL = nn.Linear(4, 4)


def copies():
    return Copies(Twins(META))


def reads_a_global():
    return MODEL.weight


def test_ties_hooks_modes_and_what_is_frozen_stay():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.BatchNorm1d(4).eval())
    model[1].weight = model[0].weight
    model[0].bias.requires_grad_(False)
    twin = copies().of(model)
    assert all(x.is_meta for x in (*twin.parameters(), *twin.buffers()))
    assert twin[1].weight is twin[0].weight is not model[0].weight
    assert [p.requires_grad for p in twin.parameters()] == [
        p.requires_grad for p in model.parameters()
    ]
    assert [part.training for part in twin.modules()] == [part.training for part in model.modules()]
    assert not any(p.is_meta for p in model.parameters())


def test_closures_global_names_methods_and_partials_lead_to_the_copies():
    made, local = copies(), nn.Linear(2, 2)
    twin, other = made.of(MODEL), made.of(local)

    def closed():
        return local.weight

    def defaulted(model=local):
        return model.weight

    functions = {
        closed: other, defaulted: other, reads_a_global: twin,
        functools.partial(nn.Linear.forward, local): None, local.forward: None,
        (lambda: closed()): other, (lambda: reads_a_global()): twin,
    }  # fmt: skip
    for function, module in functions.items():
        copied = made.of(function)
        if module is None:
            assert copied(torch.empty(1, 2, device=META)).is_meta
        else:
            assert copied() is module.weight
    assert reads_a_global() is MODEL.weight and closed() is local.weight


def test_hooks_lead_to_the_copies():
    model, seen = nn.Linear(2, 2), []
    model.register_forward_hook(lambda module, args, output: seen.append(model))
    model.weight.register_hook(lambda gradient: seen.append("gradient"))
    model.bias.register_post_accumulate_grad_hook(lambda p: seen.append("accumulated"))
    made = copies()
    twin, copied = made.of(model), made.of(seen)
    twin(torch.empty(1, 2, device=META)).sum().backward()
    assert seen == [] and copied[0] is twin
    assert sorted(copied[1:]) == ["accumulated", "gradient"]


def test_an_optimizer_has_the_parameters_groups_and_states_of_the_copy():
    model = nn.Linear(2, 2)
    optimizer = torch.optim.AdamW([{"params": [model.weight]}, {"params": [model.bias], "lr": 7}])
    torch.optim.lr_scheduler.StepLR(optimizer, 1)
    model(torch.rand(1, 2)).sum().backward()
    optimizer.step()
    made = copies()
    twin = made.of(model)
    copied = made.of(optimizer)
    assert [group["params"] for group in copied.param_groups] == [[twin.weight], [twin.bias]]
    assert copied.param_groups[1]["lr"] == 7 and set(copied.state) == {twin.weight, twin.bias}
    assert copied.state[twin.weight]["exp_avg"].is_meta
    before = optimizer.state[model.weight]["step"].clone()
    copied.step()
    assert optimizer.state[model.weight]["step"] == before


def test_more_copies_anew_all_but_modules_and_parameters():
    model = nn.Linear(2, 2)
    made, held = copies(), [model, {}]
    first = made.of(held)
    second = made.more(Twins(META)).of(held)
    assert second is not first and second[0] is first[0] and second[1] is not first[1]


def test_generators_are_not_drawn_from():
    generator = torch.Generator().manual_seed(4)
    before = generator.get_state()
    copied = copies().of(generator)
    assert torch.equal(
        torch.rand(3, generator=copied), torch.rand(3, generator=generator.clone_state())
    )
    assert torch.equal(generator.get_state(), before)


class Holder(nn.Module):
    def __init__(self):
        super().__init__()
        self.lock, self.layer = threading.Lock(), nn.LSTM(2, 2)
        self.table, self.me = {"nested": [torch.ones(3)]}, [self]


def test_what_has_no_copy_is_shared_and_circles_are_closed():
    holder = Holder()
    twin = copies().of(holder)
    assert twin.lock is holder.lock and twin.me[0] is twin
    assert twin.table["nested"][0].is_meta and not holder.table["nested"][0].is_meta
    output, _ = twin.layer(torch.empty(1, 1, 2, device=META))
    assert output.is_meta


def test_a_script_module_is_refused():
    with pytest.warns(FutureWarning), pytest.raises(WorkloadError, match="TorchScript"):
        copies().of(torch.jit.script(nn.Linear(2, 2)))


@pytest.mark.parametrize(("module", "expected"), [
    ("torch.nn", True), ("collections", True), ("transformers.models", True), ("pytest", True),
    ("__main__", False), (__name__, False), (None, False),
])  # fmt: skip
def test_libraries_are_told_from_the_users_code(module, expected):
    assert is_of_a_library(module) is expected
