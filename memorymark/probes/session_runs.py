"""Lets sessions take turns on a target: on the CPU, on a CUDA device, or simulated."""

from __future__ import annotations

import contextlib
import gc
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import torch
from torch import nn

from memorymark.bounds import cancel_check
from memorymark.errors import OutOfHostMemory, OutOfMemory, one_sentence
from memorymark.inference.host_store import HostStore
from memorymark.inference.inference_step import InferenceStep
from memorymark.inference.places import AcceleratorPlace, CpuPlace, Gauges
from memorymark.inference.sessions import Place, Sessions
from memorymark.inference.turns import ModelTurns
from memorymark.memory.oom import is_out_of_memory
from memorymark.memory.tracker import MemoryTracker
from memorymark.placement.collector import collector_off
from memorymark.probes.common import forget_frames, software
from memorymark.records.session_run import Act, OnSessionEvent, SessionEvent, SessionRun, unheard
from memorymark.records.trial import Target
from memorymark.training.runtime import DeviceRuntime
from memorymark.training.tracked import live_bytes_of
from memorymark.workloads.served_model import serving_model
from memorymark.workloads.serving_spec import ServingSpec, encoder_note

_MOVES = (Act.SWAP_OUT, Act.SWAP_IN)
_CPU = torch.device("cpu")


@dataclass
class Stopwatch:
    """When a run began.

    Attributes:
        began: By the clock that only goes on.
        created_at: In ISO 8601, UTC.
    """

    began: float = field(default_factory=time.perf_counter)
    created_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @property
    def seconds(self) -> float:
        """Seconds since then."""
        return time.perf_counter() - self.began


def session_run(
    spec: ServingSpec,
    target: Target,
    sessions: Sessions,
    ended: BaseException | None,
    watch: Stopwatch,
    weights_bytes: int,
    **known: Any,
) -> SessionRun:
    """Return the record of sessions that took their turns.

    Args:
        spec: What generated.
        target: What it ran on.
        sessions: What was done.
        ended: What ended it early; its frames are let go of.
        watch: When it began.
        weights_bytes: Bytes of the model.
        known: Other fields of the record, which stand in the place of what follows from events.
    """
    error = None if ended is None else one_sentence(ended)
    if ended is not None:
        forget_frames(ended)
    cache_bytes = sessions.state_bytes if sessions.completed else None
    events = tuple(sessions.events)
    peak = max((event.peak_bytes for event in events), default=None)
    found = {
        "cache_bytes_per_session": cache_bytes,
        "beside_bytes": beside_bytes(events, weights_bytes, cache_bytes or sessions.state_bytes),
        "capacity_bytes": target.capacity_bytes,
        "peak_allocated_bytes": peak,
        "timeline": events,
        "swaps": tuple(sessions.swaps),
    }
    return SessionRun(
        model=spec.workload.name,
        config=spec.config,
        plan=spec.plan,
        target=target,
        findings=tuple(filter(None, [encoder_note(spec.workload, spec.config.task)])),
        sessions_completed=sessions.completed,
        sessions_served=sessions.served,
        weights_bytes=weights_bytes,
        failed_session=None if ended is None else sessions.current,
        failed_on_host=isinstance(ended, OutOfHostMemory),
        first_swap_session=sessions.first_swap_session,
        error=error,
        elapsed_seconds=watch.seconds,
        software=software(),
        created_at=watch.created_at,
        **{**found, **known},
    )


def beside_bytes(
    events: tuple[SessionEvent, ...], weights_bytes: int, cache_bytes: int | None
) -> int:
    """Return the most that a pass took beside the weights and the caches at its end."""
    passes = [event for event in events if event.act not in _MOVES]
    first = [event for event in passes if event.session == 1 and event.turn == 1]
    alone = [event.peak_bytes - weights_bytes - (cache_bytes or 0) for event in first]
    within = [event.peak_bytes - event.allocated_bytes for event in passes]
    return max(*alone, *within, 0, 0)


def run_on_cpu(
    spec: ServingSpec,
    target: Target,
    host_bytes: int | None,
    on_event: OnSessionEvent = unheard,
) -> SessionRun:
    """Let sessions take their turns on the CPU, under the target's budget.

    Raises:
        MemoryMarkError: The workload cannot be built or fed.
    """
    watch, budget = Stopwatch(), target.capacity_bytes
    needed = live_bytes_of(serving_model(spec, torch.device("meta")))
    if budget is not None and needed > budget:
        return session_run(
            spec, target, _none(spec), OutOfMemory(needed, 0, budget), watch, needed,
            host_bytes=host_bytes,
        )  # fmt: skip
    model, runtime = serving_model(spec, _CPU), DeviceRuntime(_CPU)
    tracker = MemoryTracker("cpu", budget_bytes=budget, on_operation=cancel_check())
    with collector_off(), tracker, runtime.settings(spec.built_as):
        tracker.add(model.named_parameters(), "parameters")
        tracker.add(model.named_buffers(), "temporaries")
        weights_bytes = tracker.live_bytes
        place = CpuPlace(tracker, budget, host_bytes)
        sessions, ended = _turns_taken(spec, model, place, _CPU, on_event)
    tracker.stop()
    return session_run(spec, target, sessions, ended, watch, weights_bytes, host_bytes=host_bytes)


def run_on_accelerator(
    spec: ServingSpec,
    target: Target,
    device: torch.device,
    gauges: Gauges,
    store: HostStore,
    on_event: OnSessionEvent = unheard,
) -> SessionRun:
    """Let sessions take their turns on an accelerator.

    Args:
        spec: What generates, and how its sessions take turns.
        target: What it runs on.
        device: Where its tensors live.
        gauges: What is read of it.
        store: The host's memory beside it.
        on_event: Called with each event.

    Raises:
        MemoryMarkError: The workload cannot be built or fed.
    """
    watch = Stopwatch()
    before = gauges.allocated_bytes()
    try:
        model = serving_model(spec, device)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return session_run(spec, target, _none(spec), error, watch, 0)
    weights_bytes = gauges.allocated_bytes() - before
    place = AcceleratorPlace(gauges, store, gauges.usable_bytes())
    with DeviceRuntime(device).settings(spec.built_as):
        sessions, ended = _turns_taken(spec, model, place, device, on_event)
    run = session_run(
        spec, target, sessions, ended, watch, weights_bytes,
        host_bytes=store.capacity_bytes, capacity_bytes=place.capacity_bytes,
        peak_reserved_bytes=place.peak_reserved_bytes,
    )  # fmt: skip
    del sessions, model, place
    gc.collect()
    return run


def _turns_taken(
    spec: ServingSpec,
    model: nn.Module,
    place: Place,
    device: torch.device,
    on_event: OnSessionEvent,
) -> tuple[Sessions, BaseException | None]:
    """Let sessions take their turns; return them, and what ended them early."""
    step = InferenceStep(model, spec.config)
    turns = ModelTurns(step, lambda: spec.make_prompt(device), spec.plan.pause_layer, spec.steer)
    sessions = Sessions(turns, spec.config, place, spec.plan, on_event)
    try:
        sessions.run()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return sessions, error
    return sessions, None


def _none(spec: ServingSpec) -> Sessions:
    """Return sessions of which none has begun."""
    place: Any = contextlib.nullcontext()
    return Sessions(place, spec.config, place, spec.plan)
