"""The benchmark of other people's workloads: a handful of them, its arithmetic and its words."""

import json
import os
import sys
import time

import pytest
import torch
import workloads
from workloads import Result, line, run_case, summary
from zoo.cases import Case, list_cases

from memorymark.errors import UnsupportedOperation
from memorymark.probes.cpu import CpuProbe


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def result(measured=1000, simulated=1000, *said, name="w", status="ok"):
    return Result(name, status, measured, simulated, assumptions=said)


def case_of(name):
    return next(case for case in list_cases() if case.name == name)


@pytest.mark.parametrize(
    "name",
    ["zoo.llama:nanochat", "zoo.generative:vae", "zoo.graphs:gat", "zoo.science:meta_learning",
     "zoo.contrast:byol", "zoo.control:ppo"],
)  # fmt: skip
def test_a_workload_is_simulated_as_it_is_measured(name):
    found = run_case(case_of(name))
    assert found.status == "ok" and found.is_within, line(found)


def test_what_is_measured_is_what_the_probe_measures():
    case = case_of("zoo.recommenders:ncf")
    trial = CpuProbe(workloads._BUDGET).run_trial(workloads._spec(case))
    assert run_case(case).measured_bytes == trial.peak_allocated_bytes


def test_names_are_unique_and_there_are_enough():
    names = [case.name for case in list_cases()]
    assert len(set(names)) == len(names) >= 100
    assert sum(name.startswith("hf:") for name in names) >= 15


@pytest.mark.parametrize(
    ("simulated", "said", "within", "silent"),
    [(1000, (), True, False), (1001, (), True, False), (999, (), True, False),
     (1002, (), False, False), (998, (), False, True), (998, ("zeros are assumed",), False, False)],
)  # fmt: skip
def test_what_is_within_and_what_is_silently_low(simulated, said, within, silent):
    made = result(1000, simulated, *said)
    assert (made.is_within, made.is_silently_low) == (within, silent)


def test_refused_ones_count_and_skipped_ones_do_not():
    refused = Result("r", "refused", 1000, reason="It needs data.")
    skipped = Result("s", "skipped", reason="timm is not installed")
    counts = summary([result(), refused, skipped])
    assert (counts["workloads"], counts["within"], counts["share"]) == (2, 1, 0.5)
    assert (counts["refused"], counts["skipped"], counts["met"]) == (1, 1, False)


def test_the_bar_is_missed_by_one_that_is_silently_low():
    good = [result(name=str(index)) for index in range(99)]
    assert summary([*good, result(1000, 1100)])["met"]
    counts = summary([*good, result(1000, 900, name="low")])
    assert counts["silently_low"] == ["low"] and not counts["met"]
    assert not summary([])["met"]


def test_a_refusal_keeps_its_sentence(monkeypatch):
    def refuse(case):
        raise UnsupportedOperation("Measure it on a device instead.")

    monkeypatch.setattr(workloads, "simulated_trace", refuse)
    found = run_case(case_of("zoo.series:doubly_residual"))
    assert (found.status, found.parity) == ("refused", None)
    assert line(found).endswith("refused  Measure it on a device instead.")


def test_what_raises_is_kept_and_counts(monkeypatch):
    def fail(case):
        raise ValueError("no reason")

    monkeypatch.setattr(workloads, "simulated_trace", fail)
    found = run_case(case_of("zoo.series:doubly_residual"))
    assert (found.status, found.reason) == ("failed", "ValueError: no reason")
    assert summary([found])["share"] == 0


def test_a_workload_of_a_package_that_is_missing_is_skipped(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    found = run_case(case_of("timm:resnet18"))
    assert found.status == "skipped" and "pip install timm" in found.reason


def test_a_workload_that_ends_its_process_fails_alone(monkeypatch):
    monkeypatch.setattr(workloads, "run_case", lambda case: os._exit(3))
    found = workloads.run_apart(Case("a"))
    assert (found.status, found.reason) == ("failed", "The process ended with code 3.")


def test_a_workload_that_hangs_fails_alone(monkeypatch):
    monkeypatch.setattr(workloads, "run_case", lambda case: time.sleep(60))
    monkeypatch.setattr(workloads, "_TIMEOUT_S", 0.2)
    assert workloads.run_apart(Case("a")).reason == "It took more than 0.2 s."


def test_what_a_process_of_its_own_found_comes_back(monkeypatch):
    monkeypatch.setattr(workloads, "run_case", lambda case: result(name=case.name))
    assert workloads.run_apart(Case("a")) == result(name="a")


def test_the_command_writes_what_it_found_and_fails_where_the_bar_is_missed(
    monkeypatch, tmp_path, capsys
):
    low = result(1000, 900, name="zoo.llama:nanochat")
    monkeypatch.setattr(workloads, "run_apart", lambda case: low)
    file = tmp_path / "workloads.json"
    monkeypatch.setattr(
        "sys.argv", ["workloads.py", "--only", "llama:nanochat", "--json", str(file)]
    )
    assert workloads.main() == 1
    assert "SILENTLY LOW" in capsys.readouterr().out
    kept = json.loads(file.read_text())
    assert kept["results"][0]["parity"] == 0.9 and kept["summary"]["silently_low"] == [low.name]
