"""An analysis on the page, from the verdict down to the trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from operator import attrgetter
from types import MappingProxyType

import streamlit as st

from memorymark.errors import UsageError
from memorymark.records.analysis import Analysis
from memorymark.records.codec import to_json
from memorymark.records.mark import Advice, Mark
from memorymark.records.request import Request, command_line
from memorymark.records.trial import Outcome, Source, Target, Trial
from memorymark.report.charts import batch_charts, memory_charts
from memorymark.report.charts.batch_charts import OUTCOME_WORDS
from memorymark.report.exports import trials_csv
from memorymark.report.result_scripts import script_of
from memorymark.report.sentences import analysis_lines
from memorymark.report.settings_phrase import analysis_phrase, search_phrase
from memorymark.report.verdict import largest_words, speedup_words, verdict
from memorymark.ui import columns, say
from memorymark.ui.charting import draw_spec
from memorymark.ui.columns import draw_table
from memorymark.ui.pieces import File, card, draw_exports
from memorymark.ui.results.asked_beside import draw_effective_batch, draw_lengths
from memorymark.ui.setup.choices import link_inputs
from memorymark.units import count, gib, gib_at_most, likely_rate, likely_usd, percent, rate, usd

_NO_CURRENT = "the current batch does not fit"
OUTCOME_WIDTH = 120  # pixels: "out of memory"
_NONE: Mapping[str, str] = MappingProxyType({})
_FITS = {True: "yes", False: "no", None: "not tried"}
_ADVICE = (
    columns.text("Change", attrgetter("text"), pinned=True),
    columns.memory("Memory needed", attrgetter("memory_bytes")),
    columns.memory("Memory saved", attrgetter("saved_bytes")),
    columns.text("Fits", lambda advice: _FITS[advice.fits]),
)
_SCRIPTS = ((False, "PyTorch script", "py"), (True, "Trainer script", "trainer.py"))


def step_band(trial: Trial) -> tuple[float, float] | None:
    """Return between which seconds a trial's step is likely to lie; None where not estimated."""
    low, high = trial.step_seconds_low, trial.step_seconds_high
    return None if low is None or high is None else (low, high)


TRIAL_COLUMNS = (
    columns.count("Batch size", attrgetter("batch_size")),
    columns.text("Outcome", lambda trial: OUTCOME_WORDS[trial.outcome], width=OUTCOME_WIDTH),
    columns.share("Share of capacity", attrgetter("capacity_share")),
    columns.memory("Memory needed", attrgetter("memory_bytes")),
    *columns.with_band(
        columns.figure("Samples/s", attrgetter("samples_per_second")), attrgetter("speed_band")
    ),
    *columns.with_band(columns.figure("Step time (s)", attrgetter("step_seconds")), step_band),
    columns.memory("Peak allocated", attrgetter("peak_allocated_bytes")),
    columns.memory("Peak reserved", attrgetter("peak_reserved_bytes")),
    columns.memory("Reserved, at least", attrgetter("peak_reserved_low_bytes")).where_known(),
    columns.memory("Reserved, at most", attrgetter("peak_reserved_high_bytes")).where_known(),
    columns.memory("Process memory", attrgetter("process_bytes")).where_known(),
)


def draw_analysis(
    analysis: Analysis, asked: Request | None, draw_levers: Callable[[], bool]
) -> None:
    """Draw the results from top to bottom, and what was asked for where it is known.

    Args:
        analysis: The analysis.
        asked: What it was asked for.
        draw_levers: Draws what would make room and says whether that is known: first of all where
            nothing fits, else last.
    """
    say.heading("{}", verdict(analysis))
    say.line("{}", search_phrase(analysis, asked))
    say.caption("{}", source_line(analysis.target, analysis.created_at, analysis.software))
    if analysis.nothing_fits:
        if not draw_levers():
            draw_advice(analysis)
    elif analysis.max_batch_size is not None:  # else it was ended before any batch fitted
        draw_key_figures(analysis)
    draw_findings(analysis)
    draw_effective_batch(analysis)
    draw_lengths(analysis)
    draw_curves(analysis)
    draw_memory(analysis)
    if not analysis.nothing_fits:
        draw_levers()


def draw_key_figures(analysis: Analysis) -> None:
    """Draw the figures that matter as cards."""
    current, optimal, largest = analysis.current, analysis.optimal, analysis.max
    with st.grid(4, min_column_width=175):
        _card("Current batch", current, analysis)
        _card("Recommended batch", optimal, analysis)
        _card("Largest batch that fits", largest, analysis, largest_words(analysis))
        idle = gib(analysis.waste_bytes) if current.fits is not False else _NO_CURRENT
        card(
            "Idle memory", percent(analysis.waste_share), idle,
            "Share of the memory that the current batch leaves idle.",
        )  # fmt: skip
        _speed_card(analysis)
        _saving_card("Savings per run", analysis.costs.usd_per_run, analysis)
        _saving_card("Savings per year", analysis.costs.usd_per_year, analysis)
        free = gib(analysis.headroom_bytes)
        card("Free at the recommended batch", free, f"of {gib(analysis.capacity_bytes)}")


def draw_findings(analysis: Analysis) -> None:
    """Draw what the user should know."""
    for finding in (*analysis.findings, *analysis.remarks):
        say.info("{}", finding)


def draw_curves(analysis: Analysis, key: str = "analysis") -> None:
    """Draw memory and throughput over the batch size."""
    st.subheader("Memory vs. batch size", anchor=False)
    draw_spec(batch_charts.memory_over_batch(analysis), f"{key}_memory")
    say.caption("{}", _legend(analysis))
    if analysis.nothing_fits:
        return
    st.subheader("Throughput vs. batch size", anchor=False)
    if any(trial.samples_per_second is not None for trial in analysis.trials):
        draw_spec(batch_charts.throughput_over_batch(analysis), f"{key}_throughput")
        say.caption(
            "The recommended batch is the smallest that reaches 98 % of the best throughput "
            "with {} of the memory free. Throughput is {}.",
            percent(analysis.options.headroom),
            analysis.target.source,
        )
    else:
        st.caption("This run has no throughput.")


def draw_memory(analysis: Analysis) -> None:
    """Draw where the memory goes at the marks, the largest holders and one step."""
    trials = marked_trials(analysis)
    if not trials:
        return
    st.subheader("Where the memory goes", anchor=False)
    draw_spec(memory_charts.category_bars(trials), "category_chart")
    labels = list(trials)
    chosen = st.segmented_control(
        "Details for batch size", labels, default=labels[0], key="closer", required=True
    )
    trial = trials.get(chosen or "", trials[labels[0]])
    left, right = st.columns(2)
    with left:
        _holders(trial)
    with right:
        _timeline(trial)


def draw_advice(analysis: Analysis) -> None:
    """Say what to change where nothing fits, with each change's simulated gain."""
    if analysis.advice:
        st.markdown("**Changes that were tried one by one**")
        draw_table(_ADVICE, analysis.advice, "Changes that reduce memory")
        say.caption("{}", _about_gains(analysis.advice))


def draw_evidence(analysis: Analysis, request: Request | None) -> None:
    """Draw the trials and the exports."""
    st.subheader("Trials", anchor=False)
    draw_table(TRIAL_COLUMNS, analysis.trials, "The trials of this analysis")
    draw_assumptions(analysis)
    settings = analysis_phrase(analysis, request)
    report = "\n".join(analysis_lines(analysis, request))
    files = [
        File("JSON", lambda: to_json(analysis), "json"),
        File("Trials (CSV)", lambda: trials_csv(analysis.trials, settings), "csv"),
        File("Report (text)", lambda: report, "txt"),
        *script_files(analysis),
    ]
    carried = link_inputs(request.options if request else None)
    budget, given = (request.memory_budget, request.config) if request else (None, None)
    command = command_line(analysis, budget, given)
    draw_exports(analysis.run_id, command, files, carried)


def script_files(analysis: Analysis) -> list[File]:
    """Return the scripts that train with the recommended batch, as far as there are any."""
    files = []
    for trainer, label, ending in _SCRIPTS:
        with suppress(UsageError):
            text = script_of(analysis, trainer=trainer)
            files.append(File(label, lambda text=text: text, ending))
    return files


def draw_assumptions(analysis: Analysis) -> None:
    """List the assumptions of the trials."""
    said = dict.fromkeys(text for trial in analysis.trials for text in trial.assumptions)
    if said:
        with st.expander("Assumptions", icon=":material/help:"):
            for text in said:
                say.line("- {}", text)


def marked_trials(analysis: Analysis) -> dict[str, Trial]:
    """Return the trials at the marks, those at one batch size once, with their labels."""
    trials: dict[str, Trial] = {}
    for names, mark in batch_charts.grouped_marks(analysis):
        if mark.trial is not None and mark.trial.breakdown is not None:
            trials[batch_charts.mark_label(names, mark.batch_size)] = mark.trial
    return trials


def source_line(target: Target, created_at: str = "", software: Mapping[str, str] = _NONE) -> str:
    """Say where figures come from: measured or simulated, on what, when, with what."""
    how = "Measured on" if target.source is Source.MEASURED else "Simulated for"
    when = f"{created_at[:16].replace('T', ' ')} UTC" if created_at else ""
    versions = ", ".join(f"{name} {version}" for name, version in software.items())
    return " · ".join(part for part in (f"{how} {target.name}", when, versions) if part)


def memory_of_mark(mark: Mark, analysis: Analysis) -> str:
    """Say what a batch takes, at most where that is a range, or that it does not fit."""
    if mark.fits is False:
        needs = (mark.trial.memory_bytes if mark.trial is not None else None) or 0
        is_known = needs > (analysis.capacity_bytes or 0)
        return f"does not fit: needs {gib(needs)}" if is_known else "does not fit"
    how = " (interpolated)" if mark.interpolated else ""
    if mark.trial is not None and mark.trial not in analysis.trials:
        how = " (simulated)"
    most = gib_at_most(mark.memory_bytes, mark.most_memory_bytes)
    return f"{gib(mark.memory_bytes)}{most}{how}"


def _card(label: str, mark: Mark, analysis: Analysis, words: str | None = None) -> None:
    told = f"Peak memory, {analysis.target.source}; throughput {rate(mark.samples_per_second)} "
    band = likely_rate(mark.speed_band)
    memory = memory_of_mark(mark, analysis)
    card(label, words or count(mark.batch_size), memory, f"{told}samples/s{band}.")


def _speed_card(analysis: Analysis) -> None:
    before, after = analysis.current.samples_per_second, analysis.optimal.samples_per_second
    to = f"{rate(after)} samples/s{likely_rate(analysis.optimal.speed_band)}"
    card(
        "Speed-up", speedup_words(analysis),
        f"{rate(before)} to {to}" if before is not None else f"{to} at the recommended batch",
        "Throughput at the recommended batch divided by throughput at the current one, "
        f"{analysis.target.source}. It is not the ratio of the batch sizes.",
    )  # fmt: skip


def _saving_card(label: str, saved: float | None, analysis: Analysis) -> None:
    options = analysis.options
    if analysis.current.fits is False:
        note = _NO_CURRENT
    else:
        note = _money_note(options.price_per_hour, options.dataset_size is None)
    card(label, usd(saved), f"{note}{likely_usd(analysis.likely_saving(saved))}")


def _money_note(price: float | None, no_size: bool) -> str:
    if price is None:
        return "needs a GPU price"
    return "needs a data set size" if no_size else f"at {usd(price)} per hour"


def _holders(trial: Trial) -> None:
    st.markdown("**Top 10 by memory at the peak**")
    if trial.holders:
        draw_spec(memory_charts.holder_bars(trial), "holder_chart")
    else:
        st.caption("This run has no breakdown by module.")


def _timeline(trial: Trial) -> None:
    st.markdown("**Memory during one step**")
    if trial.timeline is not None:
        draw_spec(memory_charts.step_timeline(trial), "timeline_chart")
    else:
        st.caption("This run has no memory timeline.")


def _about_gains(advice: Sequence[Advice]) -> str:
    tried = next((change for change in advice if change.fits is not None), None)
    if tried is None:
        return "These changes were not tried. Simulate a catalogue GPU to see what each saves."
    return f"Simulated at batch size {tried.batch_size}."


def _legend(analysis: Analysis) -> str:
    kinds = {str(trial.source) for trial in analysis.trials}
    dots = {"measured": "Filled points are measured", "simulated": "Hollow points are simulated"}
    said = [words for source, words in dots.items() if source in kinds]
    if any(trial.outcome is Outcome.OOM for trial in analysis.trials):
        said.append("crosses are out of memory")
    said.append(
        f"the band is the headroom, {percent(analysis.options.headroom)} of the memory that is "
        "kept free for what varies from step to step"
    )
    if any(batch_charts.has_range(trial) for trial in analysis.trials):
        said.append(
            "the band along the line is where the peak lies, depending on which cuDNN workspaces "
            "find room"
        )
    optimal = analysis.optimal.trial
    spread = optimal.reserved_range if optimal is not None else None
    about = f" At the recommended batch: {spread}." if spread else ""
    if any(mark.interpolated for mark in (analysis.current, analysis.optimal, analysis.max)):
        said.append("diamonds are interpolated")
    told = "; ".join(said)
    return f"{told[0].upper()}{told[1:]}. Hover for exact bytes.{about}"
