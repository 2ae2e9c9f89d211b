"""Two trainings on the same data: their curves over one another, and their figures side by side."""

from __future__ import annotations

import streamlit as st

from memorymark.records.codec import to_json
from memorymark.records.training_comparison import TrainingComparison
from memorymark.report.charts.training_charts import Curve
from memorymark.report.exports import trainings_csv
from memorymark.report.training_lines import (
    comparison_rows,
    comparison_sentence,
    training_lines,
    training_notes,
)
from memorymark.report.visible import visible
from memorymark.service.history import Run
from memorymark.ui import columns, say
from memorymark.ui.columns import draw_table
from memorymark.ui.kept_runs import request_of
from memorymark.ui.pieces import File, draw_exports
from memorymark.ui.results.analysis_view import source_line
from memorymark.ui.results.training_curves import draw_losses
from memorymark.ui.results.training_view import asked_command, draw_model_link, say_upload
from memorymark.ui.setup.choices import link_inputs


def draw_trainings(run: Run) -> None:
    """Draw a comparison of trainings that ended."""
    found, request = TrainingComparison.from_dict(run.record or {}), request_of(run)
    first = found.runs[0]
    say.heading("{}", comparison_sentence(found))
    say.caption("{}", source_line(first.target, first.created_at, first.software))
    for each in found.runs:
        if each.error is not None:
            say.error("{}: {}", each.model, each.error)
    names = _names(found)
    draw_losses(run.run_id, [Curve(*pair) for pair in zip(names, found.runs, strict=True)])
    st.subheader("Side by side", anchor=False)
    heads = [columns.text("Figure", lambda row: row[0], pinned=True)]
    heads += [
        columns.text(name, lambda row, place=place: row[place])
        for place, name in enumerate(names, 1)
    ]
    draw_table(heads, comparison_rows(found), "Figures of the trainings, side by side")
    for name, each in zip(names, found.runs, strict=True):
        if each.model_folder is not None:
            say.caption("{}:", name)
            draw_model_link(each)
    for note in dict.fromkeys(note for each in found.runs for note in training_notes(each)):
        say.info("{}", note)
    text = "\n".join(
        [
            comparison_sentence(found),
            *(line for each in found.runs for line in training_lines(each)),
        ]
    )
    files = [
        File("JSON", lambda: to_json(found), "json"),
        File("Report (text)", lambda: text, "txt"),
        File("Steps (CSV)", lambda: trainings_csv(found), "csv"),
    ]
    say_upload(request)
    draw_exports(run.run_id, asked_command(request), files, link_inputs(None))


def _names(found: TrainingComparison) -> list[str]:
    """Return the models' names, told apart where they are the same."""
    doubled = len(set(found.models)) < len(found.models)
    return [
        visible(f"{number}. {name}" if doubled else name)
        for number, name in enumerate(found.models, 1)
    ]
