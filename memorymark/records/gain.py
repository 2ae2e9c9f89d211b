"""From when on a batch is said to be faster than another one."""

from __future__ import annotations

import math

from memorymark.records.trial import Source, Trial

GOOD_ENOUGH = 0.98
"""Share of the best throughput that the recommended batch has to reach."""

SMALLEST_SIMULATED_GAIN = 0.05
"""The least gain in throughput that an estimate of two batches can tell.

An estimate of a step's seconds is 21 % off in the median (README, "Accuracy"). Two batches of one
model on one card err alike, so most of that is not in their ratio. What is left comes from what the
estimate takes as the same at every batch: the share of its peaks that a kernel reaches. A kernel's
tiles fill a card in waves, and a last wave that is not full makes it several percent slower at one
batch than at the next. No published steps of one training at several batches on one card are known
to score the ratio on, so this is a judgement and not a fit: a quarter of the error of a single
figure.
"""


def smallest_clear_gain(source: Source, current: Trial | None, recommended: Trial | None) -> float:
    """Return the gain in throughput, as a share, from which on it is told from none.

    It is at least what the rule itself gives away: the recommended batch may be 2 % slower than
    another one. Measured, it is also at least what steps of the two trials differ by among
    themselves, where both say so.

    Args:
        source: Whether the throughputs are measured or simulated.
        current: The trial at the current batch.
        recommended: The trial at the recommended one.
    """
    of_the_rule = 1 / GOOD_ENOUGH - 1
    if source is Source.SIMULATED:
        return max(of_the_rule, SMALLEST_SIMULATED_GAIN)
    spreads = [t.step_seconds_spread for t in (current, recommended) if t is not None]
    known = [spread for spread in spreads if spread is not None]
    return max(of_the_rule, math.hypot(*known))
