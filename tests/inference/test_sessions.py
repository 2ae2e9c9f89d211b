"""Sessions that are held run out of memory where those that are swapped go on."""

from __future__ import annotations

import time

import pytest
import torch
from tiny_models import decoder, prompt

from memorymark.errors import OutOfHostMemory, OutOfMemory
from memorymark.inference.host_store import ArrayStore
from memorymark.inference.inference_step import InferenceStep
from memorymark.inference.sessions import Sessions
from memorymark.inference.turns import ModelTurns
from memorymark.memory.tracker import MemoryTracker
from memorymark.records.serving_config import ServingConfig
from memorymark.records.session_run import Act, Reading, SessionPlan

BUDGET = 1_200_000


class Host:
    """The CPU under a budget, as sessions see it."""

    def __init__(self, tracker, budget, host_bytes=None):
        self.tracker, self.capacity_bytes = tracker, budget
        self.store = ArrayStore(host_bytes)

    def allocated_bytes(self):
        return self.tracker.live_bytes

    def lost_bytes(self):
        return 0

    def taken_bytes(self):
        return self.tracker.live_bytes

    def spare_bytes(self, sizes, beside_bytes):
        return beside_bytes + max(sizes, default=0)

    def run(self, act, work):
        self.tracker.reset_peak()
        start = time.perf_counter()
        work()
        seconds = time.perf_counter() - start
        held, most = self.tracker.live_bytes, self.tracker.peak_bytes
        return Reading(seconds=seconds, allocated_bytes=held, peak_bytes=most)


def run(policy, sessions=20, budget=BUDGET, host_bytes=None, seed=0, **plan):
    """Run sessions; return them, their last tokens, and how they ended."""
    model = decoder("llama")
    config = ServingConfig(weights="fp32", context_tokens=70, output_tokens=6, policy=policy)
    generator = torch.Generator().manual_seed(seed)

    def make_prompt():
        ids = torch.randint(1, 100, (1, config.prompt_tokens), generator=generator)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    tracker = MemoryTracker("cpu", budget_bytes=budget)
    plan = SessionPlan(sessions=sessions, turns=3, **plan)
    ended = None
    with tracker:
        tracker.add(model.named_parameters(), "parameters")
        place = Host(tracker, budget, host_bytes)
        turns = ModelTurns(InferenceStep(model, config), make_prompt, plan.pause_layer)
        ran = Sessions(turns, config, place, plan)
        try:
            ran.run()
        except OutOfMemory as error:
            ended = error
    return ran, place, ended


def tokens(ran):
    return [int(session.state.generation.token) for session in ran._sessions]


@pytest.mark.parametrize("pause_layer", [None, 1])
def test_what_is_held_ends_and_what_is_swapped_goes_on(pause_layer):
    held, _, ended = run("hold", pause_layer=pause_layer)
    assert isinstance(ended, OutOfMemory) and held.completed == 0 and not held.swaps
    swapped, place, ended = run("swap", pause_layer=pause_layer)
    assert ended is None and swapped.completed == 20
    assert max(event.peak_bytes for event in swapped.events) <= BUDGET
    assert place.store.held_bytes > 0 and place.store.held_bytes % 1 == 0


def test_the_first_that_does_not_fit_is_the_one_that_arithmetic_says():
    held, _, _ = run("hold")
    weights = held.events[0].allocated_bytes - held.state_bytes
    beside = max(event.peak_bytes - event.allocated_bytes for event in held.events[:3])
    fit = (BUDGET - weights - beside) // held.state_bytes
    assert abs(held.served - fit) <= 1
    swapped, _, _ = run("swap")
    first = next(i for i, e in enumerate(swapped.events) if e.act is Act.SWAP_OUT)
    assert abs(swapped.events[first + 1].session - 1 - fit) <= 1


@pytest.mark.parametrize("pause_layer", [None, 2])
def test_swapping_changes_no_token(pause_layer):
    alone, _, _ = run("hold", budget=None, pause_layer=pause_layer)
    swapped, _, _ = run("swap", pause_layer=pause_layer)
    assert len(swapped.swaps) > 20 and tokens(swapped)[10:] == tokens(alone)[10:]


def test_bytes_of_a_swap_are_those_of_the_cache():
    swapped, _, _ = run("swap")
    # layers 3, heads of keys 2, size 16, keys and values, 4 bytes
    token = 3 * 2 * 16 * 2 * 4
    sizes = {swap.bytes for swap in swapped.swaps}
    assert sizes <= {token * length for length in range(64, 71)}
    assert all(swap.seconds > 0 for swap in swapped.swaps)


def test_few_sessions_never_swap():
    swapped, _, ended = run("swap", sessions=4)
    assert ended is None and not swapped.swaps and swapped.completed == 4


def test_the_hosts_memory_is_a_limit_too():
    swapped, _, ended = run("swap", host_bytes=200_000)
    assert isinstance(ended, OutOfHostMemory) and swapped.completed == 0


def test_sessions_whose_turns_overlap_are_there_together():
    swapped, _, ended = run("swap", active=3)
    assert ended is None and swapped.completed == 20
    acts = [(event.act, event.session) for event in swapped.events if event.turn == 1]
    started = [session for act, session in acts if act is Act.PREFILL]
    assert started == list(range(1, 21))
    first = [act for act, session in acts if session <= 3]
    assert first[:3] == [Act.PREFILL] * 3


def test_turns_share_the_tokens():
    swapped, _, _ = run("swap", sessions=2)
    lengths = {session.state.generation.length for session in swapped._sessions}
    assert lengths == {70}
    counts = [sum(e.act is Act.DECODE and e.turn == t for e in swapped.events) for t in (1, 2, 3)]
    assert counts == [2 * 1, 2 * 2, 2 * 2]


def test_a_window_takes_what_it_is_cut_from():
    """What a session holds is what the device has for it: a view keeps all of its storage."""
    model = decoder("mistral")
    config = ServingConfig(weights="fp32", context_tokens=70, output_tokens=6)
    plan = SessionPlan(sessions=1, turns=1)
    tracker = MemoryTracker("cpu")
    with tracker:
        tracker.add(model.named_parameters(), "parameters")
        turns = ModelTurns(InferenceStep(model, config), lambda: prompt(64, 1))
        before = tracker.live_bytes
        ran = Sessions(turns, config, Host(tracker, None), plan)
        ran.run()
        held = tracker.live_bytes - before
    mask, token = 70 * 8, 8
    assert ran.state_bytes == held - mask - token


@pytest.mark.parametrize("pause_layer", [None, 0, 2])
def test_swapping_goes_on_wherever_one_session_and_its_pass_fit(pause_layer):
    """From the least budget in which one session alone comes to its end, in steps up from there."""
    alone, _, _ = run("hold", sessions=1, budget=None, pause_layer=pause_layer)
    least = max(event.peak_bytes for event in alone.events)
    masks = 6 * 2 * 70 * 8  # which stay where they are
    for more in range(0, 200_000, 20_000):
        swapped, _, ended = run(
            "swap", sessions=6, budget=least + masks + more, pause_layer=pause_layer
        )
        assert ended is None and swapped.completed == 6
    swapped, _, ended = run("swap", sessions=6, budget=least - 1, pause_layer=pause_layer)
    assert isinstance(ended, OutOfMemory) and swapped.current == 1


def test_a_move_that_finds_no_room_on_the_host_is_none():
    swapped, place, ended = run("swap", host_bytes=10_000)
    assert isinstance(ended, OutOfHostMemory) and not swapped.swaps
    assert swapped.first_swap_session is None and place.store.held_bytes == 0
