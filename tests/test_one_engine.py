"""Library, command line and app do the same job in the same way."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeProbe, FakeWorkload

from memorymark.analysis.analyze import analyze_on
from memorymark.api import model_calls as api
from memorymark.cli import main
from memorymark.gpus.catalogue import find_gpu
from memorymark.probes.common import software
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.request import Request, RequestKind
from memorymark.records.trial import Source, Target
from memorymark.service.access import AppService
from memorymark.service.guard import Visitor
from memorymark.service.history import RunHistory, RunStatus
from memorymark.settings import load_settings
from memorymark.units import GIB

GPUS = ("t4", "l4", "a10")
COSTS = {"dataset_size": 1_000_000, "epochs": 2}


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunHistory:
    """A history with the whole L4 measured, and an A10 under a budget."""
    monkeypatch.setenv("MEMORYMARK_HOME", str(tmp_path))
    monkeypatch.setenv("MEMORYMARK_PROBE_FACTORY", "app_probe:make_probe")
    history = RunHistory()
    for key, budget in (("l4", None), ("a10", 4 * GIB)):
        gpu = find_gpu(key)
        capacity = budget or gpu.total_bytes
        target = Target(gpu.name, "cuda", Source.MEASURED, capacity, gpu.total_bytes, key)
        probe = FakeProbe(target=target, seconds_per_sample=0.0004)
        analysis = analyze_on(probe, FakeWorkload("bert"), TrainingConfig())
        analysis = dataclasses.replace(analysis, software=software())
        history.save("analysis", analysis.to_dict())
    return history


def of_the_library() -> dict[str, Any]:
    return api.compare_costs("bert", gpus=GPUS, **COSTS).to_dict()


def of_the_command_line(capsys: Any) -> dict[str, Any]:
    words = ["--gpus", ",".join(GPUS), "--dataset-size", "1000000", "--epochs", "2"]
    assert main(["compare", "bert", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def of_the_app() -> dict[str, Any]:
    service = AppService(load_settings())
    options = AnalysisOptions(**COSTS)
    request = Request(RequestKind.COMPARISON, "bert", options=options, gpus=GPUS)
    job = service.start(request, Visitor())
    while job.status.is_active:
        time.sleep(0.01)
    service.close()
    run = service.history.open(job.run_id)
    assert run.status is RunStatus.DONE, run.error
    assert (run.device, run.source) == ("several GPUs", "simulated")
    return {name: value for name, value in run.record.items() if name != "run_id"}


def test_a_comparison_has_the_same_rows_everywhere(history: RunHistory, capsys: Any) -> None:
    rows = [of_the_library(), of_the_command_line(capsys), of_the_app()]
    first, second, third = (json.loads(json.dumps(each)) for each in rows)
    assert first == second == third
    sources = {row["gpu"]: row["source"] for row in first["gpus"]}
    assert sources == {"t4": "simulated", "l4": "measured", "a10": "simulated"}


def test_a_comparison_of_the_history_can_be_run_again(history: RunHistory, capsys: Any) -> None:
    before = of_the_command_line(capsys)
    kept = history.open(history.list("comparison")[0].run_id)
    again = Request.from_dict(kept.request)
    assert again.gpus == GPUS
    assert main([*again.command().split()[1:], "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == before
