"""What an analysis was asked beside its batch: an effective batch, and samples of many lengths."""

from __future__ import annotations

from operator import attrgetter

import streamlit as st

from memorymark.records.analysis import Analysis
from memorymark.report.effective_batch_words import learning_rate_words
from memorymark.report.length_words import length_lines
from memorymark.ui import columns, say
from memorymark.ui.columns import Column, draw_table


def _banded(column: Column) -> tuple[Column, ...]:
    return columns.with_band(column, lambda step: step.likely(column.value(step)))


_FITS = {True: "yes", False: "no", None: "not tried"}
_ACCUMULATED = (
    columns.text("At the", lambda step: f"{step.mark} batch", pinned=True),
    columns.count("Micro-batch", attrgetter("split.micro_batch_size")),
    columns.count("Accumulation steps", attrgetter("split.accumulation")),
    columns.count("Last micro-batch", attrgetter("split.last_micro_batch_size")),
    columns.text("Fits", lambda step: _FITS[step.fits]),
    columns.memory("Memory needed", attrgetter("memory_bytes")),
    *_banded(columns.figure("Step time (s)", attrgetter("seconds"))),
    *columns.with_band(
        columns.figure("Samples/s", attrgetter("samples_per_second")), attrgetter("speed_band")
    ),
    *_banded(columns.money("$ per 1,000 steps", lambda step: step.usd and step.usd * 1000)),
)
_BATCHINGS = (
    columns.text("Batches", lambda row: row[0], pinned=True),
    columns.count("Padded to (tokens)", lambda row: row[1].seq_len),
    columns.count("Batch size", lambda row: row[1].batch_size),
    columns.share("Share of samples", lambda row: row[1].share),
    columns.text("Fits", lambda row: _FITS[row[1].fits]),
    columns.memory("Memory needed", lambda row: row[1].memory_bytes),
    *columns.with_band(
        columns.figure("Step time (s)", lambda row: row[1].step_seconds),
        lambda row: row[1].likely(row[1].step_seconds),
    ),
    *columns.with_band(
        columns.figure("Samples/s", lambda row: row[1].samples_per_second),
        lambda row: row[1].speed_band,
    ),
)


def draw_effective_batch(analysis: Analysis) -> None:
    """Draw how the effective batch that was asked for is reached."""
    found = analysis.effective_batch
    if found is None:
        return
    st.subheader("Effective batch", anchor=False)
    draw_table(_ACCUMULATED, found.steps, "How the effective batch is reached")
    say.caption("{} Figures are {}.", learning_rate_words(found), analysis.target.source)


def draw_lengths(analysis: Analysis) -> None:
    """Draw what the lengths that were given mean for the batch."""
    found = analysis.lengths
    if found is None:
        return
    st.subheader("Lengths", anchor=False)
    about, *rest = length_lines(analysis)
    for line in rest:
        say.line("{}", line)
    rows = [(made.name, trial) for made in found.batchings for trial in made.trials]
    if rows:
        draw_table(_BATCHINGS, rows, "Batches by length")
    say.caption("{}", about)
