"""A link, in a browser, as its sender copies it from the address bar."""

from __future__ import annotations

from app_server import WAIT, settled
from fakes import FakeProbe, FakeWorkload

from memorymark.analysis.analyze import analyze_on
from memorymark.analysis.compare import comparison_of
from memorymark.gpus.catalogue import find_gpu
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.request import Request, RequestKind
from memorymark.service.history import RunHistory


def test_the_address_bar_holds_what_was_changed(address, server_home, tab):
    options = AnalysisOptions(dataset_size=5_000_000, epochs=3)
    request = Request(RequestKind.COMPARISON, "bert", gpus=("t4", "l4"), options=options)
    analysis = analyze_on(FakeProbe(), FakeWorkload("bert"), TrainingConfig())
    record = comparison_of([(find_gpu(key), analysis) for key in request.gpus], options.plan)
    history = RunHistory(server_home / "runs.sqlite3")
    run_id = history.save("comparison", record.to_dict(), request=request.to_dict())
    tab.goto(f"{address}/cost_comparison?run={run_id}")
    settled(tab)
    field = tab.get_by_label("Epochs per run")
    assert field.input_value() == "3"
    field.fill("7")
    field.press("Enter")
    tab.wait_for_url("**epochs=7**", timeout=WAIT)
    settled(tab)
    said = tab.get_by_role("heading", level=3).first.inner_text()
    assert said.startswith("Cheapest: ")
    tab.goto(tab.url)
    settled(tab)
    assert tab.get_by_label("Epochs per run").input_value() == "7"
    assert tab.get_by_role("heading", level=3).first.inner_text() == said
    assert f"{run_id}&epochs=7" in tab.get_by_text("/cost_comparison?run=").inner_text()
