"""Sessions in sentences and figures: the verdict, the demand, the latency, the swaps."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from memorymark.records.request import Request
from memorymark.records.session_run import Act, SessionRun, Swap
from memorymark.report.setting_words import budget_words
from memorymark.report.settings_phrase import join_settings, serving_phrase, target_phrase
from memorymark.units import (
    UNKNOWN,
    count,
    likely_rate,
    likely_seconds,
    likely_usd,
    mib_or_gib,
    rate,
    seconds,
    usd,
)

# What a session's phrase says of CUDA's allocator: no other device has one that is set up so.
_SEGMENTS = "expandable segments"


def sessions_sentence(run: SessionRun) -> str:
    """Say in one sentence what the run shows."""
    return f"{run.verdict}: {run.reason}"


def sessions_phrase(run: SessionRun, asked: Request | None = None) -> str:
    """Name what the sessions are of."""
    budget = run.target.budget_bytes if asked is None else asked.memory_budget
    return join_settings(
        [
            run.model,
            target_phrase(run.target),
            serving_phrase(dataclasses.replace(run.config, expandable_segments=True), run.plan),
            _SEGMENTS if run.config.expandable_segments and run.target.kind != "cpu" else "",
            budget_words(budget),
        ]
    )


def session_figures(run: SessionRun) -> list[tuple[str, str]]:
    """Return the figures of a run as pairs of name and value."""
    speed, cost = run.tokens_per_second, run.cost_per_million_tokens
    return [
        ("sessions completed", f"{run.sessions_completed:,} of {run.plan.sessions:,}"),
        ("held on the device at once", _held_words(run)),
        ("recommended, 5 % kept free", count(run.sessions_recommended)),
        ("held by PyTorch's default allocator", count(run.sessions_held_by_default)),
        ("first swap", _first_swap(run)),
        ("weights", mib_or_gib(run.weights_bytes)),
        ("cache of a session", mib_or_gib(run.cache_bytes_per_session)),
        ("beside them in a pass", mib_or_gib(run.beside_bytes)),
        (f"demand of {run.plan.sessions:,} sessions", mib_or_gib(run.demand_bytes)),
        ("capacity", mib_or_gib(run.capacity_bytes)),
        ("peak allocated", mib_or_gib(run.peak_allocated_bytes)),
        ("peak reserved", mib_or_gib(run.peak_reserved_bytes)),
        ("first token", _latency(run, run.first_token_seconds)),
        ("first token after swaps", _latency(run, run.first_token_swapped_seconds)),
        ("next token", _latency(run, run.next_token_seconds)),
        ("next token after swaps", _latency(run, run.next_token_swapped_seconds)),
        ("new tokens/s, all sessions", rate(speed) + likely_rate(run.band(speed))),
        ("$ per million new tokens", usd(cost) + likely_usd(run.band(cost))),
        ("swaps to the host", _swaps_words(run.swaps, Act.SWAP_OUT)),
        ("swaps to the device", _swaps_words(run.swaps, Act.SWAP_IN)),
    ]


def session_lines(run: SessionRun, asked: Request | None = None) -> list[str]:
    """Write a run as lines of text."""
    lines = [sessions_sentence(run), sessions_phrase(run, asked), ""]
    lines += [f"{name}: {value}" for name, value in session_figures(run)]
    lines += [
        f"context {room.context_tokens:,}: room for {count(room.sessions)} sessions by bytes alone"
        for room in run.rooms
    ]
    return lines + [f"Note: {note}" for note in (*run.findings, *run.assumptions)]


def _held_words(run: SessionRun) -> str:
    by_bytes = "" if run.sessions_by_bytes is None else f"{run.sessions_by_bytes:,} by bytes alone"
    if run.sessions_held is None:
        return by_bytes or UNKNOWN
    return f"{run.sessions_held:,}{f' ({by_bytes})' if by_bytes else ''}"


def _first_swap(run: SessionRun) -> str:
    found = run.first_swap_session
    return UNKNOWN if found is None else f"for session {found:,}"


def _latency(run: SessionRun, value: float | None) -> str:
    return seconds(value) + likely_seconds(*(run.band(value) or (None, None)))


def _swaps_words(swaps: Sequence[Swap], act: Act) -> str:
    """Say how many caches were moved one way, how large one was, and how fast."""
    moved = [swap for swap in swaps if swap.act is act]
    if not moved:
        return "none"
    total = sum(swap.bytes for swap in moved)
    said = f"{len(moved):,} of {mib_or_gib(total // len(moved))}"
    if any(swap.seconds is None for swap in moved):
        return said
    took = sum(swap.seconds or 0.0 for swap in moved)
    if not took:
        return said
    return f"{said}, {seconds(took / len(moved))} each, {total / took / 1e9:,.1f} GB/s"
