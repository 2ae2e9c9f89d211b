"""The measuring benchmark runs on a stand-in for CUDA; its files are read back and scored."""

import json
import shutil
from dataclasses import replace
from unittest.mock import create_autospec

import accuracy
import card as card_module
import measured
import pytest
import recording
import workload_set
from fake_accelerators import FakeCuda, cuda_probe
from fakes import FakeProbe, FakeWorkload
from rows import load_measured, load_traces, model_of, target_of
from snapshot import read_trace
from step_time import step_times
from tiny import TinyNet, tiny_bert
from workload_set import Setting, benchmark_set, build_workload

from memorymark.errors import PoisonedDevice, UnknownChoice, WorkloadError
from memorymark.gpus.catalogue import find_gpu
from memorymark.gpus.telemetry import Telemetry, read_telemetry
from memorymark.probes.cuda import CudaProbe
from memorymark.probes.simulated import SimulatedProbe
from memorymark.records.config import TrainingConfig
from memorymark.records.trial import Outcome, Trial
from memorymark.simulator.allocator.replay import replay
from memorymark.units import GIB, MIB
from memorymark.workloads.trial_spec import TrialSpec

A100 = find_gpu("a100-40gb")
MACHINE = {
    "gpu": "NVIDIA A100-SXM4-40GB",
    "compute_capability": [8, 0],
    "total_bytes": A100.total_bytes,
}
CONFIG = TrainingConfig(seq_len=16)
CONTEXT = 400 * MIB


class Clock:
    """Advances by a fixed time whenever it is read."""

    def __init__(self, seconds=0.0):
        self.now = 0.0
        self.seconds = seconds

    def __call__(self):
        self.now += self.seconds
        return self.now


@pytest.fixture
def tiny(monkeypatch):
    workload = tiny_bert()
    for module in (measured, workload_set):
        found = create_autospec(build_workload, return_value=workload)
        monkeypatch.setattr(module, "build_workload", found)


def run(settings, make_probe, tmp_path, seconds=1e9, clock=None, release_cache=lambda: None):
    results = measured.Results(tmp_path / "card-2026-01-01.json", dict(MACHINE))
    watch = measured.Watch(seconds, clock or Clock())
    measured.run_set(settings, make_probe, results, watch, lambda: CONTEXT, release_cache)
    return json.loads(results.file.read_text())


def test_the_set_covers_what_it_promises():
    settings = benchmark_set()
    configs = [setting.config for setting in settings]
    assert sum(len(setting.batch_sizes) for setting in settings) >= 60
    assert {s.model.rpartition(":")[2] for s in settings} == {
        "bert", "gpt2", "resnet", "vit", "t5", "llama-1b",
    }  # fmt: skip
    assert {c.precision for c in configs} == {"fp32", "tf32", "amp-bf16", "amp-fp16", "bf16"}
    assert {(c.optimizer, c.optimizer_impl) for c in configs} >= {
        ("none", "default"), ("sgd", "default"), ("adamw", "foreach"), ("adamw", "fused"),
        ("adafactor", "default"),
    }  # fmt: skip
    assert {c.gradient_checkpointing for c in configs} == {True, False}
    assert {c.attention for c in configs} == {"sdpa", "eager"}
    assert all(len(s.batch_sizes) >= 3 for s in settings)
    assert all(list(s.batch_sizes) == sorted(s.batch_sizes) for s in settings)
    assert {s.model for s in settings[:6]} == {s.model for s in settings}, "models take turns"


@pytest.mark.parametrize("name", ["vit", "t5", "llama-1b"])
def test_the_benchmarks_own_models_have_the_size_of_their_names(name):
    import torch

    workload = build_workload(f"benchmark:{name}")
    with torch.device("meta"):
        model = workload.build(TrainingConfig())
    count = sum(p.numel() for p in model.parameters())
    expected = {"vit": 86.6e6, "t5": 223e6, "llama-1b": 1.236e9}[name]
    assert count == pytest.approx(expected, rel=0.01)
    assert workload.name == f"benchmark:{name}"


def test_an_unknown_benchmark_model_names_the_nearest():
    with pytest.raises(UnknownChoice, match="benchmark:llama-1b"):
        build_workload("benchmark:llama-2b")


def test_trials_are_measured_and_written(tiny, tmp_path):
    cuda = FakeCuda(workspace_bytes=8 * MIB)
    settings = [Setting("tiny", CONFIG, (2, 4))]
    document = run(settings, lambda budget: cuda_probe(cuda, budget_bytes=budget), tmp_path)
    small, large = document["trials"]
    assert (small["batch_size"], large["batch_size"]) == (2, 4)
    assert small["outcome"] == large["outcome"] == "ok"
    assert 8 * MIB < small["peak_allocated_bytes"] < large["peak_allocated_bytes"]
    assert large["peak_reserved_bytes"] > large["peak_allocated_bytes"]
    assert large["step_seconds"] > 0
    assert large["context_bytes"] == CONTEXT
    assert large["timeline"] is None, "it would be most of the file"
    assert Trial.from_dict(large).config == replace(
        CONFIG, task="sequence-classification", num_labels=2, image_size=224
    )
    assert document["software"]["torch"]
    assert document["left_out"] == document["not_measured"] == []


def test_an_out_of_memory_trial_is_kept_and_larger_batches_are_not_tried(tiny, tmp_path):
    probe = FakeProbe(fixed_bytes=GIB, per_sample_bytes=GIB)
    document = run([Setting("tiny", CONFIG, (1, 16, 32))], lambda budget: probe, tmp_path)
    assert [trial["outcome"] for trial in document["trials"]] == ["ok", "oom"]


def test_each_setting_has_a_probe_with_its_budget(tiny, tmp_path):
    budgets = []

    def make_probe(budget):
        budgets.append(budget)
        return FakeProbe()

    settings = [Setting("tiny", CONFIG, (1,)), Setting("tiny", CONFIG, (1,), budget_bytes=GIB)]
    run(settings, make_probe, tmp_path)
    assert budgets == [None, GIB]


def test_no_model_and_no_cache_stays_for_the_next_setting(tmp_path, monkeypatch):
    import weakref

    kept, alive = [], []

    class Remembering(TinyNet):
        def build(self, config):
            model = super().build(config)
            model.cycle = {"itself": model}  # as a checkpointed block has
            kept.append(weakref.ref(model))
            return model

    remembering = create_autospec(build_workload, side_effect=lambda name: Remembering())
    monkeypatch.setattr(measured, "build_workload", remembering)
    cuda = FakeCuda()

    def release_cache():
        alive.append([ref() for ref in kept if ref() is not None])
        assert cuda.memory_allocated(0) == 0

    settings = [Setting("tiny", CONFIG, (2, 4)), Setting("tiny", CONFIG, (2,))]
    run(settings, lambda budget: cuda_probe(cuda), tmp_path, release_cache=release_cache)
    assert (len(kept), alive) == (2, [[], []])


def test_it_stops_in_time_and_says_what_was_left_out(tiny, tmp_path):
    settings = [Setting("tiny", CONFIG, (1, 2, 3)), Setting("other", CONFIG, (1,))]
    # Each look at the clock takes 10 s: there is time for the first trial and no more.
    document = run(settings, lambda _: FakeProbe(), tmp_path, seconds=40, clock=Clock(10.0))
    assert [trial["batch_size"] for trial in document["trials"]] == [1]
    left = [(entry["model"], entry["batch_size"]) for entry in document["left_out"]]
    assert left == [("tiny", 2), ("tiny", 3), ("other", 1)]
    assert document["left_out"][0]["config"]["seq_len"] == 16


def test_a_model_that_cannot_run_is_named_and_the_others_go_on(tiny, tmp_path):
    probes = iter([FakeProbe(raises={1: WorkloadError("no such layer")}), FakeProbe()])
    settings = [Setting("broken", CONFIG, (1, 2)), Setting("tiny", CONFIG, (1,))]
    document = run(settings, lambda _: next(probes), tmp_path)
    assert [(e["model"], e["reason"]) for e in document["not_measured"]] == [
        ("broken", "no such layer")
    ]
    assert len(document["trials"]) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt(), PoisonedDevice("broken")])
def test_a_run_that_ends_early_keeps_its_trials(tiny, tmp_path, error):
    settings = [Setting("tiny", CONFIG, (1, 2)), Setting("tiny", CONFIG, (1,))]
    probe = FakeProbe(raises={2: error})
    if isinstance(error, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            run(settings, lambda _: probe, tmp_path)
    else:
        run(settings, lambda _: probe, tmp_path)
    document = json.loads((tmp_path / "card-2026-01-01.json").read_text())
    assert [trial["batch_size"] for trial in document["trials"]] == [1]
    assert not list(tmp_path.glob("*.part"))


def test_without_a_cuda_device_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert measured.main([]) == 1
    assert "no CUDA device" in capsys.readouterr().err


def fake_card(index):
    """A card on which a stand-in for CUDA lives."""
    card = create_autospec(card_module.Card, instance=True)
    card.index = index
    card.facts.return_value = dict(MACHINE)
    card.context_bytes.return_value = CONTEXT
    return card


def test_a_whole_run_writes_one_file_named_by_card_and_date(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(measured, "Card", create_autospec(card_module.Card, side_effect=fake_card))
    probes = create_autospec(CudaProbe, side_effect=lambda *args, **kwargs: FakeProbe())
    monkeypatch.setattr(measured, "CudaProbe", probes)
    workloads = create_autospec(build_workload, side_effect=FakeWorkload)
    monkeypatch.setattr(measured, "build_workload", workloads)
    monkeypatch.setattr(recording, "record", recorded())
    assert measured.main(["--out", str(tmp_path / "results")]) == 0
    (file,) = (tmp_path / "results").glob("*.json")
    document = json.loads(file.read_text())
    assert file.name == f"a100-40gb-{document['date']}.json"
    assert len(document["trials"]) == 83
    assert len(load_traces(file)) == 2
    assert len(load_measured(file)) == 2 * 83
    assert "83 trials in" in capsys.readouterr().out


def test_a_recording_starts_from_nothing_and_ends_in_any_case(monkeypatch):
    import torch

    calls = []

    class Memory:
        def _record_memory_history(self, enabled, **options):
            calls.append(enabled)

        def _snapshot(self):
            return {"device_traces": [SNAPSHOT["device_traces"][1]], "segments": []}

    class Cuda(FakeCuda):
        memory = Memory()

    monkeypatch.setattr(torch, "cuda", Cuda())
    train = recording._train
    trained = create_autospec(train, side_effect=lambda *args: calls.append("train"))
    monkeypatch.setattr(recording, "_train", trained)
    document = recording.record(tiny_bert(), CONFIG, 2)
    assert calls == ["all", "train", None]
    assert document["peak_reserved_bytes"] == 2 * MIB
    assert json.loads(json.dumps(document))["config"]["num_labels"] == 2

    failing = create_autospec(train, side_effect=RuntimeError("no room"))
    monkeypatch.setattr(recording, "_train", failing)
    with pytest.raises(RuntimeError, match="no room"):
        recording.record(tiny_bert(), CONFIG, 2)
    assert calls[-1] is None


def test_what_is_recorded_is_the_projects_training_step():
    import torch

    recording._train(tiny_bert(), tiny_bert().describe(CONFIG), 2, torch.device("cpu"))


def test_settings_are_listed(capsys):
    assert measured.main(["--list", "--only", "llama"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "12 trials"


def simulated_results(tmp_path, model="bert", **changes):
    """Write a file as measured.py would on a card that does just what the simulator says."""
    probe = SimulatedProbe(A100)
    results = measured.Results(tmp_path / "a100.json", dict(MACHINE))
    config = TrainingConfig(optimizer="sgd")
    for batch_size in (4, 4096):
        trial = probe.run_trial(TrialSpec(build_workload(model), config, batch_size))
        if trial.outcome is Outcome.OOM:
            trial = replace(trial, peak_allocated_bytes=None, peak_reserved_bytes=None)
        values = trial.to_dict() | {"timeline": None, "capacity_bytes": A100.total_bytes}
        context = {"context_bytes": A100.likely_context_bytes}
        results.add("trials", values | context | changes)
    return results.file


def test_a_file_of_simulated_trials_scores_without_error(tmp_path, capsys):
    rows = load_measured(simulated_results(tmp_path))
    assert [(row.metric, row.batch_size) for row in rows] == [
        ("allocated", 4), ("reserved", 4), ("allocated", 4096), ("reserved", 4096),
    ]  # fmt: skip
    document = accuracy.score_all(rows, [])
    allocated, reserved = (document["summary"][f"bert {m}"] for m in ("allocated", "reserved"))
    assert allocated["worst_error"] == reserved["worst_error"] == 0
    assert allocated["verdicts"] == allocated["verdicts_right"] == 2
    assert [s["predicted_out_of_memory"] for s in document["scores"]] == [False, False, True, True]
    assert document["step_time_summary"]["bert"]["worst_error"] == pytest.approx(0)
    assert "step seconds" in capsys.readouterr().out


def test_an_error_is_seen(tmp_path):
    file = simulated_results(tmp_path)
    document = json.loads(file.read_text())
    first = document["trials"][0]
    first["peak_reserved_bytes"] = first["peak_reserved_bytes"] * 10 // 11
    first["step_seconds"] /= 2
    file.write_text(json.dumps(document))
    rows = load_measured(file)
    scored = [accuracy.score(row) for row in rows]
    assert scored[1].error == pytest.approx(0.1, abs=1e-6)
    assert scored[1].reason
    assert step_times(rows)[0].error == pytest.approx(1.0)


def test_a_budget_is_the_capacity_and_holds_no_context(tmp_path):
    rows = load_measured(simulated_results(tmp_path, capacity_bytes=GIB))
    assert {(row.capacity_bytes, row.context_bytes) for row in rows} == {(GIB, 0)}
    assert {target_of(row) for row in rows} == {("a100-40gb", GIB)}


def test_the_benchmarks_models_are_rebuilt_from_a_row():
    assert model_of("benchmark:vit").name == "benchmark:vit"
    assert model_of("bert") == "bert"


SNAPSHOT = {
    "device_traces": [
        [],
        [
            {"action": "segment_alloc", "addr": 0, "size": 20 * MIB, "stream": 0, "frames": []},
            {"action": "alloc", "addr": 0, "size": 3 * MIB, "stream": 0, "frames": []},
            {"action": "free_requested", "addr": 0, "size": 3 * MIB, "stream": 0},
            {"action": "free_completed", "addr": 0, "size": 3 * MIB, "stream": 0},
            {"action": "alloc", "addr": 0, "size": 5 * MIB, "stream": 0, "frames": []},
        ],
    ],
    "segments": [
        {
            "device": 1,
            "address": 0,
            "total_size": 20 * MIB,
            "blocks": [
                {"state": "active_allocated", "size": 5 * MIB, "requested_size": 5 * MIB},
                {"state": "inactive", "size": 15 * MIB, "requested_size": 0},
            ],
        },
    ],
}


def recorded():
    """What stands for `recording.record`: it gives a document of its own to each call."""
    return create_autospec(recording.record, side_effect=lambda *args, **kwargs: trace_document())


def trace_document(reserved_bytes=20 * MIB):
    return {
        "model": "bert",
        "config": CONFIG.to_dict(),
        "batch_size": 4,
        "peak_allocated_bytes": 5 * MIB,
        "peak_reserved_bytes": reserved_bytes,
        "snapshot": recording.trimmed(SNAPSHOT, 1),
    }


def test_a_trimmed_snapshot_reads_as_the_whole_one():
    whole, trimmed = read_trace(SNAPSHOT, 1), read_trace(recording.trimmed(SNAPSHOT, 1))
    assert whole.events == trimmed.events == ((0, 3 * MIB), (0, -3 * MIB), (1, 5 * MIB))
    # The segment's device is 0 once there is only one.
    assert trimmed.peak_reserved_bytes == whole.peak_reserved_bytes == 20 * MIB
    assert replay(trimmed.events).peak_reserved_bytes == 20 * MIB


def test_a_written_trace_replays(tmp_path, capsys):
    file = tmp_path / "card.bert.trace.json.gz"
    assert recording.write(file, trace_document())
    replayed = recording.replay_file(file)
    assert replayed.agrees
    assert replayed.replayed_allocated_bytes == 5 * MIB
    assert (replayed.events, replayed.preexisting_blocks) == (3, 0)
    document = accuracy.score_all([], [file])
    assert document["traces"][0]["agrees"]
    assert "agrees" in capsys.readouterr().out


def test_a_trace_that_does_not_come_out_is_told(tmp_path, capsys):
    file = tmp_path / "card.bert.trace.json.gz"
    recording.write(file, trace_document(reserved_bytes=22 * MIB))
    assert not recording.replay_file(file).agrees
    accuracy.score_all([], [file])
    assert "-9.091%" in capsys.readouterr().out


def test_a_trace_that_is_too_large_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "MAX_FILE_BYTES", 10)
    assert not recording.write(tmp_path / "a.trace.json.gz", trace_document())
    assert not list(tmp_path.iterdir())


def test_traces_are_recorded_beside_the_results(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "record", recorded())
    results = measured.Results(tmp_path / "card.json", dict(MACHINE))
    measured.record_traces(results, 0)
    files = load_traces(results.file)
    assert [file.name.split(".")[1] for file in files] == ["bert-amp-bf16-b16", "resnet-fp32-b32"]
    assert all(recording.replay_file(file).agrees for file in files)
    assert "snapshot" not in json.loads(results.file.read_text())["traces"][0]


def test_a_trace_that_cannot_be_recorded_stops_nothing(tiny, tmp_path, monkeypatch):
    failing = create_autospec(recording.record, side_effect=RuntimeError("no history here"))
    monkeypatch.setattr(recording, "record", failing)
    results = measured.Results(tmp_path / "card.json", dict(MACHINE))
    measured.record_traces(results, 0)
    assert ["no history here" in e["reason"] for e in results.document["not_measured"]] == [
        True
    ] * 2


def test_the_context_is_what_is_taken_beside_the_allocator(monkeypatch):
    class Cuda(FakeCuda):
        def mem_get_info(self, index):
            return self.total_bytes - 700 * MIB, self.total_bytes

        def memory_reserved(self, index):
            return 100 * MIB

    used = create_autospec(card_module.used_bytes, return_value=50 * MIB)
    monkeypatch.setattr(card_module, "used_bytes", used)
    assert card_module.Card(cuda=Cuda()).context_bytes() == 550 * MIB
    used.return_value = None
    assert card_module.Card(cuda=Cuda()).context_bytes() == 600 * MIB


def test_without_nvml_nvidia_smi_is_asked(monkeypatch, tmp_path):
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\ncase "$1" in *memory.used) echo 123;; *) echo 570.1;; esac\n')
    program.chmod(0o755)
    empty = Telemetry(reason="not here")
    read = create_autospec(read_telemetry, return_value=empty)
    monkeypatch.setattr(card_module, "read_telemetry", read)
    which = create_autospec(shutil.which, return_value=str(program))
    monkeypatch.setattr(card_module.shutil, "which", which)
    assert card_module.used_bytes(0) == 123 * MIB
    assert card_module.driver_version(0) == "570.1"
    which.return_value = None
    assert card_module.used_bytes(0) is card_module.driver_version(0) is None


def test_results_are_named_by_the_catalogues_key():
    assert measured.slug_of("NVIDIA A100-SXM4-40GB", A100.total_bytes) == "a100-40gb"
    assert measured.slug_of("NVIDIA Thing 9 (x)", GIB) == "nvidia-thing-9-x"
