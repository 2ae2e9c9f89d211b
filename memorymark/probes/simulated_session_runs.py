"""Sessions on a simulated GPU: their turns, their seconds, and the room for other contexts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

from torch import nn

from memorymark.gpus.catalogue import Gpu
from memorymark.gpus.host_link import CopyRate
from memorymark.inference.older_transformers import said_of
from memorymark.probes.session_runs import Stopwatch, beside_bytes, session_run
from memorymark.records.serving_config import CacheKind, ServingConfig, WeightFormat
from memorymark.records.session_run import (
    Act,
    ContextRoom,
    OnSessionEvent,
    SessionEvent,
    SessionPlan,
    SessionRun,
    Swap,
    sessions_by_bytes,
    unheard,
)
from memorymark.records.trial import Target
from memorymark.simulator.cuda.rules import Rules
from memorymark.simulator.simulated_sessions import SimulatedSessions, simulate_sessions
from memorymark.simulator.time.act_time import ActTime, act_time
from memorymark.simulator.time.kernels import Work
from memorymark.simulator.time.unpacking import UNSEEN, Unpacking
from memorymark.workloads.quantized import packed_layers
from memorymark.workloads.serving_spec import ServingSpec

_QUANTIZED = {
    WeightFormat.INT8: "Weights of 8 bits are counted by torchao's weight-only format.",
    WeightFormat.INT4: "Weights of 4 bits are counted by bitsandbytes' NF4 format.",
}
_QUANTIZED_CACHE = "Caches of 4 bits are counted by optimum-quanto's format."
_NO_LINK = (
    "{reason} So the seconds of swaps are not known, and with them the tokens per second of the "
    "whole."
)
_LINK = (
    "Swaps are taken to reach {rate:.1f} GB/s to the device and {back:.1f} GB/s to the host over "
    "{link}, as copies of pinned memory do on machines of its kind."
)
_NO_LIMIT = (
    "The host's memory is taken to be without a limit: {peak:.1f} GB of swapped caches lay in it "
    "at most."
)


def simulate_run(
    spec: ServingSpec,
    target: Target,
    gpu: Gpu,
    model: nn.Module,
    rules: Rules,
    host_bytes: int | None,
    on_event: OnSessionEvent = unheard,
) -> SessionRun:
    """Let sessions take their turns on a simulated GPU. Their seconds are an estimate.

    Args:
        spec: What generates, and how its sessions take turns.
        target: What is simulated.
        gpu: Its row of the catalogue.
        model: The workload's model without data, in eval mode.
        rules: What is simulated of it.
        host_bytes: What swapped caches may take; None for no limit.
        on_event: Called with each event; it has no seconds yet.
    """
    watch = Stopwatch()
    found = simulate_sessions(spec, model, rules, target.capacity_bytes, host_bytes, on_event)
    events, swaps, times = _timed(found, gpu, spec.config, packed_layers(model))
    run = session_run(
        spec, target, found.sessions, found.ended, watch, found.weights_bytes,
        timeline=events,
        swaps=swaps,
        host_bytes=host_bytes,
        peak_allocated_bytes=found.peak_allocated_bytes,
        peak_reserved_bytes=found.peak_reserved_bytes,
        seconds_factor=max((_factor(time) for time in times), default=None),
    )  # fmt: skip
    widest = max(times, key=_factor, default=None)
    weights = spec.config.weights
    said = (
        *found.assumptions,
        *said_of(model, spec.config),
        *([_QUANTIZED[weights]] if weights in _QUANTIZED else []),
        *([_QUANTIZED_CACHE] if spec.config.cache is CacheKind.QUANTIZED else []),
        *([] if widest is None else [widest.sentence]),
        *_said_of_swaps(swaps, gpu, host_bytes),
    )
    return dataclasses.replace(run, assumptions=said)


def context_rooms(
    spec: ServingSpec,
    contexts: Iterable[int],
    model: nn.Module,
    rules: Rules,
    capacity_bytes: int | None,
) -> tuple[ContextRoom, ...]:
    """Return what a session of each context needs, found by simulating one of each.

    Args:
        spec: What generates; its context is replaced.
        contexts: Tokens of a session at its end.
        model: The workload's model without data, in eval mode.
        rules: The device that is simulated.
        capacity_bytes: What may be used of it.
    """
    return tuple(_room(spec, tokens, model, rules, capacity_bytes) for tokens in contexts)


def _room(
    spec: ServingSpec, tokens: int, model: nn.Module, rules: Rules, capacity_bytes: int | None
) -> ContextRoom:
    config = dataclasses.replace(spec.config, context_tokens=tokens)
    alone = ServingSpec(spec.workload, config, SessionPlan(sessions=1, turns=1))
    found = simulate_sessions(alone, model, rules, None)
    cache = found.sessions.state_bytes or 0
    beside = beside_bytes(tuple(found.sessions.events), found.weights_bytes, cache)
    count = sessions_by_bytes(capacity_bytes, found.weights_bytes, beside, cache)
    return ContextRoom(tokens, cache, beside, count)


def _timed(
    found: SimulatedSessions, gpu: Gpu, config: ServingConfig, packed: list[int]
) -> tuple[tuple[SessionEvent, ...], tuple[Swap, ...], list[ActTime]]:
    """Give events and swaps their seconds; return also the estimates that they are from."""
    known: dict[tuple[Act, int], ActTime] = {}
    swaps = tuple(_timed_swap(swap, gpu) for swap in found.sessions.swaps)
    moves = iter(swaps)
    events, at = [], 0.0
    for event, works in zip(found.sessions.events, found.works, strict=False):
        if event.act in (Act.SWAP_OUT, Act.SWAP_IN):
            seconds = next(moves).seconds
        else:
            key = event.act, id(works)  # what is repeated is the same list
            if key not in known:
                known[key] = _pass_time(event.act, works, gpu, config, packed)
            seconds = known[key].seconds
        at = math.nan if seconds is None else at + seconds
        events.append(
            dataclasses.replace(event, seconds=seconds, at_seconds=None if math.isnan(at) else at)
        )
    return tuple(events), swaps, list(known.values())


def _pass_time(
    act: Act, works: Sequence[Work], gpu: Gpu, config: ServingConfig, packed: list[int]
) -> ActTime:
    """Return the seconds of a pass; weights of 4 bits come to it as they are for one row alone."""
    decodes = act is Act.DECODE
    is_one_row = decodes and config.batch_size == 1
    unpacking = Unpacking(len(packed), 0 if is_one_row else sum(packed)) if packed else None
    if config.weights is WeightFormat.INT8:
        unpacking = UNSEEN
    return act_time(works, gpu, compiled=config.compiled and decodes, unpacking=unpacking)


def _timed_swap(swap: Swap, gpu: Gpu) -> Swap:
    rate = _rate(swap.act, gpu)
    return dataclasses.replace(swap, seconds=None if rate is None else swap.bytes / rate.likely)


def _rate(act: Act, gpu: Gpu) -> CopyRate | None:
    if act is Act.SWAP_OUT:
        return gpu.device_to_host_bytes_per_second
    return gpu.host_to_device_bytes_per_second


def _factor(time: ActTime) -> float:
    return math.sqrt(time.high_seconds / time.low_seconds)


def _said_of_swaps(swaps: Sequence[Swap], gpu: Gpu, host_bytes: int | None) -> list[str]:
    if not swaps:
        return []
    there, back = _rate(Act.SWAP_IN, gpu), _rate(Act.SWAP_OUT, gpu)
    said = [_NO_LINK.format(reason=gpu.no_link_reason)]
    if there is not None and back is not None:
        said = [_LINK.format(rate=there.likely / 1e9, back=back.likely / 1e9, link=gpu.host_link)]
    if host_bytes is None:
        said.append(_NO_LIMIT.format(peak=_most_away(swaps) / 1e9))
    return said


def _most_away(swaps: Sequence[Swap]) -> int:
    """Return the most bytes of caches that lay on the host at once."""
    away = most = 0
    for swap in swaps:
        away += swap.bytes if swap.act is Act.SWAP_OUT else -swap.bytes
        most = max(most, away)
    return most
