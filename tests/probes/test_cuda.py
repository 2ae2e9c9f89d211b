"""The CUDA probe on a stand-in for torch.cuda and NVML: every line but the kernels themselves."""

import gc
from unittest.mock import create_autospec

import pytest
import torch
from fake_accelerators import FakeCuda, cuda_probe
from tiny import Leaking, Raising, TinyNet, tiny_bert, tiny_llama

from memorymark.errors import InvalidValue, PoisonedDevice, WorkloadError
from memorymark.gpus.catalogue import find_gpu
from memorymark.gpus.telemetry import GpuProcess, Telemetry
from memorymark.inference.host_store import ArrayStore
from memorymark.probes import cuda as cuda_module
from memorymark.probes import poisoned
from memorymark.probes.cuda import catalogue_row, gpu_like
from memorymark.records.config import TrainingConfig
from memorymark.records.serving_config import ServingConfig
from memorymark.records.session_run import SessionPlan
from memorymark.records.trial import Outcome, Source, Stage
from memorymark.training.tracked import live_bytes_of
from memorymark.units import GIB, MIB
from memorymark.workloads.serving_spec import ServingSpec
from memorymark.workloads.trial_spec import TrialSpec

CONFIG = TrainingConfig(seq_len=16)
PARAMETERS = live_bytes_of(TinyNet().build(CONFIG))


@pytest.fixture(autouse=True)
def usable():
    yield
    poisoned._poisoned.clear()


def test_a_trial_has_all_readings():
    cuda = FakeCuda(workspace_bytes=9 * MIB)
    trial = cuda_probe(cuda).run_trial(TrialSpec(TinyNet(), CONFIG, 8))
    assert (trial.outcome, trial.source) == (Outcome.OK, Source.MEASURED)
    assert trial.device == "NVIDIA Stand-in"
    assert trial.capacity_bytes == GIB
    assert trial.peak_reserved_bytes > trial.peak_allocated_bytes > 4 * PARAMETERS
    assert trial.step_seconds > 0 and trial.first_step_seconds > 0
    assert trial.thrashing is False
    assert trial.process_bytes is None
    assert {"forward", "backward", "optimizer"} <= {name for name, _ in trial.timeline.phases}
    assert trial.findings == () and trial.assumptions == ()
    assert cuda.selected == [0]


def test_the_breakdown_adds_up_with_workspaces_as_the_remainder():
    trial = cuda_probe(FakeCuda(workspace_bytes=9 * MIB)).run_trial(TrialSpec(TinyNet(), CONFIG, 8))
    parts = trial.breakdown
    assert parts.total == trial.peak_allocated_bytes
    assert parts.parameters == PARAMETERS
    assert parts.optimizer_states == 2 * PARAMETERS
    assert parts.gradients == PARAMETERS
    assert 9 * MIB <= parts.workspaces < 9 * MIB + 100_000


def test_a_text_model_trains_too():
    trial = cuda_probe().run_trial(TrialSpec(tiny_bert(), CONFIG, 4))
    assert trial.fits
    assert trial.breakdown.total == trial.peak_allocated_bytes
    assert any("encoder" in holder.path for holder in trial.holders)


def test_warm_up_steps_are_not_timed():
    steps = []

    class Counting(TinyNet):
        def loss(self, model, batch):
            steps.append(len(batch["x"]))
            return super().loss(model, batch)

    probe = cuda_probe()
    probe.run_trial(TrialSpec(Counting(), CONFIG, 8, timed_steps=2))
    assert len(steps) == probe.warmup_steps + 2 + 2


@pytest.mark.parametrize("stage", list(Stage))
def test_every_stage_runs(stage):
    trial = cuda_probe().run_trial(TrialSpec(TinyNet(), CONFIG, 8, stage=stage))
    assert trial.fits and trial.stage is stage
    assert (trial.breakdown.gradients > 0) == (stage in (Stage.BACKWARD, Stage.STEP))
    assert (trial.gradient_check is not None) == (stage is Stage.BACKWARD)
    assert trial.breakdown.total == trial.peak_allocated_bytes


def test_a_model_is_built_once_for_a_search():
    probe, workload = cuda_probe(), TinyNet()
    for batch_size in (8, 16, 24):
        assert probe.run_trial(TrialSpec(workload, CONFIG, batch_size)).fits
    assert workload.built == 1


def test_out_of_memory_is_a_result_and_leaves_nothing_behind():
    cuda = FakeCuda(32 * MIB)
    probe, workload = cuda_probe(cuda), TinyNet()
    before = probe.run_trial(TrialSpec(workload, CONFIG, 8))
    failed = probe.run_trial(TrialSpec(workload, CONFIG, 20_000))
    assert failed.outcome is Outcome.OOM
    assert failed.error.startswith("OutOfMemoryError: CUDA out of memory.")
    assert failed.peak_allocated_bytes is None and failed.findings == ()
    gc.collect()
    assert cuda.counter.live_bytes == 0
    again = probe.run_trial(TrialSpec(workload, CONFIG, 8))
    assert again.peak_allocated_bytes == before.peak_allocated_bytes
    assert again.breakdown == before.breakdown


def test_out_of_memory_while_the_model_is_built():
    trial = cuda_probe(FakeCuda(PARAMETERS // 2)).run_trial(TrialSpec(TinyNet(), CONFIG, 1))
    assert trial.outcome is Outcome.OOM


def test_a_leak_is_a_finding():
    cuda = FakeCuda()
    trial = cuda_probe(cuda).run_trial(TrialSpec(Leaking(20 * MIB), CONFIG, 8))
    assert trial.fits
    assert "Memory leak: 200.0 MiB stayed allocated on cuda:0" in trial.findings[0]


def test_a_leak_of_a_failed_trial_is_a_finding():
    trial = cuda_probe(FakeCuda(256 * MIB)).run_trial(TrialSpec(Leaking(90 * MIB), CONFIG, 8))
    assert trial.outcome is Outcome.OOM
    assert trial.findings[0].startswith("Memory leak: 180.0 MiB")


def test_a_models_own_error_is_an_outcome():
    cuda = FakeCuda()
    probe = cuda_probe(cuda)
    trial = probe.run_trial(
        TrialSpec(Raising(ValueError("shapes do not match\nmore"), at=2), CONFIG, 8)
    )
    assert trial.outcome is Outcome.ERROR
    assert trial.error == "ValueError: shapes do not match"
    assert cuda.counter.live_bytes == 0
    assert probe.run_trial(TrialSpec(TinyNet(), CONFIG, 8)).fits


def test_an_error_with_a_sentence_goes_to_the_caller():
    probe = cuda_probe()
    with pytest.raises(WorkloadError, match="no loss"):
        probe.run_trial(TrialSpec(Raising(WorkloadError("no loss")), CONFIG, 8))
    assert probe.run_trial(TrialSpec(TinyNet(), CONFIG, 8)).fits


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: device-side assert triggered",
        "CUDA error: an illegal memory access was encountered",
        "CUDA error: unspecified launch failure",
    ],
)
def test_a_broken_context_says_to_restart(text):
    probe = cuda_probe()
    with pytest.raises(PoisonedDevice, match=r"cuda:0.*A new process can"):
        probe.run_trial(TrialSpec(Raising(torch.AcceleratorError(text)), CONFIG, 8))
    with pytest.raises(PoisonedDevice):
        cuda_probe().run_trial(TrialSpec(TinyNet(), CONFIG, 8))
    assert cuda_probe(index=1).run_trial(TrialSpec(TinyNet(), CONFIG, 8)).fits


def test_a_context_that_answers_no_more_is_broken():
    cuda = FakeCuda()

    class Breaking(TinyNet):
        def loss(self, model, batch):
            cuda.sticky = True
            raise RuntimeError("CUDA error: an error nobody has heard of")

    with pytest.raises(PoisonedDevice, match="nobody has heard of"):
        cuda_probe(cuda, budget_bytes=64 * MIB).run_trial(TrialSpec(Breaking(), CONFIG, 8))


def test_a_context_that_breaks_while_cleaning_up():
    cuda = FakeCuda()

    class Breaking(TinyNet):
        def loss(self, model, batch):
            cuda.sticky = True
            raise ValueError("an error of its own")

    with pytest.raises(PoisonedDevice, match="an earlier error"):
        cuda_probe(cuda).run_trial(TrialSpec(Breaking(), CONFIG, 8))


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("CUDA error: no kernel image is available for execution on the device", Outcome.ERROR),
        ("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED", Outcome.ERROR),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`", Outcome.OOM),
        ("CUDA error: out of memory", Outcome.OOM),
        ("mat1 and mat2 shapes cannot be multiplied", Outcome.ERROR),
    ],
)
def test_errors_that_leave_the_device_usable(text, outcome):
    probe = cuda_probe()
    assert probe.run_trial(TrialSpec(Raising(RuntimeError(text)), CONFIG, 8)).outcome is outcome
    assert probe.run_trial(TrialSpec(TinyNet(), CONFIG, 8)).fits


def test_a_budget_is_held_and_the_limit_restored():
    cuda = FakeCuda()
    cuda.fractions = [0.75]
    probe = cuda_probe(cuda, budget_bytes=32 * MIB)
    assert probe.target.capacity_bytes == 32 * MIB and probe.target.total_bytes == GIB
    assert probe.run_trial(TrialSpec(TinyNet(), CONFIG, 8)).fits
    assert cuda.fractions == [0.75, 32 * MIB / GIB, 0.75]
    assert probe.run_trial(TrialSpec(TinyNet(), CONFIG, 20_000)).outcome is Outcome.OOM
    assert cuda.fractions[-1] == 0.75


def test_without_a_budget_the_limit_is_left_alone():
    cuda = FakeCuda()
    assert cuda_probe(cuda).run_trial(TrialSpec(TinyNet(), CONFIG, 8)).fits
    assert cuda_probe(cuda, budget_bytes=2 * GIB).target.capacity_bytes == GIB
    assert cuda.fractions == [1.0]


def test_retries_of_the_allocator_are_thrashing():
    trial = cuda_probe(FakeCuda(retries_from=MIB)).run_trial(TrialSpec(TinyNet(), CONFIG, 8))
    assert trial.fits and trial.thrashing is True


def test_process_bytes_are_what_nvml_says_at_the_peak():
    cuda = FakeCuda()
    context = 500 * MIB

    reading = Telemetry(name="card", own_bytes=context + 100 * MIB, other_processes=())
    trial = cuda_probe(cuda, telemetry=reading).run_trial(TrialSpec(TinyNet(), CONFIG, 8))
    assert trial.process_bytes > context + trial.peak_reserved_bytes
    assert trial.findings == ()


def test_what_other_processes_hold_is_a_finding():
    others = (GpuProcess(7, "python", "ann", 100 * MIB), GpuProcess(8, None, None, 28 * MIB))
    reading = Telemetry(name="card", own_bytes=50 * MIB, other_processes=others)
    trial = cuda_probe(telemetry=reading).run_trial(TrialSpec(TinyNet(), CONFIG, 8))
    assert trial.findings == (
        "Other processes use 128.0 MiB of this device's memory (python, process 8).",
    )


@pytest.mark.parametrize(
    "reading",
    [
        Telemetry(reason="NVML does not start: Insufficient Permissions."),
        Telemetry(name="card", own_bytes=None, other_processes=(GpuProcess(7, None, None, GIB),)),
        Telemetry(name="card", own_bytes=0, other_processes=(GpuProcess(7, None, None, None),)),
    ],
)
def test_what_nvml_does_not_say_stays_unknown(reading):
    trial = cuda_probe(telemetry=reading).run_trial(TrialSpec(TinyNet(), CONFIG, 8))
    assert trial.process_bytes is None and trial.findings == ()


def test_several_cards_are_told_apart():
    a10 = find_gpu("a10")
    probes = [
        cuda_probe(FakeCuda(name="NVIDIA H100 PCIe"), index=0),
        cuda_probe(FakeCuda(a10.total_bytes, name=a10.device_names[0]), index=1),
    ]
    assert [probe.target.lock_name for probe in probes] == ["cuda:0", "cuda:1"]
    assert [probe.target.gpu_key for probe in probes] == [None, "a10"]


def test_a_card_of_the_catalogue_is_simulated_as_its_row():
    a10 = find_gpu("a10")
    probe = cuda_probe(FakeCuda(a10.total_bytes, name=a10.device_names[0]))
    assert probe.simulation().target.gpu_key == "a10"
    assert gpu_like(probe.target, (1, 0)) == a10


def test_another_card_is_simulated_as_one_of_its_generation_with_its_memory():
    probe = cuda_probe(FakeCuda(10 * GIB, name="NVIDIA Stand-in"), budget_bytes=GIB)
    simulation = probe.simulation()
    assert simulation.target.name == "NVIDIA Stand-in"
    assert (simulation.target.total_bytes, simulation.target.capacity_bytes) == (10 * GIB, GIB)
    assert gpu_like(probe.target, (8, 6)).compute_capability == (8, 6)
    assert gpu_like(probe.target, (8, 6)).host_link is None
    assert gpu_like(probe.target, (1, 0)) is None


def test_a_card_of_the_same_name_with_other_memory_is_no_row():
    row = find_gpu("rtx-3060")
    assert catalogue_row(row.device_names[0], row.total_bytes) == row
    assert catalogue_row(row.device_names[0], 8 * GIB) is None


def test_a_compiled_model_runs_without_a_breakdown(monkeypatch):
    compile_model = create_autospec(torch.compile, side_effect=lambda model: model)
    reset = create_autospec(torch.compiler.reset)
    monkeypatch.setattr(torch, "compile", compile_model)
    monkeypatch.setattr(torch.compiler, "reset", reset)
    trial = cuda_probe().run_trial(TrialSpec(TinyNet(), TrainingConfig(compile=True), 8))
    assert trial.fits and trial.breakdown is None
    assert trial.peak_allocated_bytes and trial.step_seconds
    assert compile_model.call_count == reset.call_count == 1
    assert "no breakdown" in trial.assumptions[0]


def test_a_breakdown_that_cannot_be_taken_does_not_fail_the_trial():
    probe = cuda_probe()
    steps = probe.warmup_steps + probe.timed_steps
    workload = Raising(torch.OutOfMemoryError("CUDA out of memory."), at=steps + 1)
    trial = probe.run_trial(TrialSpec(workload, CONFIG, 8))
    assert trial.fits and trial.breakdown is None and trial.peak_allocated_bytes
    assert trial.findings[0].startswith("The breakdown could not be recorded: OutOfMemoryError")


@pytest.mark.parametrize("batch_size", [0, -1, 65_536])
def test_batch_sizes_out_of_range_are_refused(batch_size):
    with pytest.raises(InvalidValue):
        cuda_probe().run_trial(TrialSpec(TinyNet(), CONFIG, batch_size))


def test_segments_that_grow_are_there_where_torch_was_started_with_them(monkeypatch):
    spec = TrialSpec(TinyNet(), TrainingConfig(expandable_segments=True), 8)
    with pytest.raises(InvalidValue, match="PYTORCH_ALLOC_CONF=expandable_segments:True is set"):
        cuda_probe().run_trial(spec)
    monkeypatch.setenv("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    assert cuda_probe().run_trial(spec).fits


def test_sessions_take_turns_within_the_devices_budget_and_leave_it_as_it_was(monkeypatch):
    monkeypatch.setattr(cuda_module, "PinnedStore", lambda device, host_bytes: ArrayStore(MIB))
    config = ServingConfig(weights="fp32", context_tokens=64, output_tokens=4, policy="swap")
    spec = ServingSpec(tiny_llama(), config, SessionPlan(sessions=3))
    cuda = FakeCuda()
    probe = cuda_probe(cuda)
    run = probe.run_sessions(spec)
    assert run.sessions_completed == 3 and run.error is None and run.source == "measured"
    assert not run.config.expandable_segments  # this process's allocator is as it was set up
    assert run.peak_reserved_bytes >= run.peak_allocated_bytes > run.weights_bytes > 0
    assert cuda.selected == [0] and cuda.counter.live_bytes == 0
