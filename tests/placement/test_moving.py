"""Models move with ties and hooks kept, to memory without data and back to real memory."""

import pytest
import torch
from torch import nn

from memorymark.memory.storage import storage_key
from memorymark.placement.moving import move_module, tensors_of
from memorymark.training.tracked import live_bytes_of

META, CPU = torch.device("meta"), torch.device("cpu")


class Tied(nn.Module):
    """Ties in every form that people write them."""

    def __init__(self):
        super().__init__()
        self.wte = nn.Embedding(50, 8)
        self.lm_head = nn.Linear(8, 50, bias=False)
        self.wte.weight = self.lm_head.weight
        self.view = nn.Parameter(self.wte.weight.data.view(8, 50))
        self.of_list = nn.ParameterList([self.wte.weight, nn.Parameter(torch.zeros(3))])
        self.slice = nn.Parameter(self.wte.weight.detach()[10:20])
        self.register_buffer("cache", torch.arange(6.0))
        self.register_buffer("same_cache", self.cache)
        self.register_buffer("part_of_cache", self.cache[2:])
        self.register_buffer("frozen_view", self.wte.weight.detach())
        self.plain = torch.ones(4)
        self.plain_tie = self.wte.weight.data


def groups(model):
    """Which tensors share a storage, by their place in the model."""
    named = [*model.named_parameters(remove_duplicate=False),
             *model.named_buffers(remove_duplicate=False),
             ("plain", model.plain), ("plain_tie", model.plain_tie)]  # fmt: skip
    by_storage = {}
    for name, tensor in named:
        by_storage.setdefault(storage_key(tensor), set()).add(name)
    return sorted(map(sorted, by_storage.values()))


def test_the_same_storages_are_shared_before_and_after():
    model = Tied()
    before = groups(model)
    places = {name: (p.shape, p.stride(), p.storage_offset(), p.dtype, p.requires_grad)
              for name, p in model.named_parameters()}  # fmt: skip
    same = {name: id(p) for name, p in model.named_parameters()}
    move_module(model, META)
    assert all(tensor.is_meta for tensor in tensors_of(model))
    assert groups(model) == before and len(before) == 4
    assert places == {
        name: (p.shape, p.stride(), p.storage_offset(), p.dtype, p.requires_grad)
        for name, p in model.named_parameters()
    }
    assert same == {name: id(p) for name, p in model.named_parameters()}
    assert model.view.untyped_storage().nbytes() == 50 * 8 * 4


def test_to_real_memory_and_back_the_same_storages_are_shared():
    with META:
        model = Tied()
    before = groups(model)
    assert move_module(model, CPU) is True
    assert not any(tensor.is_meta for tensor in tensors_of(model))
    assert groups(model) == before
    assert all(tensor.isfinite().all() for tensor in tensors_of(model))


def test_what_has_data_keeps_it():
    model = nn.Linear(3, 3)
    values = model.weight.detach().clone()
    assert move_module(model, CPU) is False
    assert torch.equal(model.weight, values)


def test_modules_give_values_by_their_own_rule():
    with META:
        model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.LayerNorm(4))
    move_module(model, CPU)
    assert model[0].weight.abs().max() <= 0.5
    assert torch.equal(model[1].running_mean, torch.zeros(4))
    assert torch.equal(model[2].weight, torch.ones(4))


@pytest.mark.parametrize("referenced_weakly", [False, True])
def test_hooks_go_with_their_parameters(referenced_weakly):
    import weakref

    called = []
    model = nn.Linear(2, 2, bias=False)
    model.weight.note = "the user's"
    held = weakref.ref(model.weight) if referenced_weakly else None
    model.weight.register_hook(lambda gradient: called.append("gradient"))
    removed = model.weight.register_hook(lambda gradient: called.append("removed"))
    model.weight.register_post_accumulate_grad_hook(lambda p: called.append(p is model.weight))
    move_module(model, META)
    removed.remove()
    model(torch.ones(1, 2, device=META)).sum().backward()
    assert called == ["gradient", True] and model.weight.grad.is_meta
    assert model.weight.note == "the user's"
    del held


def test_gradients_move_too():
    model = nn.Linear(2, 2)
    model(torch.ones(1, 2)).sum().backward()
    move_module(model, META)
    assert model.weight.grad.is_meta and model.weight.grad.shape == (2, 2)


def test_a_kind_of_parameter_of_the_users_stays_one():
    class Own(nn.Parameter):
        pass

    model = nn.Linear(2, 2)
    model.weight = Own(torch.ones(2, 2))
    move_module(model, META)
    assert type(model.weight) is Own and model.weight.is_meta


def test_shared_storages_count_once():
    model = Tied()
    shared, buffer, plain = 50 * 8 * 4, 6 * 4, 3 * 4
    assert live_bytes_of(model) == shared + buffer + plain
    move_module(model, META)
    assert live_bytes_of(model) == shared + buffer + plain
