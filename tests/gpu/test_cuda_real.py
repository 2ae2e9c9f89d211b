"""What only a real NVIDIA GPU can show. Skipped where there is none."""

import dataclasses
import gc

import pytest
import torch
from tiny import Leaking, TinyNet, tiny_bert

from memorymark.api import model_calls as api
from memorymark.gpus.telemetry import read_telemetry
from memorymark.probes.cuda import CudaProbe
from memorymark.records.config import TrainingConfig
from memorymark.records.serving_config import ServingConfig
from memorymark.records.session_run import Act, SessionPlan, Verdict
from memorymark.records.trial import Outcome, Stage
from memorymark.units import GIB, MIB
from memorymark.workloads import resolve
from memorymark.workloads.huggingface import HuggingFaceWorkload
from memorymark.workloads.serving_spec import ServingSpec
from memorymark.workloads.trial_spec import TrialSpec

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="There is no CUDA device here."),
]

# Bounds on what a simulation's peak may differ from the measured one. Transformers on other
# cards came out within 0.5 %; convolutions use workspaces that cuDNN alone decides on.
PARITY = {"bert": 0.03, "gpt2": 0.03, "resnet": 0.10}
SMALL = TrainingConfig(seq_len=16)


@pytest.fixture
def wide():
    """A network whose samples hold 32 KiB in each of its layers."""
    return TinyNet(width=8192)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMORYMARK_HOME", str(tmp_path))


@pytest.mark.parametrize("model", ["bert", "gpt2", "resnet"])
def test_the_breakdown_adds_up(model):
    workload = resolve(model)
    trial = CudaProbe().run_trial(TrialSpec(workload, TrainingConfig(), 8))
    assert trial.fits, trial.error
    with torch.device("meta"):
        built = workload.build(trial.config)
    parameters = sum(parameter.nbytes for parameter in built.parameters())
    parts = trial.breakdown
    assert parts.total == trial.peak_allocated_bytes <= trial.peak_reserved_bytes
    assert parts.parameters == parameters
    assert parts.optimizer_states == 2 * parameters
    assert parts.gradients == parameters
    assert parts.workspaces < 0.25 * trial.peak_allocated_bytes
    assert trial.findings == ()


@pytest.mark.parametrize("model", ["bert", "gpt2", "resnet"])
@pytest.mark.parametrize("precision", ["fp32", "amp-bf16"])
def test_a_simulation_agrees_with_the_measurement(model, precision):
    if precision == "amp-bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        precision = "amp-fp16"
    probe, workload = CudaProbe(), resolve(model)
    config = TrainingConfig(precision=precision)
    simulation = probe.simulation()
    assert simulation is not None, "No row of the catalogue has this compute capability."
    measured = probe.run_trial(TrialSpec(workload, config, 16))
    simulated = simulation.run_trial(TrialSpec(workload, config, 16))
    for reading in ("peak_allocated_bytes", "peak_reserved_bytes"):
        expected = getattr(measured, reading)
        assert getattr(simulated, reading) == pytest.approx(expected, rel=PARITY[model]), reading


def test_out_of_memory_is_recovered_from(wide):
    probe = CudaProbe(budget_bytes=6 * GIB)
    before = torch.cuda.memory_allocated()
    first = probe.run_trial(TrialSpec(wide, SMALL, 64))
    failed = probe.run_trial(TrialSpec(wide, SMALL, 65_535))
    assert first.fits, first.error
    assert failed.outcome is Outcome.OOM and failed.findings == ()
    assert torch.cuda.memory_allocated() - before < MIB
    again = probe.run_trial(TrialSpec(wide, SMALL, 64))
    assert again.peak_allocated_bytes == pytest.approx(first.peak_allocated_bytes, rel=0.01)


def test_a_leak_is_a_finding():
    workload = Leaking(32 * MIB)
    trial = CudaProbe().run_trial(TrialSpec(workload, SMALL, 8))
    assert any("Memory leaks" in finding for finding in trial.findings)
    workload.kept.clear()
    torch.cuda.empty_cache()


def test_a_budget_is_the_allocators_limit_and_is_restored(wide):
    before = torch.cuda.get_per_process_memory_fraction()
    probe = CudaProbe(budget_bytes=3 * GIB)
    assert probe.target.capacity_bytes == 3 * GIB
    fitting = probe.run_trial(TrialSpec(wide, SMALL, 64))
    assert fitting.fits and fitting.peak_reserved_bytes <= 3 * GIB
    assert probe.run_trial(TrialSpec(wide, SMALL, 32_768)).outcome is Outcome.OOM
    assert torch.cuda.get_per_process_memory_fraction() == before


def test_a_budget_below_the_model_does_not_fit(wide):
    assert (
        CudaProbe(budget_bytes=128 * MIB).run_trial(TrialSpec(wide, SMALL, 1)).outcome
        is Outcome.OOM
    )


class _Fragmenting(TinyNet):
    """Needs blocks of ever other sizes, so that the cache never has one that is large enough."""

    name = "fragmenting"
    size = 0

    def loss(self, model, batch):
        self.size += 1
        loss = super().loss(model, batch)
        for extra in range(8):
            block = torch.empty((40 + 7 * self.size + 11 * extra) * MIB, dtype=torch.uint8)
            loss = loss + block.to(batch["x"].device)[0] * 0
            del block
        return loss


def test_retries_of_the_allocator_are_thrashing():
    trial = CudaProbe(budget_bytes=256 * MIB).run_trial(TrialSpec(_Fragmenting(), SMALL, 8))
    assert trial.fits, trial.error
    assert trial.thrashing is True
    assert CudaProbe().run_trial(TrialSpec(TinyNet(), SMALL, 8)).thrashing is False


def test_nvml_knows_the_card():
    torch.zeros(1, device="cuda")
    reading = read_telemetry(0)
    assert reading.is_here, reading.reason
    trial = CudaProbe().run_trial(TrialSpec(tiny_bert(), SMALL, 8))
    if reading.total_bytes is None:
        assert "MIG" in reading.reason or "nvmlDeviceGetMemoryInfo" in reading.reason
    else:
        assert reading.total_bytes >= torch.cuda.mem_get_info()[1]
    if reading.own_bytes is None:  # a container, or a driver that does not say
        assert trial.process_bytes is None
    else:
        assert trial.process_bytes > trial.peak_reserved_bytes


def test_gradients_are_complete_and_finite():
    check = (
        CudaProbe()
        .run_trial(TrialSpec(resolve("bert"), SMALL, 4, stage=Stage.BACKWARD))
        .gradient_check
    )
    assert check.finite is True and check.missing == ()
    assert check.gradient_bytes == check.trainable_bytes


def test_stages_hold_more_and_more():
    probe, workload = CudaProbe(), resolve("bert")
    peaks = [
        probe.run_trial(TrialSpec(workload, TrainingConfig(), 16, stage=stage)).peak_allocated_bytes
        for stage in (Stage.FORWARD_ONLY, Stage.FORWARD, Stage.BACKWARD, Stage.STEP)
    ]
    assert peaks == sorted(peaks) and peaks[0] < peaks[1] < peaks[3]


def test_a_compiled_model_runs():
    config = dataclasses.replace(SMALL, compile=True)
    trial = CudaProbe().run_trial(TrialSpec(TinyNet(), config, 8))
    assert trial.fits, trial.error
    assert trial.first_step_seconds > trial.step_seconds and trial.breakdown is None


def test_an_analysis_is_exact():
    config = TrainingConfig(seq_len=128)
    analysis = api.analyze("bert", config, device="cuda", memory_budget="8GiB", granularity=4)
    largest = analysis.max_batch_size
    assert api.measure("bert", config, batch_size=largest, memory_budget="8GiB").fits
    beyond = api.measure("bert", config, batch_size=largest + 4, memory_budget="8GiB")
    assert beyond.outcome is Outcome.OOM
    assert analysis.speedup and analysis.optimal.samples_per_second


# 8 layers of 16 heads of 128: 64 KiB of keys and values a token in fp16.
WIDE_DECODER = {
    "vocab_size": 32000, "hidden_size": 2048, "intermediate_size": 5504, "num_hidden_layers": 8,
    "num_attention_heads": 16, "max_position_embeddings": 4096,
}  # fmt: skip
SERVED_BUDGET = 4 * GIB
CONTEXT = 2048


def served(policy, sessions=40):
    from transformers import LlamaConfig

    workload = HuggingFaceWorkload("wide-decoder", LlamaConfig(**WIDE_DECODER))
    config = ServingConfig(
        weights="fp16", context_tokens=CONTEXT, output_tokens=8, policy=policy,
        expandable_segments=False,
    )  # fmt: skip
    return api.sessions(
        workload, config, SessionPlan(sessions=sessions), device="cuda",
        memory_budget=SERVED_BUDGET,
    )  # fmt: skip


def pinned_rate():
    """The rate of copies from pinned memory to the device, in bytes per second."""
    host = torch.empty(256 * MIB, dtype=torch.uint8, pin_memory=True)
    device = torch.empty_like(host, device="cuda")
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    for event in (begin, end):
        device.copy_(host, non_blocking=True)
        event.record()
    torch.cuda.synchronize()
    return host.nbytes / (begin.elapsed_time(end) / 1000)


def test_held_sessions_end_and_swapped_ones_stay_on_a_plateau():
    held, swapped = served("hold"), served("swap")
    assert held.verdict is Verdict.FAIL and held.failed_session is not None
    assert swapped.verdict is Verdict.PASS and swapped.sessions_completed == 40
    assert swapped.peak_reserved_bytes <= SERVED_BUDGET
    second = [event for event in swapped.timeline if event.turn == 2 and event.act is Act.DECODE]
    shown = [event.process_bytes for event in second if event.process_bytes is not None]
    if shown:  # NVML sees no process of another container
        assert max(shown) - min(shown) <= 0.05 * max(shown)
    held_bytes = [event.allocated_bytes for event in second]
    assert max(held_bytes) - min(held_bytes) <= 2 * swapped.cache_bytes_per_session


def test_swaps_reach_most_of_what_pinned_copies_do():
    rates = [swap.bytes_per_second for swap in served("swap").swaps if swap.act is Act.SWAP_IN]
    assert sorted(rates)[len(rates) // 2] > 0.6 * pinned_rate()


def test_simulated_sessions_hold_what_measured_ones_do():
    measured = served("hold")
    simulated = CudaProbe(budget_bytes=SERVED_BUDGET).simulation()
    if simulated is None:
        pytest.skip("Nothing simulates this card.")
    from transformers import LlamaConfig

    workload = HuggingFaceWorkload("wide-decoder", LlamaConfig(**WIDE_DECODER))
    found = simulated.run_sessions(ServingSpec(workload, measured.config, measured.plan))
    assert found.weights_bytes == pytest.approx(measured.weights_bytes, rel=0.001)
    assert abs(found.failed_session - measured.failed_session) <= 1


# What libraries take beside tensors, such as cuBLAS's workspace, is simulated with the tensors.
GENERATION_PARITY = 0.03


@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_a_generation_holds_what_was_predicted_and_gives_it_back(cache):
    gc.collect()
    torch.cuda.empty_cache()
    before, heard = torch.cuda.memory_allocated(), []
    run = api.generate(
        "gpt2", config=ServingConfig(weights="fp16", cache=cache), device="cuda",
        prompt_tokens=256, max_new_tokens=16, on_text=heard.append,
    )  # fmt: skip
    assert run.error is None and run.new_tokens == 16
    assert len(heard) > 1 and "".join(heard) == run.text
    apart = abs(run.predicted_peak_bytes - run.peak_allocated_bytes)
    assert apart <= GENERATION_PARITY * run.peak_allocated_bytes
    gc.collect()
    # Workspaces of cuBLAS stay for the process.
    assert torch.cuda.memory_allocated() - before <= 80 * MIB < run.weights_bytes
