from __future__ import annotations

import csv
import dataclasses
import io
import json
import shlex

import pytest
from fakes import FakeProbe, FakeWorkload, measured_target, simulated_target

from memorymark.analysis.analyze import AnalysisOptions, analyze_on
from memorymark.records.config import TrainingConfig
from memorymark.records.exports import command_line, config_words, to_json, trials_csv
from memorymark.records.trial import Source, Target
from memorymark.units import GIB


def analysis(target: Target | None = None, config=None, **options):
    probe = FakeProbe(target=target or measured_target())
    workload = FakeWorkload("bert")
    return analyze_on(probe, workload, config or TrainingConfig(), AnalysisOptions(**options))


def test_csv_has_a_line_a_trial_in_order_of_batch_sizes():
    result = analysis()
    rows = list(csv.DictReader(io.StringIO(trials_csv(result.trials))))
    assert [int(row["batch_size"]) for row in rows] == sorted(t.batch_size for t in result.trials)
    first = min(result.trials, key=lambda t: t.batch_size)
    assert int(rows[0]["peak_allocated_bytes"]) == first.peak_allocated_bytes
    assert int(rows[0]["activations"]) == first.breakdown.activations
    oom = next(row for row in rows if row["outcome"] == "oom")
    assert oom["peak_allocated_bytes"] == oom["samples_per_second"] == oom["activations"] == ""


def test_json_is_the_record():
    result = analysis()
    assert json.loads(to_json(result)) == json.loads(json.dumps(result.to_dict()))


def test_json_has_no_numbers_that_json_does_not_know():
    trial = dataclasses.replace(analysis().trials[0], step_seconds=float("inf"))
    assert json.loads(to_json(trial))["step_seconds"] is None


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
        "--memory-budget 2147483648", "--task causal-lm", "--seq-len 64",
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
    assert command_line(analysis(cpu)).endswith(f"--device cpu --memory-budget {8 * GIB}")


@pytest.mark.parametrize("field", dataclasses.fields(TrainingConfig), ids=lambda f: f.name)
def test_every_option_of_a_training_has_its_word(field):
    other = {
        "task": "masked-lm", "num_labels": 5, "precision": "bf16", "optimizer": "sgd",
        "optimizer_impl": "fused", "zero_grad": "after-step", "attention": "flash",
    }  # fmt: skip
    default = getattr(TrainingConfig(), field.name)
    value = other.get(field.name, not default if isinstance(default, bool) else 77)
    words = config_words(TrainingConfig(**{field.name: value}))
    assert bool(words) is (field.name != "compile")
