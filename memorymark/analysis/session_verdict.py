"""Says whether a run of sessions shows what it was meant to show."""

from __future__ import annotations

from memorymark.records.serving_config import Policy
from memorymark.records.session_run import SessionRun, Verdict
from memorymark.units import gib


def judge(run: SessionRun) -> tuple[Verdict, str]:
    """Return the verdict on a run, and why.

    A run passes where all sessions completed within the capacity; one that swaps also has to be
    asked for more than the capacity, since otherwise nothing had to be moved.
    """
    asked, done = run.plan.sessions, run.sessions_completed
    if done < asked:
        return Verdict.FAIL, f"{_early(run)} {done:,} of {asked:,} sessions completed."
    held, capacity = run.peak_reserved_bytes or run.peak_allocated_bytes, run.capacity_bytes
    if capacity is not None and held > capacity:
        words = f"{gib(held)} were held, and the capacity is {gib(capacity)}."
        return Verdict.FAIL, f"All {asked:,} sessions completed, but {words}"
    if run.config.policy is Policy.HOLD or capacity is None:
        said = f"All {asked:,} sessions completed within {_words(capacity)}.{_by_default(run)}"
        return Verdict.PASS, said
    if run.swaps and (run.demand_bytes or 0) > capacity:
        return Verdict.PASS, (
            f"All {asked:,} sessions completed within {_words(capacity)}, where they need "
            f"{gib(run.demand_bytes)} at once; the first cache was moved away for session "
            f"{run.first_swap_session:,}."
        )
    alone = "by bytes alone " if run.swaps else ""
    moved = f"so that {alone}no cache had to be moved"
    return Verdict.NOT_PROVEN, (
        f"All {asked:,} sessions completed, but they need {gib(run.demand_bytes)} of "
        f"{_words(capacity)}, {moved}. Ask for more than {run.sessions_by_bytes or asked:,} "
        "sessions."
    )


def _by_default(run: SessionRun) -> str:
    """Say where segments that grow, which PyTorch does not use by itself, decided that all fit."""
    by_default = run.sessions_held_by_default
    if by_default is None or by_default >= run.plan.sessions:
        return ""
    return (
        f" That takes expandable segments: with PyTorch's default allocator {by_default:,} come "
        "to their end."
    )


def _early(run: SessionRun) -> str:
    """Say at which session memory ran out, and what bytes alone would have had room for."""
    if run.failed_session is None:
        return f"No session began: {run.error or 'the run ended early'}."
    turn = run.timeline[-1].turn if run.timeline else 1
    said = f"Out of memory at session {run.failed_session:,}{f' in turn {turn:,}' * (turn > 1)}."
    room, reserved = run.sessions_by_bytes, run.peak_reserved_bytes
    if run.config.policy is not Policy.HOLD or room is None or reserved is None:
        return said
    if run.sessions_held is not None:
        said += f" {run.sessions_held:,} come to their end with all caches on the device"
        default = run.sessions_held_by_default
        said += "." if default is None else f", {default:,} with PyTorch's default allocator."
    if room > run.sessions_served:
        lost = gib(max(reserved - (run.peak_allocated_bytes or 0), 0))
        said += f" By bytes alone there is room for {room:,}: {lost} lay unused between blocks."
    return said


def _words(capacity_bytes: int | None) -> str:
    return "the device's memory" if capacity_bytes is None else gib(capacity_bytes)
