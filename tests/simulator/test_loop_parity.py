"""Loops as people write them, run for real: the simulated step holds the same at every phase."""

from itertools import accumulate

import pytest
import torch
import transformers
from tiny import tiny_gpt2, tiny_llama

from memorymark.memory.trace import BACKWARD, OPTIMIZER, STEP_END
from memorymark.memory.tracker import MemoryTracker
from memorymark.placement.collector import collector_off
from memorymark.records.config import Task, TrainingConfig
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.simulate import simulate
from memorymark.workloads.build import build_model
from memorymark.workloads.huggingface import HuggingFaceWorkload
from memorymark.workloads.trial_spec import TrialSpec

STEPS = 3


def tiny_t5():
    config = transformers.T5Config(
        vocab_size=300, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4,
        decoder_start_token_id=0,
    )  # fmt: skip
    return HuggingFaceWorkload("tiny-t5", config, Task.SEQ2SEQ_LM)


WORKLOADS = {"gpt2": lambda: tiny_gpt2(Task.CAUSAL_LM), "llama": tiny_llama, "t5": tiny_t5}


def plain(model, batches, optimizer, phase, accumulation):
    """Everything in one function: its variables live until they are bound anew."""
    for number, batch in enumerate(batches):
        if number % accumulation == 0:
            optimizer.zero_grad()
        outputs = model(**batch)
        loss = outputs.loss if accumulation == 1 else outputs.loss / accumulation
        phase(BACKWARD)
        loss.backward()
        if number % accumulation == accumulation - 1:
            phase(OPTIMIZER)
            optimizer.step()
            phase(STEP_END)


def dropping(model, batches, optimizer, phase, accumulation):
    """As plain, but that the outputs have no variable."""
    for number, batch in enumerate(batches):
        if number % accumulation == 0:
            optimizer.zero_grad()
        loss = model(**batch).loss if accumulation == 1 else model(**batch).loss / accumulation
        phase(BACKWARD)
        loss.backward()
        if number % accumulation == accumulation - 1:
            phase(OPTIMIZER)
            optimizer.step()
            phase(STEP_END)


def trainer(model, batches, optimizer, phase, accumulation):
    """As transformers' Trainer: the loss has a function of its own, the batches come ahead."""

    def compute_loss(inputs):
        outputs = model(**inputs)
        return outputs["loss"]

    def training_step(inputs):
        loss = compute_loss(inputs)
        if accumulation > 1:
            loss = loss / accumulation
        phase(BACKWARD)
        loss.backward()
        return loss.detach()

    for _ in range(STEPS):
        ahead = [next(batches) for _ in range(accumulation)]
        for inputs in ahead:
            noted = training_step(inputs)
        phase(OPTIMIZER)
        optimizer.step()
        model.zero_grad()
        phase(STEP_END)
    assert noted.isfinite()


LOOPS = {"plain": plain, "trainer": trainer, "dropping": dropping}
CHOSEN = {
    "plain": {"loop": "plain"}, "trainer": {"loop": "trainer"}, "dropping": {"drop_outputs": True}
}  # fmt: skip


def batches_of(spec, count):
    for _ in range(count):
        yield spec.workload.batch(spec.batch_size, spec.config)


def by_hand(spec):
    """Run the loop on the CPU; return its trace."""
    model = build_model(spec.workload, spec.config, torch.device("cpu"))
    accumulation = spec.config.gradient_accumulation
    tracker = MemoryTracker("cpu")
    with collector_off(), tracker:
        tracker.add(model.named_parameters(), "parameters")
        tracker.add(model.named_buffers(), "temporaries")
        optimizer = torch.optim.AdamW(model.parameters(), foreach=False)
        batches = batches_of(spec, STEPS * accumulation)
        run = LOOPS["dropping" if spec.config.drop_outputs else str(spec.config.loop)]
        run(model, batches, optimizer, tracker.begin_phase, accumulation)
    tracker.stop()
    return tracker.trace


def simulated(spec):
    model = build_model(spec.workload, spec.config, torch.device("meta"))
    return simulate(spec, model, Rules(Platform.CPU), steps=STEPS).trace


def held(trace):
    """Return the bytes that live at each mark of a phase, and at the peak."""
    live = [0, *accumulate(size for _, size in trace.events)]
    phases = (BACKWARD, OPTIMIZER, STEP_END)
    return [(phase, live[at]) for phase, at in trace.marks if phase in phases], max(live)


@pytest.mark.parametrize(("use_cache", "accumulation"), [("auto", 1), ("off", 2)])
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("name", WORKLOADS)
def test_a_loop_by_hand_holds_what_the_step_holds(name, loop, use_cache, accumulation):
    config = TrainingConfig(
        seq_len=16, **CHOSEN[loop], use_cache=use_cache, gradient_accumulation=accumulation
    )
    spec = TrialSpec(WORKLOADS[name](), config, 4)
    marks, peak = held(by_hand(spec))
    assert held(simulated(spec)) == (marks, peak)
    assert len(marks) == STEPS * (accumulation + 2)


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_cache_of_a_step_is_there_in_the_next_forward_pass(name):
    """What the plain loop keeps, and the Trainer's does not: two caches at once."""
    peaks = {}
    for loop in LOOPS:
        for use_cache in ("on", "off"):
            config = TrainingConfig(
                seq_len=48, **CHOSEN[loop], use_cache=use_cache, optimizer="sgd"
            )
            _, peaks[loop, use_cache] = held(simulated(TrialSpec(WORKLOADS[name](), config, 64)))
    assert peaks["plain", "on"] > peaks["dropping", "on"] >= peaks["dropping", "off"]
    assert peaks["plain", "on"] > peaks["trainer", "on"] >= peaks["trainer", "off"]
    assert peaks["plain", "on"] >= peaks["plain", "off"] > peaks["trainer", "off"]
