"""The tracker counts each live storage once, from its allocation to its release."""

from itertools import accumulate

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from memorymark.errors import IncompatibleTorch, OutOfMemory
from memorymark.memory import torch_parts
from memorymark.memory.tracker import MemoryTracker

MIB = 1024**2
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["new", "view", "clone", "add", "in-place", "split", "delete"]),
        st.integers(0, 2000),
    ),
    max_size=40,
)


def act(held, action, number):
    """Do one thing with the tensors that are held."""
    chosen = held[number % len(held)] if held else None
    if action == "new" or chosen is None:
        held.append(torch.empty(number, dtype=torch.uint8))
    elif action == "view":
        held.append(chosen.view(-1)[: number % (chosen.numel() + 1)])
    elif action == "clone":
        held.append(chosen.clone())
    elif action == "add":
        held.append(chosen + 1)
    elif action == "in-place":
        chosen.add_(1)
    elif action == "split":
        held.extend(chosen.chunk(2))
    else:
        held.pop(number % len(held))


def bytes_of(held):
    return sum({x.untyped_storage()._cdata: x.untyped_storage().nbytes() for x in held}.values())


@settings(max_examples=60, deadline=None)
@given(ACTIONS)
def test_live_bytes_are_those_of_distinct_live_storages(actions):
    held, highest = [], 0
    with MemoryTracker("cpu") as tracker:
        for action, number in actions:
            act(held, action, number)
            assert tracker.live_bytes == bytes_of(held)
            highest = max(highest, tracker.live_bytes)
    assert highest <= tracker.peak_bytes
    running = list(accumulate(size for _, size in tracker.trace.events))
    assert tracker.peak_bytes == max(running, default=0)
    assert tracker.live_bytes == (running[-1] if running else 0)
    held.clear()
    assert tracker.live_bytes == 0
    allocated = [block for block, size in tracker.trace.events if size > 0]
    released = [block for block, size in tracker.trace.events if size < 0]
    assert sorted(allocated) == sorted(released) == list(range(len(tracker.trace.blocks)))


@settings(max_examples=40, deadline=None)
@given(ACTIONS, st.integers(100, 5000))
def test_a_budget_is_never_exceeded_in_silence(actions, budget):
    held, unlimited = [], []
    with MemoryTracker("cpu") as free:
        for action, number in actions:
            act(unlimited, action, number)
    tracker = MemoryTracker("cpu", budget_bytes=budget)
    raised = False
    with tracker:
        try:
            for action, number in actions:
                act(held, action, number)
        except OutOfMemory:
            raised = True
    assert raised == (free.peak_bytes > budget)


def test_a_large_operation_is_refused_before_it_runs():
    ran = []

    class Watching(MemoryTracker):
        def see(self, output, func):
            ran.append(func)
            super().see(output, func)

    x = torch.zeros(2 * MIB, dtype=torch.uint8)
    with (
        Watching("cpu", budget_bytes=3 * MIB) as tracker,
        pytest.raises(OutOfMemory) as caught,
    ):
        tracker.add([("x", x)], "inputs")
        x + 1
    assert ran == []
    assert caught.value.requested_bytes == 2 * MIB
    assert caught.value.in_use_bytes == 2 * MIB and caught.value.capacity_bytes == 3 * MIB


def test_what_existed_before_is_counted_when_it_is_named():
    layer = nn.Linear(10, 10)
    with MemoryTracker("cpu") as tracker:
        tracker.add(layer.named_parameters(), "parameters")
        tracker.add(layer.named_parameters(), "parameters")
    assert tracker.live_bytes == 440
    assert {block.owner for block in tracker.trace.blocks} == {"weight", "bias"}


def test_other_devices_are_left_out():
    with MemoryTracker("cpu") as tracker:
        torch.empty(10, device="meta")
    assert tracker.trace.events == []


def test_borrowed_memory_is_given_back_once_asked():
    tracker = MemoryTracker("cpu")
    give_back = tracker.borrow(100, "workspaces", "scratch")
    assert tracker.live_bytes == tracker.peak_bytes == 100
    give_back()
    assert tracker.live_bytes == 0 and tracker.peak_bytes == 100
    tracker.reset_peak()
    assert tracker.peak_bytes == 0


def test_blocks_know_their_phase_and_module():
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU()))
    tracker = MemoryTracker("cpu")
    tracker.watch(model)
    with tracker:
        tracker.add(model.named_parameters(), "parameters")
        tracker.begin_phase("forward")
        kept = model(torch.ones(2, 4))
    tracker.unwatch()
    made = [(block.phase, block.path) for block in tracker.trace.blocks]
    assert made[:2] == [("setup", "")] * 2
    assert made[2:] == [("forward", ""), ("forward", "0"), ("forward", "1.0")]
    with tracker:
        again = model(kept)
    assert tracker.trace.blocks[-1].path == "" and again.shape == (2, 4)


def test_sparse_tensors_do_no_harm():
    with MemoryTracker("cpu") as tracker:
        torch.eye(3).to_sparse()
    assert tracker.live_bytes == 0


def test_what_is_released_after_the_end_is_left_out():
    with MemoryTracker("cpu") as tracker:
        x = torch.empty(10)
    tracker.stop()
    del x
    assert tracker.live_bytes == 40 and len(tracker.trace.events) == 1


def test_the_first_tracker_names_what_torch_lacks(monkeypatch):
    names = ("UntypedStorage._no_data", "ops.aten.add.Tensor._schema.is_mutable")
    monkeypatch.setattr(torch_parts, "_RELIED_ON", names)
    torch_parts.check.cache_clear()
    with pytest.raises(IncompatibleTorch, match=r"lacks .*torch\.UntypedStorage\._no_data\."):
        MemoryTracker("cpu")
    monkeypatch.undo()
    MemoryTracker("cpu")
