"""What a run that was stopped had found is drawn like any other result."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes import FakeProbe, FakeWorkload, simulated_target

from memorymark.analysis.analyze import analyze_on
from memorymark.analysis.validate import validate_backward_on, validate_compile_on
from memorymark.errors import Cancelled
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.event import CancelToken, EventKind
from memorymark.records.request import Request, RequestKind
from memorymark.service.history import RunHistory, RunStatus
from memorymark.service.run import begun_run

KINDS = {
    RequestKind.ANALYSIS: ("analysis", analyze_on, AnalysisOptions()),
    RequestKind.BACKWARD: ("backward_validation", validate_backward_on, 16),
    RequestKind.COMPILE: ("backward_validation", validate_compile_on, 16),
}


def stopped_after(trials, kind, **probe):
    """Return what is known of a work that was stopped after so many trials."""
    token, left, (_, work, how) = CancelToken(), iter(range(trials - 1)), KINDS[kind]

    def on_event(event):
        if event.kind is EventKind.TRIAL_FINISHED and next(left, None) is None:
            token.cancel()

    with pytest.raises(Cancelled) as stop:
        work(FakeProbe(**probe), FakeWorkload("bert"), TrainingConfig(), how, on_event=on_event,
             cancel=token)  # fmt: skip
    return stop.value.partial


@pytest.mark.parametrize(
    ("kind", "trials", "probe"),
    [
        (RequestKind.ANALYSIS, 1, {}),
        (RequestKind.ANALYSIS, 1, {"target": simulated_target()}),
        (RequestKind.ANALYSIS, 1, {"fixed_bytes": 2**50}),
        (RequestKind.ANALYSIS, 3, {"seconds_per_sample": None}),
        (RequestKind.BACKWARD, 1, {}),
        (RequestKind.BACKWARD, 3, {}),
        (RequestKind.BACKWARD, 5, {}),
        (RequestKind.BACKWARD, 1, {"fixed_bytes": 2**50}),
        (RequestKind.COMPILE, 1, {}),
        (RequestKind.COMPILE, 1, {"fixed_bytes": 2**50}),
    ],
)
def test_what_was_found_is_drawn(app, kind, trials, probe):
    record = stopped_after(trials, kind, **probe)
    batch = {} if kind is RequestKind.ANALYSIS else {"batch_size": 16}
    request = Request(kind, "bert", device="cpu", **batch).to_dict()
    run = begun_run("stopped0", kind, request, RunStatus.CANCELLED, None)
    RunHistory().keep(replace(run, record=record.to_dict()))
    app.query_params["run"] = "stopped0"
    app.switch_page(f"pages/{KINDS[kind][0]}.py").run()
    assert not app.exception
    said = [each.value for name in ("markdown", "warning", "info") for each in getattr(app, name)]
    assert any("topped" in text or "ancelled" in text for text in said)
    assert not any("before it had a result" in text for text in said)
    assert not [text for text in said if "None" in text or "nan" in text]


@pytest.mark.parametrize("kind", [*KINDS, RequestKind.LEVERS, RequestKind.COMPARISON])
def test_a_run_that_was_cancelled_before_it_found_anything_says_so(app, kind):
    where = {} if kind is RequestKind.COMPARISON else {"gpu": "t4"}
    if kind in (RequestKind.BACKWARD, RequestKind.COMPILE):
        where["batch_size"] = 16
    request = Request(kind, "gpt2", TrainingConfig(seq_len=64), **where)
    RunHistory().begin("stopped0", kind, request.to_dict())
    RunHistory().finish("stopped0", RunStatus.CANCELLED, error="Cancelled by the user.")
    app.query_params["run"] = "stopped0"
    page = {RequestKind.LEVERS: "levers", RequestKind.COMPARISON: "cost_comparison"}
    app.switch_page(f"pages/{page.get(kind) or KINDS[kind][0]}.py").run()
    assert not app.exception
    said = [warning.value for warning in app.warning]
    of = {"t4": "NVIDIA T4"}.get(where.get("gpu"), "several GPUs")
    batch = " · batch size 16" if "batch_size" in where else ""
    assert said == [
        f"This run was cancelled before it had a result: gpt2 · {of}{batch} · fp32 · 64 tokens · "
        "adamw. Start it again, or change the settings first."
    ]
    assert not app.error and not app.metric  # nothing is shown as a result
    assert app.selectbox(key="setup_model").value == "gpt2"
    assert app.number_input(key="setup_seq_len").value == 64
    if where:
        assert app.selectbox(key="setup_target").value == "gpu=t4"
