from __future__ import annotations

import dataclasses
import shlex

from fakes import FakeProbe, FakeWorkload, measured_target, simulated_target

from memorymark.analysis.analyze import AnalysisOptions, analyze_on
from memorymark.records.config import TrainingConfig
from memorymark.records.request import command_line
from memorymark.records.trial import Source, Target
from memorymark.units import GIB


def analysis(target: Target | None = None, config=None, **options):
    probe = FakeProbe(target=target or measured_target())
    workload = FakeWorkload("bert")
    return analyze_on(probe, workload, config or TrainingConfig(), AnalysisOptions(**options))


def test_defaults_are_left_out_of_the_command():
    assert command_line(analysis()) == "memorymark analyze bert --device cuda"
    simulated = command_line(analysis(simulated_target()))
    assert simulated == "memorymark analyze bert --gpu a100-40gb"


def test_the_command_says_all_that_differs():
    config = TrainingConfig(
        task="causal-lm", seq_len=64, precision="amp-bf16", gradient_checkpointing=True,
        dropout=False, gradient_accumulation=2, attention="eager",
    )  # fmt: skip
    words = shlex.split(
        command_line(analysis(config=config, granularity=1, price_per_hour=1.29), 2 * GIB)
    )
    text = " ".join(words)
    for part in (
        "--memory-budget 2GiB", "--task causal-lm", "--seq-len 64",
        "--precision amp-bf16", "--gradient-accumulation 2", "--attention eager",
        "--granularity 1", "--price 1.29",
    ):  # fmt: skip
        assert part in text
    assert {"--gradient-checkpointing", "--no-dropout"} <= set(words)


def test_the_command_names_the_card_among_several():
    second = dataclasses.replace(measured_target(), index=1)
    assert command_line(analysis(second)) == "memorymark analyze bert --device cuda:1"


def test_on_the_cpu_the_budget_is_said():
    cpu = Target("CPU", "cpu", Source.MEASURED, 8 * GIB)
    assert command_line(analysis(cpu)).endswith("--device cpu --memory-budget 8GiB")


def test_lengths_and_newer_settings_are_said():
    config = TrainingConfig(
        lora_rank=8, freeze="*embed*", grad_clip=1.0, drop_outputs=True, chunked_cross_entropy=True,
        expandable_segments=True,
    )  # fmt: skip
    words = shlex.split(command_line(analysis(config=config, lengths=[128, 64, 64])))
    text = " ".join(words)
    assert "--lora-rank 8 --freeze *embed* --grad-clip 1.0 --drop-outputs" in text
    assert "--chunked-cross-entropy --expandable-segments" in text
    assert text.endswith("--lengths 64:2,128:1")
