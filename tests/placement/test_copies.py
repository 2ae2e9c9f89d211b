"""Copies of what is live refer to one another, and to nothing that is live."""

import functools
import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from memorymark.errors import WorkloadError
from memorymark.memory.storage import storage_key
from memorymark.placement.copies import Copies, copied, original_of
from memorymark.placement.moving import Twins, tensors_of
from memorymark.placement.ownership import Clones

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


def network():
    """A network that was trained a step, with a tie and a frozen parameter."""
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    model[1].weight.requires_grad_(False)
    model.extra = model[0].weight.data[1:]
    model(torch.rand(2, 4)).sum().backward()
    return model


@pytest.mark.parametrize("twins", [Twins(META), Clones()], ids=["meta", "clones"])
def test_copies_keep_ties_and_structure(twins):
    model = network()
    twin = copied(model, twins)
    assert original_of(twin) is model and original_of(model) is None
    assert twin[2].weight is twin[0].weight
    assert storage_key(twin.extra) == storage_key(twin[0].weight)
    kinds = lambda m: [(n, x.shape, x.stride(), x.requires_grad)  # noqa: E731
                       for n, x in m.named_parameters()]  # fmt: skip
    assert kinds(twin) == kinds(model)
    assert all(x.grad is None for x in twin.parameters())
    assert {storage_key(x) for x in tensors_of(twin)}.isdisjoint(
        storage_key(x) for x in tensors_of(model)
    )
    if isinstance(twins, Clones):
        pairs = zip(tensors_of(twin), tensors_of(model), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_parametrized_models_are_copied():
    model = parametrizations.weight_norm(nn.Linear(4, 4))
    twin = copied(model, Twins(META))
    assert twin(torch.ones(2, 4, device="meta")).shape == (2, 4)


def test_a_compiled_model_stays_compiled_where_it_has_data():
    model = torch.compile(nn.Linear(4, 4), backend="eager")
    twin = copied(model, Clones())
    assert twin._orig_mod is not model._orig_mod and type(twin) is type(model)
    assert torch.equal(twin._orig_mod.weight, model._orig_mod.weight)
    assert type(copied(model, Twins(META))) is nn.Linear


@pytest.mark.parametrize("twins", [Twins(META), Clones()], ids=["meta", "clones"])
def test_arrays_are_copied_and_large_ones_are_data(twins):
    model = nn.Linear(4, 4)
    model.running, model.images = np.zeros(8), np.zeros(100_000, dtype=np.uint8)
    twin = copied(model, twins)
    twin.running += 1
    assert not model.running.any() and twin.images is model.images
