"""What a distribution of lengths means for the batch, in sentences."""

from __future__ import annotations

from memorymark.records.analysis import Analysis
from memorymark.records.costs import ratio
from memorymark.records.length_report import Batching, LengthReport
from memorymark.units import count, rate

_NAMES = {
    "shuffled": "Shuffled",
    "by length": "Bucketed by length",
    "token budget": "With a token budget",
}


def length_lines(analysis: Analysis) -> list[str]:
    """Say which batch survives, what the mean would have promised, and what batching buys."""
    found = analysis.lengths
    if found is None:
        return []
    source = str(analysis.target.source)
    usual = next((x.samples_per_second for x in found.batchings if x.name == "shuffled"), None)
    lines = [_about(found), worst_case_words(found)]
    return lines + [batching_words(each, source, usual) for each in found.batchings]


def worst_case_words(found: LengthReport) -> str:
    """Say which batch survives the longest batch, and what the mean would have promised."""
    survives, promised = found.surviving_batch_size, found.promised_batch_size
    if survives is None:
        return f"No batch survives {found.longest:,} tokens."
    said = f"Batch {survives:,} is the largest that survives {found.longest:,} tokens"
    if promised is None:
        return f"{said}."
    if promised <= survives:
        return f"{said}; the mean length promises no more."
    return (
        f"{said}; the mean length would have promised {promised:,}, which runs out of memory as "
        "soon as a batch draws long samples."
    )


def batching_words(made: Batching, source: str, usual: float | None = None) -> str:
    """Say what one way to make batches gives.

    Args:
        made: The way.
        source: Where its figures come from: measured or simulated.
        usual: Samples per second of shuffled batches, to which it is compared.
    """
    sizes = sorted({trial.batch_size for trial in made.trials})
    lengths = sorted({trial.seq_len for trial in made.trials})
    batches = f"batch {sizes[0]:,}"
    if len(sizes) > 1:
        batches = f"batches of {sizes[0]:,} to {sizes[-1]:,}, {made.batch_size:,.0f} on average"
    padded = " to ".join(f"{each:,}" for each in dict.fromkeys((lengths[0], lengths[-1])))
    tokens = f" of {made.tokens:,}" if made.tokens else ""
    said = f"{_NAMES[made.name]}{tokens}: {batches}, padded to {padded} tokens"
    if made.samples_per_second is None:
        return f"{said}; its throughput is unknown."
    low, high = made.samples_per_second_low, made.samples_per_second_high
    band = made.speed_band
    likely = f", {rate(band[0])} to {rate(band[1])} likely" if band else ""
    between = f", {rate(low)} to {rate(high)} by the distribution" if low and high else ""
    times = ratio(made.samples_per_second, usual)
    gain = "" if times is None or made.name == "shuffled" else f", {times:.2g} times shuffled"
    return f"{said}, {rate(made.samples_per_second)} samples/s ({source}{likely}{between}){gain}."


def _about(found: LengthReport) -> str:
    counted = f" over {count(found.samples)} samples" if found.samples else ""
    return (
        f"Lengths: mean {found.mean:,.4g}, longest {found.longest:,} tokens{counted}. A shuffled "
        "batch is padded to its longest sample and may draw the longest of all: the analysis is at "
        f"that length.{' ' + found.assumed if found.assumed else ''}"
    )
