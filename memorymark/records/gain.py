"""From when on a batch is said to be faster than another one."""

from __future__ import annotations

import math

from memorymark.records.trial import Source, Trial

GOOD_ENOUGH = 0.98
"""Share of the best throughput that the recommended batch has to reach."""

SMALLEST_SIMULATED_GAIN = 0.05
"""The least gain in throughput that an estimate of two batches can tell.

An estimate of a step's seconds has a band of a factor of 1.16 and more (README, "Accuracy"). Two
batches of one model on one card err alike, so most of that is not in their ratio: of the published
steps of one model on one card at two sizes of its images, where the second does up to three times
the work of the first with the same kernels, the ratio of the estimates is off by less than 2 % in
the median and by less than 5 % in nine of ten (benchmarks/step_times.py, "Ratio of two sizes"). No
published steps of one training at several batches are known that would score batches themselves.
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
