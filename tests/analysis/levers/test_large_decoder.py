"""A decoder of seven billion parameters on a card of 24 GiB: what it needs, and what makes it fit.

Its layers are few and wide, so that a step is simulated in moments: what decides here is what
weights, gradients and states take, and these are those of seven billion parameters. For Mistral 7B
as it is published, `memorymark levers mistralai/Mistral-7B-v0.3 --gpu rtx-3090
--current-batch-size 1` shows the same in two minutes.
"""

from __future__ import annotations

import pytest
import transformers

import memorymark
from memorymark.records.config import Optimizer, Precision, TrainingConfig

BATCH = 1
# All of the card; with a budget, no smaller one is looked for, which takes as long again.
CARD = {"gpu": "rtx-3090", "memory_budget": "24GiB"}
PARAMETERS = 7_000_000_000


@pytest.fixture(scope="module")
def decoder(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("models") / "wide"
    transformers.MistralConfig(
        vocab_size=32_768, hidden_size=16_384, intermediate_size=48_640, num_hidden_layers=2,
        num_attention_heads=128, num_key_value_heads=8, architectures=["MistralForCausalLM"],
    ).save_pretrained(folder)  # fmt: skip
    return f"hf:{folder}"


@pytest.fixture(scope="module")
def report(decoder):
    return memorymark.levers(decoder, current_batch_size=BATCH, max_batch_size=8, **CARD)


def test_it_has_seven_billion_parameters_and_plain_adamw_does_not_fit(report, decoder) -> None:
    config = report.config
    assert (config.precision, config.optimizer) == (Precision.FP32, Optimizer.ADAMW)
    trial = memorymark.estimate(decoder, TrainingConfig(), batch_size=BATCH, **CARD)
    assert abs(trial.breakdown.parameters / 4 - PARAMETERS) < 0.01 * PARAMETERS
    assert not trial.fits and report.before.fits is False
    # Weights, gradients and two states in fp32: sixteen bytes a parameter, on a card of 24 GiB.
    assert report.before.memory_bytes == trial.memory_bytes > 15.9 * PARAMETERS


def test_a_set_of_levers_makes_it_fit_and_each_step_is_what_an_estimate_says(
    report, decoder
) -> None:
    before, *steps = report.make_it_fit
    assert before == report.before
    assert [step.fits for step in steps] == [False] * (len(steps) - 1) + [True]
    for step in steps:
        config = step.config_from(report.config)
        trial = memorymark.estimate(decoder, config, batch_size=step.batch_size, **CARD)
        assert trial.fits is step.fits and trial.memory_bytes == step.memory_bytes
        assert trial.source == report.source == "simulated"
    assert steps[-1].memory_bytes < 24 * 2**30
    assert all(step.snippet for step in steps)
