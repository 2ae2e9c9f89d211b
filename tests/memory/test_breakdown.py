"""What was alive at the peak, by what it is for and who holds it."""

import pytest
import torch
from tiny import TinyNet, tiny_bert

from memorymark.memory.breakdown import breakdown_at, live_at, peak_position, timeline
from memorymark.memory.trace import BACKWARD, FORWARD, OPTIMIZER, STEP, Block, Trace
from memorymark.memory.tracker import MemoryTracker
from memorymark.records.config import TrainingConfig
from memorymark.records.trial import Stage
from memorymark.training.runtime import DeviceRuntime
from memorymark.training.tracked import run_tracked_steps
from memorymark.workloads.build import build_model
from memorymark.workloads.trial_spec import TrialSpec

CPU = torch.device("cpu")


def trace_of(*steps):
    """Make a trace from phases, allocations (name, bytes, path) and releases of names."""
    trace, ids, phase = Trace(), {}, "setup"
    for step in steps:
        if isinstance(step, tuple):
            name, size, *path = step
            ids[name] = trace.allocate(Block(size, phase, path[0] if path else "", name))
        elif step in ids:
            trace.release(ids.pop(step))
        else:
            phase = step
            trace.mark(phase)
    return trace


def run(workload, config, batch_size=4, steps=2):
    spec = TrialSpec(workload, config, batch_size)
    tracker = MemoryTracker("cpu")
    model = build_model(workload, spec.config, CPU)
    run_tracked_steps(spec, model, DeviceRuntime(CPU), tracker, steps=steps)
    return tracker


def test_activations_outlive_the_forward_pass_and_temporaries_do_not():
    trace = trace_of(
        STEP, FORWARD, ("kept", 100, "a"), ("passing", 10, "a"), "passing",
        ("late", 7, "a"), BACKWARD, ("work", 3), "kept", "late", "work",
    )  # fmt: skip
    parts, holders, _ = breakdown_at(trace, 1)
    assert (parts.activations, parts.temporaries) == (100, 10)
    assert (holders[0].path, holders[0].category, holders[0].bytes) == ("a", "activations", 100)
    parts, *_ = breakdown_at(trace, 4)
    assert (parts.activations, parts.temporaries) == (107, 3)


def test_what_no_module_made_is_named_by_what_it_is_part_of():
    aten = torch.ops.aten
    trace = Trace()
    for phase, func in ((FORWARD, aten._softmax.default), (BACKWARD, aten.mm.default),
                        (OPTIMIZER, aten._foreach_sqrt.default), (OPTIMIZER, aten.mul.Tensor),
                        (OPTIMIZER, "cuBLAS workspace")):  # fmt: skip
        trace.allocate(Block(10, phase, "", func))
    _, holders, groups = breakdown_at(trace, 4)
    assert {group.path: group.total_bytes for group in groups} == {
        "softmax": 10, "matrix product, backward": 10, "optimizer step": 20, "cuBLAS workspace": 10,
    }  # fmt: skip
    assert {holder.path for holder in holders} == {
        "aten._softmax.default", "aten.mm.default", "aten._foreach_sqrt.default",
        "aten.mul.Tensor", "cuBLAS workspace",
    }  # fmt: skip


@pytest.mark.parametrize("stage", list(Stage))
def test_no_group_of_holders_is_named_as_torch_writes_operations(stage):
    spec = TrialSpec(tiny_bert(), TrainingConfig(seq_len=16), 4, stage)
    tracker = MemoryTracker("cpu")
    model = build_model(spec.workload, spec.config, CPU)
    run_tracked_steps(spec, model, DeviceRuntime(CPU), tracker, steps=2)
    for position in range(0, len(tracker.trace.events), 25):
        found = breakdown_at(tracker.trace, position)
        for path in (group.path for group in found.groups):
            assert not path.startswith(("aten", "_")), path
            assert not path.endswith((".default", ".Tensor")), path


def test_what_a_checkpoint_makes_again_is_an_activation():
    trace = trace_of(STEP, FORWARD, BACKWARD, ("again", 100, "layer.0"), ("work", 5), "again")
    parts, *_ = breakdown_at(trace, 1)
    assert (parts.activations, parts.temporaries) == (100, 5)


def test_the_ten_largest_holders_by_module():
    sizes = [(f"t{i}", 10 + i, f"layer.{i}") for i in range(15)]
    _, holders, _ = breakdown_at(trace_of(STEP, FORWARD, *sizes, BACKWARD), 14)
    assert [holder.bytes for holder in holders] == list(range(24, 14, -1))
    assert holders[0].path == "layer.14"


def test_parameters_are_held_by_their_module():
    tracker = run(TinyNet(), TrainingConfig())
    _, holders, _ = breakdown_at(tracker.trace, peak_position(tracker.trace))
    assert ("0", "parameters") in {(holder.path, holder.category) for holder in holders}


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("position", ["peak", 60, 200])
def test_a_breakdown_adds_up_to_what_is_live(checkpointing, position):
    config = TrainingConfig(seq_len=16, gradient_checkpointing=checkpointing)
    trace = run(tiny_bert(), config).trace
    at = peak_position(trace) if position == "peak" else position
    parts, *_ = breakdown_at(trace, at)
    assert parts.total == sum(size for _, size in trace.events[: at + 1])
    assert parts.total == sum(trace.blocks[block].size_bytes for block in live_at(trace, at))


def test_the_categories_of_a_real_step():
    tracker = run(TinyNet(), TrainingConfig(), batch_size=64)
    parts, *_ = breakdown_at(tracker.trace, peak_position(tracker.trace))
    parameters = 4 * (256 * 256 + 256 + 256 * 10 + 10)
    assert parts.parameters == parts.gradients == parameters
    assert parts.optimizer_states == 2 * parameters
    assert parts.total == tracker.peak_bytes
    # The batch that is there while the next one is made, too, and what backward still needs.
    assert parts.inputs >= 64 * 256 * 4 + 64 * 8


def test_a_timeline_keeps_the_peak_and_has_at_most_2000_points():
    steps = []
    for i in range(6000):
        steps += [(f"t{i}", 100 + (i % 7)), f"t{i}"] if i != 3123 else [("big", 10**9), "big"]
    trace = trace_of(STEP, FORWARD, *steps, OPTIMIZER)
    line = timeline(trace)
    assert len(line.positions) == len(line.allocated_bytes) <= 2000
    assert max(line.allocated_bytes) == 10**9 and min(line.allocated_bytes) == 0
    assert list(line.positions) == sorted(set(line.positions))
    assert [name for name, _ in line.phases] == [FORWARD, OPTIMIZER]


def test_a_short_timeline_keeps_every_point():
    trace = trace_of(("model", 50), STEP, FORWARD, ("a", 10), BACKWARD, "a")
    line = timeline(trace, trace.last_step())
    assert line.allocated_bytes == (60, 50) and line.positions == (0, 1)
    assert line.phases == ((FORWARD, 0), (BACKWARD, 1))


def test_the_timeline_of_the_last_step_shows_its_phases_in_order():
    trace = run(TinyNet(), TrainingConfig()).trace
    line = timeline(trace, trace.last_step())
    names = [name for name, _ in line.phases]
    assert names == ["forward", "backward", "optimizer", "step-end"]
    assert [at for _, at in line.phases] == sorted(at for _, at in line.phases)


@pytest.mark.parametrize("stage", [Stage.FORWARD, Stage.BACKWARD, Stage.STEP])
def test_activations_are_activations_however_far_the_step_goes(stage):
    """Also where no backward pass follows: what it would need is kept until the step ends."""
    config = TrainingConfig(seq_len=16)
    spec = TrialSpec(tiny_bert(), config, 4, stage)
    tracker = MemoryTracker("cpu")
    model = build_model(spec.workload, spec.config, CPU)
    run_tracked_steps(spec, model, DeviceRuntime(CPU), tracker, steps=2)
    start = tracker.trace.last_step()
    parts, *_ = breakdown_at(tracker.trace, peak_position(tracker.trace, start))
    assert parts.activations > 5 * parts.temporaries
    assert parts.inputs > 0


def test_without_gradients_nothing_is_kept_as_an_activation():
    spec = TrialSpec(tiny_bert(), TrainingConfig(seq_len=16), 4, Stage.FORWARD_ONLY)
    tracker = MemoryTracker("cpu")
    model = build_model(spec.workload, spec.config, CPU)
    run_tracked_steps(spec, model, DeviceRuntime(CPU), tracker, steps=2)
    parts, *_ = breakdown_at(tracker.trace, peak_position(tracker.trace, tracker.trace.last_step()))
    assert parts.activations == 0 and parts.inputs > 0 and parts.temporaries > 0
