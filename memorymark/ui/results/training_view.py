"""A training on the page: its answer, curves, budgets, what it would take elsewhere, its model."""

from __future__ import annotations

import csv
import dataclasses

import streamlit as st

from memorymark.records.codec import to_json
from memorymark.records.request import Request
from memorymark.records.session_run import Verdict
from memorymark.records.training_run import TrainingRun
from memorymark.records.upload_names import own_name, upload_hash
from memorymark.report.charts.training_charts import Curve
from memorymark.report.exports import kept_steps_csv, steps_csv
from memorymark.report.training_lines import (
    forecast_rows,
    training_figures,
    training_lines,
    training_notes,
    training_sentence,
    verdict_lines,
)
from memorymark.service.history import Run
from memorymark.ui import columns, say
from memorymark.ui.columns import draw_table
from memorymark.ui.engine import app_service, visitor
from memorymark.ui.frame import pages
from memorymark.ui.kept_runs import request_of
from memorymark.ui.pieces import File, card, draw_exports
from memorymark.ui.results.analysis_view import source_line
from memorymark.ui.results.press import start_job
from memorymark.ui.results.training_curves import draw_losses, draw_memory_and_speed, run_name
from memorymark.ui.results.training_progress import draw_samples
from memorymark.ui.setup.choices import link_inputs
from memorymark.units import UNKNOWN, mib_or_gib, rate, seconds

FIGURES = (
    columns.text("Figure", lambda row: row[0], width="medium"),
    columns.text("Value", lambda row: row[1], width="large"),
)
_FORECASTS = tuple(
    columns.text(title, lambda row, place=place: row[place], pinned=not place)
    for place, title in enumerate(("GPU", "Fits", "Memory", "Time", "Cost"))
)


def draw_go_on(run: Run | None) -> None:
    """Draw the button that goes on with a training which ended early, where it can."""
    if run is None or run.status.is_active or not app_service().can_go_on(run):
        return
    if st.button(
        "Resume", key=f"resume_{run.run_id}", icon=":material/resume:",
        help="Goes on from the newest checkpoint, with the same settings and a new time budget.",
    ):  # fmt: skip
        start_job(lambda: app_service().go_on(run.run_id, visitor()))


def draw_training(run: Run) -> None:
    """Draw a training that ended, at its end or before."""
    found, request = TrainingRun.from_dict(run.record or {}), request_of(run)
    say.heading("{}", training_sentence(found))
    say.caption("{}", source_line(found.target, found.created_at, found.software))
    if found.error is not None:
        say.error("{}", found.error)
    _draw_verdicts(found)
    _draw_cards(found)
    draw_model_link(found)
    draw_losses(run.run_id, [Curve("", found)], run_name(run))
    draw_memory_and_speed(found, run.run_id)
    draw_samples(found)
    _draw_forecasts(found)
    for note in training_notes(found):
        say.info("{}", note)
    st.subheader("All figures", anchor=False)
    draw_table(FIGURES, training_figures(found), "Figures of the training")
    _draw_exports(run, found, request)


def draw_model_link(found: TrainingRun) -> None:
    """Draw the way to the page Generate with the trained model, where the app may open it."""
    model = f"hf:{found.model_folder}"
    if found.model_folder is None or not app_service().may_open(model):
        return
    st.page_link(
        page=pages()["generate"], label="Open the trained model on Generate",
        icon=":material/edit_note:", query_params={"model": model},
    )  # fmt: skip


def asked_command(request: Request | None) -> str | None:
    """Return the command line of a training, without what the app alone keeps; None if unknown."""
    plan = None if request is None else request.training
    if request is None or plan is None:
        return None
    data = None if plan.data is None else own_name(plan.data)
    plan = dataclasses.replace(plan, data=data, checkpoint=None, resume=False)
    return dataclasses.replace(request, training=plan).command()


def say_upload(request: Request | None) -> None:
    """Say that the command names a file which has to be there."""
    data = None if request is None or request.training is None else request.training.data
    if data and upload_hash(data):
        say.caption("The command below reads what was uploaded: save it as {} first.",
                    own_name(data))  # fmt: skip


def _draw_verdicts(found: TrainingRun) -> None:
    kept = [each.verdict for each in found.verdicts.values()]
    for line, verdict in zip(verdict_lines(found), _proven(kept), strict=True):
        draw = say.warning if verdict is Verdict.FAIL else say.line
        draw("{}", line)


def _proven(verdicts: list[Verdict]) -> list[Verdict]:
    return [each for each in verdicts if each is not Verdict.NOT_PROVEN]


def _draw_cards(found: TrainingRun) -> None:
    unit = "Samples/s" if found.tokens is None else "Tokens/s"
    best = "" if found.best_eval_loss is None else f"best: {found.best_eval_loss:.4f}"
    with st.grid(3, min_column_width=150):
        card("Evaluation loss", _number(found.eval_loss), best or "not evaluated")
        card("Training loss", _number(found.train_loss), "mean of the last steps")
        card("Perplexity", _number(found.perplexity, 2), "a token, of the evaluation")
        card(unit, rate(found.per_second), "measured, of all steps")
        card("Peak, measured", mib_or_gib(found.peak_memory_bytes),
             f"predicted: {mib_or_gib(found.predicted_peak_bytes)}")  # fmt: skip
        card("Trained for", seconds(found.seconds), f"{seconds(found.elapsed_seconds)} in all")


def _draw_forecasts(found: TrainingRun) -> None:
    rows = forecast_rows(found)
    if not rows:
        return
    st.subheader("The same training elsewhere", anchor=False)
    st.caption("Simulated for GPUs of the catalogue, the cheapest first; none of it was run.")
    draw_table(_FORECASTS, rows, "Fit, memory, time and cost of the same training on other GPUs")


def _draw_exports(run: Run, found: TrainingRun, request: Request | None) -> None:
    text = "\n".join(training_lines(found))
    files = [
        File("JSON", lambda: to_json(found), "json"),
        File("Report (text)", lambda: text, "txt"),
        File("Steps (CSV)", lambda: _steps(found), "csv"),
    ]
    say_upload(request)
    draw_exports(run.run_id, asked_command(request), files, link_inputs(None))


def _steps(found: TrainingRun) -> str:
    """Return every step where the run's own folder is there; else those that the record has."""
    file = app_service().steps_file(found.checkpoint)
    try:
        if file is not None:
            return kept_steps_csv(file.read_text(encoding="utf-8", errors="replace"))
    except (OSError, csv.Error):
        pass
    return steps_csv(found)


def _number(value: float | None, digits: int = 4) -> str:
    return UNKNOWN if value is None else f"{value:,.{digits}f}"
