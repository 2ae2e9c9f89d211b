"""Lets sessions take their turns on a target, and says what that shows.

How many sessions a device holds is what a run under `hold` ends at: each session allocates the
same, one after the other, so that no search has to guess. What bytes alone have room for stands
beside it: the caching allocator loses the rest between its blocks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from memorymark.analysis.session_verdict import judge
from memorymark.errors import MemoryMarkError, UsageError
from memorymark.records.event import CancelToken, Event, EventKind, OnEvent
from memorymark.records.serving_config import Policy, ServingConfig
from memorymark.records.session_run import Act, ContextRoom, SessionEvent, SessionPlan, SessionRun
from memorymark.records.trial import Source, Target
from memorymark.units import mib_or_gib

if TYPE_CHECKING:
    from memorymark.probes.probe import Probe
    from memorymark.workloads.base import Workload
    from memorymark.workloads.serving_spec import ServingSpec

# The contexts whose sessions are counted, as multiples of the one that was asked for.
_TIMES = (0.25, 0.5, 1, 2, 4)
# Of a run that only looks for how many sessions are held: each is to be complete in its turn.
_TURNS = 1
# New tokens of all sessions together, simulated in some seconds; beyond, bytes alone tell.
_MOST_TOKENS = 131_072
_FEW = 2  # new tokens of a session whose bytes alone are looked for
_PHASE = "sessions"


def serve_on(
    probe: Probe,
    workload: Workload,
    config: ServingConfig,
    plan: SessionPlan,
    *,
    host_bytes: int | None = None,
    price_per_hour: float | None = None,
    steer: Callable[[Any], Any] | None = None,
    on_event: OnEvent,
    cancel: CancelToken,
) -> SessionRun:
    """Let sessions take their turns, count how many are held, and judge the run.

    Args:
        probe: The target.
        workload: What generates.
        config: How it generates.
        plan: How many sessions, and how they take turns.
        host_bytes: What swapped caches may take of the host's memory.
        price_per_hour: Dollars for the target.
        steer: What reads or changes the hidden state at the pause inside the model.
        on_event: Called with each event.
        cancel: Checked at each event.

    Raises:
        UsageError: The model does not generate in this way.
        MemoryMarkError: It cannot be built, fed or simulated.
    """
    from memorymark.workloads.serving_spec import ServingSpec

    _check_version(probe.target, config)
    spec = ServingSpec(workload, config, plan, steer)
    said = _Said(plan, on_event, cancel)
    run = probe.run_sessions(spec, host_bytes, said)
    rooms = _rooms(probe, spec)
    asked = next((room for room in rooms if room.context_tokens == config.context_tokens), None)
    if run.cache_bytes_per_session is None and asked is not None:
        run = dataclasses.replace(
            run, cache_bytes_per_session=asked.cache_bytes, beside_bytes=asked.beside_bytes
        )
    run = dataclasses.replace(run, rooms=rooms, price_per_hour=price_per_hour)
    run = dataclasses.replace(
        run,
        sessions_held=_held(run, probe, spec, cancel),
        sessions_held_by_default=_held_by_default(run, probe, spec, cancel),
    )
    verdict, reason = judge(run)
    return dataclasses.replace(run, verdict=verdict, reason=reason)


def _check_version(target: Target, config: ServingConfig) -> None:
    """Refuse to measure another version of transformers than the one that is installed."""
    if config.transformers_version is not None and target.source is not Source.SIMULATED:
        raise UsageError(
            f"transformers {config.transformers_version} is not what generates here, so that it "
            "cannot be measured. Leave --transformers out, or simulate it: give --gpu NAME."
        )


def _held(run: SessionRun, probe: Probe, spec: ServingSpec, cancel: CancelToken) -> int | None:
    """Return how many sessions the device holds at once; None where nothing shows it."""
    if probe.target.source is not Source.SIMULATED:
        held = run.config.policy is Policy.HOLD and run.failed_session is not None
        return run.sessions_served if held else None
    return _simulated_holding(run, probe, spec, spec.config, cancel)


def _held_by_default(
    run: SessionRun, probe: Probe, spec: ServingSpec, cancel: CancelToken
) -> int | None:
    """Return how many sessions the device holds where its allocator is set up by nobody."""
    if not run.config.expandable_segments:
        return None
    config = dataclasses.replace(spec.config, expandable_segments=False)
    return _simulated_holding(run, probe, spec, config, cancel)


def _simulated_holding(
    run: SessionRun, probe: Probe, spec: ServingSpec, config: ServingConfig, cancel: CancelToken
) -> int | None:
    """Simulate as many sessions as bytes alone have room for, and one more, until one fails."""
    room = run.sessions_by_bytes
    if room is None or probe.target.source is not Source.SIMULATED or room > _most_tried(config):
        return None
    config = dataclasses.replace(config, policy=Policy.HOLD)
    plan = SessionPlan(sessions=room + 1, turns=_TURNS)
    asked = dataclasses.replace(spec, config=config, plan=plan)
    held = probe.run_sessions(asked, on_event=lambda event: cancel.check())
    return held.sessions_served if held.failed_session is not None else room + 1


def _most_tried(config: ServingConfig) -> int:
    """Return how many sessions are simulated at most to see how many are held."""
    return max(_MOST_TOKENS // config.output_tokens, 1)


def _rooms(probe: Probe, spec: ServingSpec) -> tuple[ContextRoom, ...]:
    """Return what sessions of other contexts need; contexts that are refused are left out.

    Of a measured run all are, where they cannot be simulated.
    """
    asked = spec.config.context_tokens
    few = dataclasses.replace(spec.config, output_tokens=min(spec.config.output_tokens, _FEW))
    other = dataclasses.replace(spec, config=few)  # its state at the end is the same
    found: list[ContextRoom] = []
    for context in _contexts(spec):
        if context <= spec.config.output_tokens:
            continue
        try:
            found += probe.session_rooms(spec if context == asked else other, [context])
        except MemoryMarkError:
            if context == asked and probe.target.source is Source.SIMULATED:
                raise
    return tuple(found)


def _contexts(spec: ServingSpec) -> list[int]:
    """Return the contexts whose sessions are counted: caches grow in another way past windows."""
    from memorymark.workloads.lengths import windows_of

    contexts = {int(spec.config.context_tokens * times) for times in _TIMES}
    windows = windows_of(getattr(spec.workload, "hf_config", None))
    within = {each for each in windows if min(contexts) < each < max(contexts)}
    return sorted(contexts | within)


class _Said:
    """Says of each session's turn that it is done.

    Args:
        plan: How many sessions.
        on_event: Called with what is said.
        cancel: Checked at each event.
    """

    def __init__(self, plan: SessionPlan, on_event: OnEvent, cancel: CancelToken) -> None:
        self._all, self._done = plan.sessions * plan.turns, 0
        self._plan, self._on_event, self._cancel = plan, on_event, cancel
        self._last: tuple[int, int] | None = None

    def __call__(self, event: SessionEvent) -> None:
        self._cancel.check()
        turn = event.session, event.turn
        if event.act is Act.SWAP_OUT or turn == self._last:
            return
        self._last, self._done = turn, self._done + 1
        words = (
            f"Session {event.session:,} of {self._plan.sessions:,}, turn {event.turn:,}: "
            f"{mib_or_gib(event.allocated_bytes)} allocated"
        )
        progress = min(self._done / self._all, 1.0)
        self._on_event(Event(EventKind.NOTE, words, phase=_PHASE, progress=progress))
