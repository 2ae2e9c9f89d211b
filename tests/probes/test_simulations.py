"""Probes that share simulations give the trials that each would give alone."""

from __future__ import annotations

import dataclasses

import pytest
from tiny import TinyNet, tiny_bert

from memorymark.gpus.catalogue import find_gpu, load_catalogue
from memorymark.probes.choose import share_simulations, simulated_probe
from memorymark.probes.simulated import SimulatedProbe
from memorymark.probes.simulations import Simulations
from memorymark.records.config import TrainingConfig
from memorymark.simulator.cuda.rules import CapabilityQuestions, Platform, Rules, rules_of
from memorymark.workloads.trial_spec import TrialSpec

SMALL = TrainingConfig(seq_len=16, image_size=32)


def figures(trial):
    return dataclasses.replace(trial, assumptions=(), elapsed_seconds=None)


def shared_probes(*names):
    probes, shared = [SimulatedProbe(find_gpu(name)) for name in names], Simulations()
    for probe in probes:
        probe.share(shared)
    return probes, shared


@pytest.mark.parametrize(
    ("precision", "names"),
    [("fp32", ["t4", "a100-40gb", "l4", "h100-80gb"]), ("amp-bf16", ["t4", "a10", "l4"])],
)
def test_every_card_gets_the_figures_of_its_own_simulation(precision, names):
    training = dataclasses.replace(SMALL, precision=precision)
    probes, _ = shared_probes(*names)
    workload = tiny_bert()
    for name, probe in zip(names, probes, strict=True):
        for batch_size in (8, 64, 40, 16):
            spec = TrialSpec(workload, training, batch_size)
            alone = simulated_probe(find_gpu(name)).run_trial(spec)
            assert figures(probe.run_trial(spec)) == figures(alone)


def test_cards_that_ask_the_same_are_simulated_once():
    probes, shared = shared_probes("a10", "l4", "rtx-3060", "a100-40gb")
    workload, ran = tiny_bert(), []
    for probe in probes:
        for batch_size in (8, 64, 40, 16):
            probe.run_trial(TrialSpec(workload, SMALL, batch_size))
        ran.append(shared.simulated)
    assert ran[0] == ran[-1]


def test_a_derived_trial_says_so():
    (probe,), _ = shared_probes("a100-40gb")
    workload = tiny_bert()
    said = {}
    for batch_size in (8, 64, 40):
        trial = probe.run_trial(TrialSpec(workload, SMALL, batch_size))
        said[batch_size] = any("was not simulated itself" in text for text in trial.assumptions)
    assert said == {8: False, 64: False, 40: True}


def test_the_users_own_code_is_run_for_every_trial():
    class Own(TinyNet):
        runs_own_code = True

    (first, second), shared = shared_probes("a100-40gb", "a10")
    spec = TrialSpec(Own(), SMALL, 8)
    for probe in (first, first, second):
        probe.run_trial(spec)
    assert shared.simulated == 3


def test_another_training_begins_anew():
    (probe,), shared = shared_probes("a100-40gb")
    workload = tiny_bert()
    for optimizer in ("adamw", "sgd", "adamw"):
        config = dataclasses.replace(SMALL, optimizer=optimizer)
        probe.run_trial(TrialSpec(workload, config, 8))
    assert shared.simulated == 3


def test_only_simulated_probes_share():
    class Other:
        pass

    share_simulations([Other(), simulated_probe(find_gpu("t4"))])


def test_rules_are_alike_where_what_was_asked_is_answered_alike():
    asked = CapabilityQuestions()
    rules = asked.about(Rules(Platform.CUDA, (8, 6)))
    assert rules.compute_capability >= (8, 0) and not rules.compute_capability < (7, 0)
    assert rules.cublas_workspace_bytes == Rules(Platform.CUDA, (8, 6)).cublas_workspace_bytes
    all_rules = {key: rules_of(gpu) for key, gpu in load_catalogue().items()}
    alike = {key for key, each in all_rules.items() if asked.are_answered_alike_by(each)}
    assert {"a100-40gb", "l4", "rtx-5090"} <= alike
    assert not alike & {"t4", "v100-16gb", "h100-80gb", "b200", "m4-16gb"}
    assert rules.compute_capability >= (8, 6)
    assert not asked.are_answered_alike_by(Rules(Platform.CUDA, (8, 0)))


@pytest.mark.parametrize("read", [tuple, list, hash, lambda x: x[0], lambda x: x == (8, 6)])
def test_what_is_read_otherwise_is_this_card_alone(read):
    asked = CapabilityQuestions()
    read(asked.about(Rules(Platform.CUDA, (8, 6))).compute_capability)
    assert asked.are_answered_alike_by(Rules(Platform.CUDA, (8, 6)))
    assert not asked.are_answered_alike_by(Rules(Platform.CUDA, (8, 9)))


def test_what_asks_nothing_is_shared_by_cards_of_one_platform():
    asked = CapabilityQuestions()
    m4 = rules_of(find_gpu("m4-16gb"))
    asked.about(m4)
    assert asked.are_answered_alike_by(rules_of(find_gpu("m1-8gb")))
    assert not asked.are_answered_alike_by(Rules(Platform.CUDA, m4.compute_capability))
