"""The environment variable that PyTorch's allocator reads, followed by the simulated one."""

import pytest
from tiny import TinyNet

from memorymark.gpus.catalogue import find_gpu
from memorymark.probes.simulated import SimulatedProbe
from memorymark.records.config import TrainingConfig
from memorymark.simulator.allocator.environment import assumptions, expandable_segments
from memorymark.simulator.allocator.least_capacity import minimum_bytes
from memorymark.simulator.allocator.replay import replay
from memorymark.workloads.trial_spec import TrialSpec

NEW, OLD = "PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"
MIB = 1024**2
GROWING = [(0, 30 * MIB), (0, -30 * MIB), (1, 40 * MIB), (1, -40 * MIB)]


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    monkeypatch.delenv(NEW, raising=False)
    monkeypatch.delenv(OLD, raising=False)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, False),
        ({NEW: ""}, False),
        ({NEW: "expandable_segments:True"}, True),
        ({OLD: "expandable_segments:True"}, True),
        ({NEW: "expandable_segments:False", OLD: "expandable_segments:True"}, False),
        ({NEW: "max_split_size_mb:64", OLD: "expandable_segments:True"}, False),
        ({NEW: " max_split_size_mb : 64 , expandable_segments : True "}, True),
        ({NEW: "roundup_power2_divisions:[256:1,512:2,>:4],expandable_segments:True"}, True),
        ({NEW: "expandable_segments:True,expandable_segments:False"}, False),
    ],
)
def test_the_variables_are_read_as_pytorch_reads_them(monkeypatch, variables, expected):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert expandable_segments() is expected


def test_a_replay_follows_the_variable_unless_it_is_told_otherwise(monkeypatch):
    fixed = replay(GROWING)
    monkeypatch.setenv(NEW, "expandable_segments:True")
    assert fixed.peak_reserved_bytes == 70 * MIB
    assert replay(GROWING).peak_reserved_bytes == 40 * MIB
    assert replay(GROWING) == replay(GROWING, expandable_segments=True)
    assert replay(GROWING, expandable_segments=False) == fixed
    assert minimum_bytes(GROWING) == minimum_bytes(GROWING, expandable_segments=True)


def test_what_is_followed_and_what_is_not_is_said(monkeypatch):
    assert assumptions() == []
    monkeypatch.setenv(OLD, "expandable_segments:True,max_split_size_mb:64")
    followed, ignored = assumptions()
    assert "expandable segments" in followed and OLD in followed
    assert "does not follow max_split_size_mb" in ignored and OLD in ignored


def test_a_simulated_trial_follows_the_variable_and_says_so(monkeypatch):
    def trial():
        probe = SimulatedProbe(find_gpu("a100-40gb"))
        return probe.run_trial(TrialSpec(TinyNet(), TrainingConfig(optimizer="adamw"), 16_384))

    fixed = trial()
    monkeypatch.setenv(NEW, "expandable_segments:True")
    growing = trial()
    assert growing.peak_reserved_bytes != fixed.peak_reserved_bytes
    assert growing.peak_reserved_bytes % (2 * MIB) == 0
    said = set(growing.assumptions) - set(fixed.assumptions)
    assert said == {f"The simulated allocator uses expandable segments, as {NEW} sets."}


def test_a_training_that_asks_for_them_has_them_whatever_the_variable_says(monkeypatch):
    def trial(**chosen):
        probe = SimulatedProbe(find_gpu("a100-40gb"))
        config = TrainingConfig(optimizer="adamw", **chosen)
        return probe.run_trial(TrialSpec(TinyNet(), config, 16_384))

    asked = trial(expandable_segments=True)
    monkeypatch.setenv(NEW, "expandable_segments:True")
    by_variable = trial()
    assert asked.peak_reserved_bytes == by_variable.peak_reserved_bytes
    assert asked.minimum_bytes == by_variable.minimum_bytes
    monkeypatch.setenv(NEW, "expandable_segments:False")
    assert trial(expandable_segments=True).peak_reserved_bytes == asked.peak_reserved_bytes
    assert not expandable_segments()
