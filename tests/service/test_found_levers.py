"""The levers of an analysis: asked for as it was, and found again."""

import dataclasses

import pytest
from fakes import FakeProbe, FakeWorkload, simulated_target

from memorymark.analysis.analyze import analyze_on
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.lever import Lever, LeverReport
from memorymark.records.request import Request, RequestKind
from memorymark.service import first_run
from memorymark.service.found_levers import found_levers, levers_request
from memorymark.service.history import RunHistory

NOW = {"memorymark": "2", "torch": "2", "transformers": "2"}
OLD = {name: "1" for name in NOW}
TARGET = dataclasses.replace(simulated_target(), gpu_key="l4")


@pytest.fixture(autouse=True)
def versions(monkeypatch):
    monkeypatch.setattr(first_run, "_version", NOW.__getitem__)


@pytest.fixture
def history(tmp_path):
    return RunHistory(tmp_path / "runs.sqlite3")


def analysis(software=NOW, **options):
    found = analyze_on(
        FakeProbe(target=TARGET), FakeWorkload("bert"), TrainingConfig(), AnalysisOptions(**options)
    )
    return dataclasses.replace(found, software=software)


def keep(history, request, software):
    report = LeverReport(
        "bert", request.config, TARGET, request.options, Lever("As it is", {}), software=software
    )
    return history.save("levers", report.to_dict(), request=request.to_dict())


def test_levers_are_asked_for_as_the_analysis_was():
    asked = Request(
        RequestKind.ANALYSIS, "bert", TrainingConfig(precision="bf16"), gpu="l4",
        memory_budget=2**33, options=AnalysisOptions(dataset_size=10, headroom=0.2),
    )  # fmt: skip
    made = levers_request(analysis(current_batch_size=4, dataset_size=99), asked)
    assert (made.kind, made.gpu, made.memory_budget) == (RequestKind.LEVERS, "l4", 2**33)
    assert made.config == asked.config
    assert made.options == AnalysisOptions(current_batch_size=4, dataset_size=10)
    unknown = dataclasses.replace(
        analysis(), target=dataclasses.replace(TARGET, gpu_key=None, name="Some device")
    )
    assert levers_request(unknown, None) is None


@pytest.mark.parametrize(
    ("made_with", "analysed_with", "is_found"),
    [(NOW, NOW, True), (OLD, OLD, True), (NOW, OLD, True), (OLD, NOW, False)],
)
def test_levers_are_found_of_this_software_and_of_that_of_the_analysis(
    history, made_with, analysed_with, is_found
):
    found = analysis(analysed_with)
    request = levers_request(found, None)
    run_id = keep(history, request, made_with)
    other = dataclasses.replace(request, config=TrainingConfig(seq_len=7))
    keep(history, other, made_with)
    assert found_levers(history, request, found) == (run_id if is_found else None)
