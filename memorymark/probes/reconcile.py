"""Makes a breakdown add up to the peak that the device itself reports."""

from __future__ import annotations

import dataclasses

from memorymark.records.held_memory import Breakdown
from memorymark.units import mib_or_gib

_TOLERATED = 0.01


def with_remainder(
    parts: Breakdown, peak_allocated_bytes: int
) -> tuple[Breakdown | None, tuple[str, ...]]:
    """Add what no tensor explains as workspaces: libraries' scratch memory, rounding to blocks.

    The followed steps are not the timed ones, so that their peak can lie a little above. Up to
    1 % of the peak is then taken off the temporaries, and the rest off the activations, and a
    sentence says so; a larger difference gives no breakdown.

    Args:
        parts: What the followed steps held at their peak.
        peak_allocated_bytes: What the device reports for the timed steps.

    Returns:
        The breakdown, and sentences about it.
    """
    excess = parts.total - peak_allocated_bytes
    if excess <= 0:
        return dataclasses.replace(parts, workspaces=parts.workspaces - excess), ()
    figures = f"{mib_or_gib(parts.total)} vs. {mib_or_gib(peak_allocated_bytes)}"
    above = f"The traced steps have a higher peak than the timed ones, {figures}"
    from_temporaries = min(excess, parts.temporaries)
    from_activations = excess - from_temporaries
    if excess > _TOLERATED * peak_allocated_bytes or from_activations > parts.activations:
        return None, (f"{above}: no breakdown is given.",)
    fitted = dataclasses.replace(
        parts,
        temporaries=parts.temporaries - from_temporaries,
        activations=parts.activations - from_activations,
    )
    return fitted, (f"{above}: the difference is subtracted from the temporaries.",)
