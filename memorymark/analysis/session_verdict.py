"""Says whether a run of sessions shows what it was meant to show."""

from __future__ import annotations

from memorymark.records.serving_config import Policy
from memorymark.records.session_run import SessionRun, Verdict
from memorymark.units import mib_or_gib


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
        words = f"{mib_or_gib(held)} were held, and the capacity is {mib_or_gib(capacity)}."
        return Verdict.FAIL, f"All {asked:,} sessions completed, but {words}"
    if run.config.policy is Policy.HOLD or capacity is None:
        said = f"All {asked:,} sessions completed within {_words(capacity)}.{_by_default(run)}"
        return Verdict.PASS, said
    if run.swaps and (run.demand_bytes or 0) > capacity:
        return Verdict.PASS, (
            f"All {asked:,} sessions completed within {_words(capacity)}, where they need "
            f"{mib_or_gib(run.demand_bytes)} at once; the first cache was moved away for session "
            f"{run.first_swap_session:,}."
        )
    alone = "by bytes alone " if run.swaps else ""
    moved = f"so that {alone}no cache had to be moved"
    return Verdict.NOT_PROVEN, (
        f"All {asked:,} sessions completed, but they need {mib_or_gib(run.demand_bytes)} of "
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
    """Say at which session memory ran out, whose, and what there would have been room for."""
    if run.failed_session is None:
        return f"No session began: {run.error or 'the run ended early'}."
    turn = run.timeline[-1].turn if run.timeline else 1
    at = f"at session {run.failed_session:,}{f' in turn {turn:,}' * (turn > 1)}"
    if run.failed_on_host:
        return (
            f"The host's memory ran out {at}: {mib_or_gib(run.host_bytes)} may be used for swapped "
            "caches. Give more of it (--host-memory), or ask for fewer sessions."
        )
    if run.config.policy is Policy.SWAP:
        return f"Out of memory {at}: {_lack(run)}."
    return f"Out of memory {at}.{_held(run)}"


def _lack(run: SessionRun) -> str:
    """Say why sessions run out of memory though those that wait make room."""
    cache, capacity = run.cache_bytes_per_session, run.capacity_bytes
    active = min(run.plan.active, run.plan.sessions)
    needed = run.weights_bytes + run.beside_bytes + active * (cache or 0)
    if cache is None or capacity is None or needed <= capacity:
        return (run.error or "the device said no more").removeprefix("out of memory: ").rstrip(".")
    caches = f"{active:,} active sessions' caches" if active > 1 else "one session's cache"
    return (
        f"weights, {caches} and what a pass takes beside them need {mib_or_gib(needed)} of "
        f"{mib_or_gib(capacity)}"
    )


def _held(run: SessionRun) -> str:
    """Say how many sessions are held at once, by either allocator, and by bytes alone."""
    room, reserved, said = run.sessions_by_bytes, run.peak_reserved_bytes, ""
    if room is None or reserved is None:
        return said
    if run.sessions_held is not None:
        said = f" {run.sessions_held:,} come to their end with all caches on the device"
        said += f"{_beside_default(run.sessions_held, run.sessions_held_by_default)}."
    if room > run.sessions_served:
        lost = mib_or_gib(max(reserved - (run.peak_allocated_bytes or 0), 0))
        said += f" By bytes alone there is room for {room:,}: {lost} lay unused between blocks."
    return said


def _beside_default(held: int, by_default: int | None) -> str:
    """Say how many PyTorch's default allocator holds, beside those of expandable segments."""
    if by_default is None:
        return ""
    if by_default > held:
        more = "more with PyTorch's default allocator"
        return f", and {more}: {by_default:,} (--no-expandable-segments)"
    return f", {by_default:,} with PyTorch's default allocator"


def _words(capacity_bytes: int | None) -> str:
    return "the device's memory" if capacity_bytes is None else mib_or_gib(capacity_bytes)
