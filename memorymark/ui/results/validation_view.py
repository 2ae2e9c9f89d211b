"""The two validations on the page."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from memorymark.records.trial import GradientCheck, Stage, Trial
from memorymark.records.validation import BackwardValidation, CompileValidation, Verdict
from memorymark.report.charts import validation_charts as charts
from memorymark.report.charts.batch_charts import OUTCOME_WORDS
from memorymark.report.exports import trials_csv
from memorymark.report.sentences import backward_lines, compile_lines
from memorymark.report.settings_phrase import validation_phrase
from memorymark.report.validation_words import other_reasons, verdict_words
from memorymark.service.history import Run
from memorymark.ui import say
from memorymark.ui.charting import draw_spec
from memorymark.ui.kept_runs import export_run, request_of
from memorymark.ui.pieces import File, card, draw_exports
from memorymark.ui.results.analysis_view import source_line
from memorymark.units import GIB, UNKNOWN, count, gib, mib_or_gib, rate, seconds


def draw_backward(run: Run) -> None:
    """Draw a validation of the backward pass."""
    validation, asked = BackwardValidation.from_dict(run.record or {}), request_of(run)
    _head(validation_phrase(validation, asked), validation)
    say.caption("{}", source_line(validation.target, software=validation.trials[0].software))
    _backward_figures(validation)
    draw_spec(charts.stage_bars(validation), "stages")
    _draw_gradients(validation.gradients)
    _draw_overreach(validation)
    for finding in validation.findings:
        say.info("{}", finding)
    lines, settings = backward_lines(validation, asked), validation_phrase(validation, asked)
    _draw_exports(run, validation.trials, lines, settings)


def draw_compile(run: Run) -> None:
    """Draw a validation of torch.compile."""
    validation, asked = CompileValidation.from_dict(run.record or {}), request_of(run)
    title = f"torch.compile · {validation_phrase(validation, asked)}"
    _head(title, validation)
    say.caption("{}", source_line(validation.target, software=validation.eager.software))
    speedup, steps = validation.speedup, validation.break_even_steps
    with st.grid(4, min_column_width=175):
        card("Eager step", seconds(validation.eager.step_seconds), _rate(validation.eager))
        card("Compiled step", seconds(validation.compiled.step_seconds), _rate(validation.compiled))
        card("Speed-up", UNKNOWN if speedup is None else f"{speedup:.2f} x", "compiled over eager")
        card("Compile time", seconds(validation.compile_seconds), "once")
        card("Break-even", UNKNOWN if steps is None else f"{steps:,} steps", "of training")
        card("Eager memory", gib(validation.eager.peak_allocated_bytes), "peak allocated")
        card("Compiled memory", gib(validation.compiled.peak_allocated_bytes), "peak allocated")
    if validation.compile_seconds is not None and validation.eager.step_seconds is not None:
        draw_spec(charts.break_even(validation), "break_even")
    trials = (validation.eager, validation.compiled)
    lines, settings = compile_lines(validation, asked), validation_phrase(validation, asked)
    _draw_exports(run, trials, lines, settings)


def _draw_exports(run: Run, trials: Sequence[Trial], lines: Sequence[str], settings: str) -> None:
    request, report = request_of(run), "\n".join(lines)
    files = [
        File("JSON", lambda: export_run(run.run_id), "json"),
        File("Trials (CSV)", lambda: trials_csv(trials, settings), "csv"),
        File("Report (text)", lambda: report, "txt"),
    ]
    draw_exports(run.run_id, request.command() if request else None, files, {})


def _head(title: str, validation: BackwardValidation | CompileValidation) -> None:
    say.heading("{}", title)
    _draw_verdict(validation.verdict, verdict_words(validation))
    for reason in other_reasons(validation):
        say.line("{}", reason)


def _draw_verdict(verdict: Verdict, words: str) -> None:
    if verdict is Verdict.PASS:
        say.line(":green[:material/check_circle:] **{}**", words)
    elif verdict is Verdict.WARN:
        say.line(":orange[:material/warning:] **{}**", words)
    else:
        say.line(":red[:material/error:] **{}**", words)


def _backward_figures(validation: BackwardValidation) -> None:
    ratio, over = validation.ratio, validation.overestimate
    peaks = [size for size in validation.stages.values() if size is not None]
    write = gib if max(peaks, default=0) >= GIB else mib_or_gib
    with st.grid(4, min_column_width=175):
        card(
            "Backward ratio",
            UNKNOWN if ratio is None else f"{ratio:.2f} x",
            "peak vs. forward only",
        )
        for stage, words in charts.STAGE_WORDS.items():
            trial = validation.trial(stage)
            card(words, write(trial.peak_allocated_bytes), OUTCOME_WORDS[trial.outcome])
        card("Largest batch that trains", count(validation.max_batch_size), "whole training step")
        card(
            "Forward pass only would say",
            count(validation.forward_only_max_batch_size),
            "largest batch" if over is None else f"{over:.1f} times too large",
        )


def _draw_gradients(check: GradientCheck | None) -> None:
    st.subheader("Gradients", anchor=False)
    if check is None:
        st.caption("No backward pass completed, so there are no gradients to check.")
        return
    every = check.with_gradient == check.trainable_parameters
    finite = {True: "yes", False: "no", None: "unknown: a simulation computes no values"}
    equal = check.gradient_bytes == check.trainable_bytes
    rows = [
        ("Parameters with a gradient", f"{check.with_gradient} of {check.trainable_parameters}",
         "yes" if every else "no"),
        ("Gradients are finite", "", finite[check.finite]),
        ("Gradient bytes equal trainable bytes",
         f"{check.gradient_bytes:,} of {check.trainable_bytes:,} bytes", "yes" if equal else "no"),
    ]  # fmt: skip
    for name, figures, holds in rows:
        say.line("- {}: **{}** ({})" if figures else "- {}: **{}**", name, holds, figures)
    if check.missing:
        say.caption("Without a gradient: {}", ", ".join(check.missing))


def _draw_overreach(validation: BackwardValidation) -> None:
    recommended = validation.forward_only_max_batch_size
    if recommended is None:
        return
    st.subheader("What a tool that only runs the forward pass would say", anchor=False)
    if validation.max_batch_size is not None:
        say.line(
            "It would say that batch **{:,}** fits. The largest batch that trains is **{:,}**.",
            recommended,
            validation.max_batch_size,
        )
    draw_spec(charts.overreach(validation), "overreach")
    say.caption(
        "The dashed line extrapolates the memory of the training step beyond the largest batch "
        "size tried; the points are {}.",
        validation.trial(Stage.STEP).source,
    )


def _rate(trial: Trial) -> str:
    return f"{rate(trial.samples_per_second)} samples/s"
