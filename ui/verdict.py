"""One sentence of verdict on an analysis, and where its figures come from."""

from __future__ import annotations

from memorymark.analysis import Analysis
from memorymark.units import gib, usd


def verdict(analysis: Analysis) -> str:
    """Say what the analysis found, in one or two sentences.

    Example: On an NVIDIA A100 40GB this trains at batch 448; you run 16 and leave 94 % of the
    memory unused; the larger batch is 1.9 times as fast and saves $41 a run.
    """
    where = f"On {analysis.target.name}"
    if analysis.nothing_fits:
        return (
            f"{where} not even batch 1 of {analysis.workload} fits in "
            f"{gib(analysis.capacity_bytes)}."
        )
    if analysis.optimal.batch_size is None:
        return f"{where} the largest batch of {analysis.workload} is not known."
    parts = [f"{where} {analysis.workload} trains best at batch {analysis.optimal.batch_size:,}"]
    if analysis.max_batch_size not in (None, analysis.optimal.batch_size):
        parts[0] += f" (at most {analysis.max_batch_size:,})"
    parts.append(_current(analysis))
    gain = _gain(analysis)
    return "; ".join([*parts, gain] if gain else parts) + "."


def source_line(analysis: Analysis) -> str:
    """Say where the figures come from: measured or simulated, on what, when, with what."""
    source = analysis.target.source.capitalize()
    word = "on" if source == "Measured" else "for"
    software = ", ".join(f"{name} {version}" for name, version in analysis.software.items())
    when = analysis.created_at[:16].replace("T", " ")
    parts = [f"{source} {word} {analysis.target.name}", f"{when} UTC" if when else "", software]
    return " · ".join(part for part in parts if part)


def _current(analysis: Analysis) -> str:
    current = analysis.current
    run = f"you run {current.batch_size:,}"
    if current.fits is False:
        return f"{run}, which does not fit"
    if analysis.waste_share is None:
        return f"{run}, of which the memory is not known"
    if current.batch_size == analysis.optimal.batch_size:
        return (
            f"{run}, which is that batch, and leave {analysis.waste_share:.0%} of the memory free"
        )
    return f"{run} and leave {analysis.waste_share:.0%} of the memory unused"


def _gain(analysis: Analysis) -> str:
    if analysis.speedup is None or analysis.current.batch_size == analysis.optimal.batch_size:
        return ""
    larger = analysis.optimal.batch_size > analysis.current.batch_size
    said = f"the {'larger' if larger else 'smaller'} batch is {analysis.speedup:.2f} times as fast"
    saved = analysis.costs.usd_per_run
    if saved is not None:
        said += f" and {'saves' if saved >= 0 else 'costs'} {usd(abs(saved))} a run"
        said += "" if saved >= 0 else " more"
    return said
