"""A generation on the page: text as it is made, then with its figures. Plain text, never markup."""

from __future__ import annotations

import streamlit as st

from memorymark.records.codec import to_json
from memorymark.records.event import EventKind
from memorymark.records.generation_run import GenerationRun
from memorymark.report.charts.blend_charts import blend_shares_chart
from memorymark.report.generation_lines import (
    error_words,
    generation_figures,
    generation_lines,
    generation_notes,
    generation_sentence,
)
from memorymark.report.visible import visible_text
from memorymark.service.history import Run
from memorymark.ui import columns, say
from memorymark.ui.charting import draw_spec
from memorymark.ui.columns import draw_table
from memorymark.ui.engine import app_service
from memorymark.ui.kept_runs import events_of, request_of
from memorymark.ui.pieces import File, card, draw_exports
from memorymark.ui.results.analysis_view import source_line
from memorymark.ui.results.job_view import draw_phases
from memorymark.ui.setup.choices import link_inputs
from memorymark.ui.setup.uploads import uploaded_files, with_own_names
from memorymark.ui.slots import drawing
from memorymark.units import count, mib_or_gib, percent, rate, seconds

_POLL_SECONDS = 0.4
_FIGURES = (
    columns.text("Figure", lambda row: row[0], width="medium"),
    columns.text("Value", lambda row: row[1], width="large"),
)
_LABELS = (
    columns.text("Class", lambda label: label.name, width="large"),
    columns.text("Share", lambda label: percent(label.share), width="small"),
)


@st.fragment(run_every=_POLL_SECONDS)
def watch_text(run_id: str) -> None:
    """Draw what an active run has written so far, with what it came to by then."""
    with drawing():
        job = app_service().jobs.get(run_id)
        events = events_of(run_id)
        pieces = [event for event in events if event.kind is EventKind.TEXT]
        if job is not None and not pieces:
            draw_phases(events, job.status)
        _draw_text("".join(event.text for event in pieces), run_id)
        if job is not None and job.known is not None and pieces:
            _draw_live(GenerationRun.from_dict(job.known))


def draw_generation(run: Run) -> None:
    """Draw a finished generation."""
    found, request = GenerationRun.from_dict(run.record or {}), request_of(run)
    say.heading("{}", generation_sentence(found))
    say.caption("{}", source_line(found.target, found.created_at, found.software))
    if found.plan.prompt:
        say.line("Prompt: {}", found.plan.prompt)
    if found.labels:
        draw_table(_LABELS, found.labels, "The likeliest classes")
    elif found.text is not None:
        _draw_text(found.text, run.run_id)
    _draw_cards(found)
    if found.blend_shares:
        spec = blend_shares_chart(found.blend_shares, found.plan.blend_share)
        draw_spec(spec, f"blend_shares_{run.run_id}")
    for note in generation_notes(found):
        say.info("{}", note)
    st.subheader("All figures", anchor=False)
    draw_table(_FIGURES, generation_figures(found), "Figures of the generation")
    text = "\n".join(generation_lines(found))
    files = [
        File("JSON", lambda: to_json(found), "json"),
        File("Report (text)", lambda: text, "txt"),
    ]
    command = None if request is None else with_own_names(request).command()
    for name in uploaded_files(found.plan):
        say.caption(
            "What was uploaded is not kept: for the command below, save it as {} first.", name
        )
    draw_exports(run.run_id, command, files, link_inputs(None))


def _draw_text(text: str, run_id: str) -> None:
    """Draw what a model wrote as it is: no markup of it means anything."""
    with st.container(key=f"written_{run_id}"):
        st.code(visible_text(text) or "…", language=None, wrap_lines=True)


def _draw_live(found: GenerationRun) -> None:
    """Draw the figures of a text that is not at its end."""
    with st.grid(3, min_column_width=150):
        card("New tokens", count(found.new_tokens), f"of {count(found.plan.max_new_tokens)}")
        card("New tokens/s", rate(found.decode_tokens_per_second), "measured, after the first")
        card("First token", seconds(found.first_token_seconds), "measured, after the inputs")
        card("Prompt tokens", count(found.prompt_tokens), "read before")
        card("Peak so far", mib_or_gib(found.peak_allocated_bytes), "measured, of tensors")
        card("Peak, predicted", mib_or_gib(found.predicted_most_bytes), "simulated, at all tokens")
        _draw_share(found)


def _draw_cards(found: GenerationRun) -> None:
    with st.grid(4, min_column_width=150):
        card("Load", seconds(found.load_seconds), "model and weights")
        card(
            "Answer" if found.labels else "First token",
            seconds(found.first_token_seconds),
            "after the inputs",
        )
        if not found.labels:
            card("New tokens/s", rate(found.decode_tokens_per_second), "after the first")
            card("Prompt tokens/s", rate(found.prefill_tokens_per_second), "read")
        card("Peak, measured", mib_or_gib(found.peak_allocated_bytes), "of tensors")
        card(
            "Peak, predicted",
            mib_or_gib(found.predicted_peak_bytes),
            f"error: {error_words(found)}",
        )
        _draw_share(found)


def _draw_share(found: GenerationRun) -> None:
    """Draw the share of a second model, where there is one."""
    if found.plan.blend is not None:
        given = f"mean of tokens; given: {percent(found.plan.blend_share)}"
        card("Second model's share", percent(found.mean_blend_share), given)
