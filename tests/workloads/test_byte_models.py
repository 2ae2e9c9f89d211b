"""The built-in models over bytes: how large they are, and that every kind of work takes them."""

import json
from itertools import accumulate

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memorymark import api
from memorymark.cli import main
from memorymark.inference.words import TokenWords
from memorymark.probes.cpu import CpuProbe
from memorymark.records.config import Task, TrainingConfig
from memorymark.records.generation_plan import GenerationPlan
from memorymark.records.serving_config import ServingConfig
from memorymark.report.snippets import snippet
from memorymark.service.admission import check_model
from memorymark.settings import load_settings
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.simulate import simulate
from memorymark.units import GIB
from memorymark.workloads import resolve
from memorymark.workloads.bdh_config import BdhConfig
from memorymark.workloads.build import build_model
from memorymark.workloads.byte_models import BYTE_MODELS, byte_tokenizer
from memorymark.workloads.huggingface import HuggingFaceWorkload
from memorymark.workloads.known_models import BUILTIN_TASKS, model_choices
from memorymark.workloads.naming import MODEL_FORMS
from memorymark.workloads.trial_spec import TrialSpec

SMALL = ["bdh-small", "gpt2-bytes-small"]


@pytest.fixture(autouse=True)
def _home(home):
    """A home of its own, and one thread."""


@pytest.mark.parametrize("name", BYTE_MODELS)
def test_a_model_has_the_parameters_that_are_said_of_it(name):
    workload = resolve(name)
    with torch.device("meta"):
        model = workload.build(TrainingConfig())
    count = sum(each.numel() for each in model.parameters())
    assert count == BYTE_MODELS[name].parameters
    assert workload.describe(TrainingConfig()).task is BUILTIN_TASKS[name] is Task.CAUSAL_LM
    (form,) = [each for each in MODEL_FORMS if each.form == name]
    assert f"{count:,}" in form.meaning


@pytest.mark.parametrize(("one", "other"), [("bdh", "gpt2-bytes"), SMALL])
def test_both_architectures_have_as_many_parameters(one, other):
    assert BYTE_MODELS[other].parameters == pytest.approx(BYTE_MODELS[one].parameters, rel=0.01)


@pytest.mark.parametrize("name", BYTE_MODELS)
def test_the_app_takes_it_and_offers_it(name):
    check_model(name, load_settings())
    assert model_choices()[name] == f"{BYTE_MODELS[name].label} · {name}"


TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "expansion": 4}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"gradient_checkpointing": True},
        {"precision": "amp-bf16"},
        {"lora_rank": 2},
        {"chunked_cross_entropy": True},
        {"use_cache": "on"},
        {"dropout": False, "optimizer": "sgd"},
    ],
    ids=str,
)
def test_a_simulated_step_holds_what_the_measured_one_does(more):
    bdh = HuggingFaceWorkload("tiny-bdh", BdhConfig(**TINY))
    same_peak(bdh, TrainingConfig(seq_len=12, **more))


@pytest.mark.parametrize("name", SMALL)
def test_so_does_a_step_of_a_built_in_model(name):
    same_peak(resolve(name), TrainingConfig(seq_len=12))


def same_peak(workload, config):
    spec = TrialSpec(workload, config, 2)
    trial = CpuProbe(4 * GIB).run_trial(spec)
    assert trial.fits, trial.error
    model = build_model(spec.workload, spec.config, torch.device("meta"))
    trace = simulate(spec, model, Rules(Platform.CPU), steps=2).trace
    assert max(accumulate(size for _, size in trace.events)) == trial.peak_allocated_bytes


@pytest.mark.parametrize("name", SMALL)
def test_it_writes_bytes_as_text(name):
    run = api.generate(
        name, "Once", device="cpu", max_new_tokens=5, config=ServingConfig(weights="fp32")
    )
    assert run.prompt_tokens == 4 and run.new_tokens == 5
    assert run.text == bytes(run.tokens).decode(errors="replace")
    assert run.predicted_peak_bytes == run.peak_allocated_bytes
    assert run.plan == GenerationPlan(prompt="Once", max_new_tokens=5)


@pytest.mark.parametrize("name", SMALL)
def test_sessions_take_it(name, capsys):
    words = ["sessions", name, "--gpu", "l4", "--context", "64", "--sessions", "2", "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["sessions_completed"] == 2


@pytest.mark.parametrize("name", BYTE_MODELS)
def test_a_script_makes_it(name):
    text = snippet(name, TrainingConfig(task="causal-lm"), 2)
    assert ("know_architecture" in text) is name.startswith("bdh")
    assert "hub" not in text


@given(st.text())
def test_tokens_are_the_bytes_of_a_text(text):
    tokens = TOKENIZER(text)["input_ids"]
    assert tokens == list(text.encode())
    assert TOKENIZER.decode(tokens) == text


@given(st.binary(max_size=12))
def test_bytes_that_are_no_text_are_written_as_a_sign_for_them(data):
    words = TokenWords(TOKENIZER)
    pieces = [words.add(byte) for byte in data]
    assert "".join([*pieces, words.rest()]) == data.decode(errors="replace")


def test_a_character_is_held_back_until_it_is_whole():
    words = TokenWords(TOKENIZER)
    assert [words.add(byte) for byte in "aé漢".encode()] == ["a", "", "é", "", "", "漢"]


TOKENIZER = byte_tokenizer()
