"""Levers on the page: what a button applies, and what is refused."""

from __future__ import annotations

import dataclasses

import pytest
from fakes import FakeProbe, FakeWorkload, simulated_target

from memorymark.analysis.analyze import analyze_on
from memorymark.errors import NotAllowed
from memorymark.gpus.catalogue import find_gpu
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.lever import Lever, LeverReport
from memorymark.records.request import Request, RequestKind
from memorymark.service.access import AppService
from memorymark.service.history import RunHistory
from memorymark.units import GIB

TARGET = dataclasses.replace(
    simulated_target(), name=find_gpu("a100-40gb").name, gpu_key="a100-40gb"
)
REPORT = LeverReport(
    workload="bert",
    config=TrainingConfig(),
    target=TARGET,
    options=AnalysisOptions(),
    before=Lever("As it is", {}, True, 4 * GIB, memory_bytes=4 * GIB, samples_per_second=100.0),
    levers=(
        Lever(
            "Half the batch in amp-bf16",
            {"precision": "amp-bf16", "batch_size": 8, "gradient_accumulation": 2},
            True, 2 * GIB, 2 * GIB, 64, 150.0, 1.5, "Rounds.", "first line\nsecond line",
            memory_bytes=2 * GIB,
        ),
    ),
    created_at="2026-11-22T00:00:00+00:00",
)  # fmt: skip


def opened(app, report):
    request = Request(RequestKind.LEVERS, "bert", gpu="a100-40gb")
    app.query_params["run"] = RunHistory().save(
        "levers", {**report.to_dict(), "run_id": None}, request=request.to_dict()
    )
    app.switch_page("pages/levers.py").run()
    assert not app.exception
    return app


def buttons(app, word):
    return [button for button in app.button if button.label.startswith(word)]


def test_a_lever_is_applied_to_the_setup(app):
    opened(app, REPORT)
    assert app.code[0].value == "first line\nsecond line"
    assert app.dataframe[0].value["Memory saved (GiB)"].tolist() == [2.0]
    (button,) = buttons(app, "Apply")
    button.click().run()
    setup = app.session_state["setup"]
    assert (setup["precision"], setup["current_batch_size"]) == ("amp-bf16", 8)
    assert setup["gradient_accumulation"] == 2


@pytest.mark.parametrize("changes", [{"nonsense": 1}, {"precision": "int3"}, {"seq_len": -1}])
def test_settings_that_this_version_does_not_take_are_not_applied(app, changes):
    lever = dataclasses.replace(REPORT.levers[0], changes=changes)
    opened(app, dataclasses.replace(REPORT, levers=(lever,)))
    (button,) = buttons(app, "Apply")
    assert (button.disabled and str(*changes.values()) in button.help) or "nonsense" in button.help


def test_an_error_stands_beside_the_button_below_an_analysis(app, monkeypatch):
    def refuse(*given):
        raise NotAllowed("The owner lets nobody start.")

    found = analyze_on(FakeProbe(GIB, GIB, target=TARGET), FakeWorkload("bert"), TrainingConfig())
    app.query_params["run"] = RunHistory().save("analysis", found.to_dict())
    app.run()
    monkeypatch.setattr(AppService, "start", refuse)
    (button,) = buttons(app, "Find what would make room")
    button.click().run()
    assert not app.exception
    assert [each.value for each in app.error] == ["The owner lets nobody start."]
