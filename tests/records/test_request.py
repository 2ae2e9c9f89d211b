import json
import shlex

import pytest

from memorymark.errors import InvalidValue, UsageError
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.generation_plan import GenerationPlan
from memorymark.records.request import Request, RequestKind
from memorymark.records.serving_config import ServingConfig
from memorymark.records.session_run import SessionPlan
from memorymark.records.training_plan import TrainingPlan
from memorymark.units import GIB

WITHOUT_BATCH = (RequestKind.SESSIONS, RequestKind.GENERATE, RequestKind.ARC)


def request(**changes):
    values = {"kind": RequestKind.ANALYSIS, "model": "bert", "gpu": "l4", **changes}
    return Request(**values)


def test_json_round_trip():
    asked = request(
        config=TrainingConfig(precision="bf16"), options=AnalysisOptions(current_batch_size=4)
    )
    assert Request.from_dict(json.loads(json.dumps(asked.to_dict()))) == asked


def test_money_makes_no_other_job_but_everything_else_does():
    one = request(options=AnalysisOptions(price_per_hour=1.0, current_batch_size=4))
    assert one.identity == request(options=AnalysisOptions(current_batch_size=4)).identity
    assert one.identity != request(options=AnalysisOptions(current_batch_size=5)).identity
    assert one.identity != request(model="gpt2", options=one.options).identity


def test_lock_names():
    assert request().lock_name == "simulated:0"
    assert request(gpu=None, device="cpu").lock_name == "cpu:0"
    assert request(gpu=None, device="cuda:1").lock_name == "cuda:1"


def test_command_says_only_what_differs_from_the_defaults():
    config = TrainingConfig(seq_len=64, dropout=False, gradient_checkpointing=True)
    asked = request(
        gpu=None,
        device="cpu",
        config=config,
        memory_budget=2 * GIB,
        options=AnalysisOptions(price_per_hour=1.5),
    )
    assert shlex.split(asked.command()) == [
        *("memorymark", "analyze", "bert", "--device", "cpu", "--memory-budget", "2GiB"),
        *("--seq-len", "64", "--gradient-checkpointing", "--no-dropout", "--price", "1.5"),
    ]
    validation = request(kind=RequestKind.BACKWARD, batch_size=8)
    assert validation.command() == "memorymark validate backward bert --gpu l4 --batch-size 8"
    compared = request(kind=RequestKind.COMPARISON, gpu=None, gpus=("t4", "l4"))
    assert compared.command() == "memorymark compare bert --gpus t4,l4"


def test_what_lives_in_a_script_has_no_command():
    asked = request(kind=RequestKind.FITS, model="Linear", batch_size=8)
    assert asked.command() is None
    others = set(RequestKind) - {
        RequestKind.FITS, RequestKind.COMPARISON, RequestKind.ESTIMATE,
        RequestKind.COMPARE_TRAINING,
    }  # fmt: skip
    for kind in others:
        batch_size = None if kind in WITHOUT_BATCH else 8
        words = shlex.split(request(kind=kind, batch_size=batch_size).command())
        assert words[0] == "memorymark" and "bert" in words


def test_trainings_have_commands_with_their_plan_and_the_other_model():
    plan = TrainingPlan(data="a.txt", steps=5, time_budget="2h")
    asked = request(kind=RequestKind.TRAIN, gpu=None, training=plan)
    words = "memorymark train bert --data a.txt --time-budget 7200.0 --steps 5"
    assert asked.command() == words
    both = request(
        kind=RequestKind.COMPARE_TRAINING, gpu=None, training=plan, other_model="gpt2", batch_size=4
    )
    assert both.command() == (
        "memorymark compare-training bert gpt2 --data a.txt --time-budget 7200.0 --steps 5 "
        "--batch-size 4"
    )
    assert Request.from_dict(json.loads(json.dumps(both.to_dict()))) == both
    with pytest.raises(UsageError, match="needs the other model"):
        request(kind=RequestKind.COMPARE_TRAINING, gpu=None)


def test_a_request_of_version_0_1_0_opens():
    old = {
        "kind": "comparison", "model": "bert", "config": TrainingConfig().to_dict(),
        "device": None, "gpu": None, "memory_budget": None, "batch_size": None,
        "options": {"gpus": "t4,a100-40gb", "dataset_size": 64},
    }  # fmt: skip
    opened = Request.from_dict(old)
    assert opened.gpus == ("t4", "a100-40gb")
    assert opened.options == AnalysisOptions(dataset_size=64)


def test_numbers_and_targets_are_checked():
    assert request(memory_budget="2GiB").memory_budget == 2 * GIB
    with pytest.raises(InvalidValue, match="memory budget"):
        request(memory_budget="lots")
    with pytest.raises(InvalidValue, match="batch size"):
        request(batch_size=0)
    with pytest.raises(UsageError, match="Both the device 'cpu' and the GPU 'l4'"):
        request(device="cpu")


@pytest.mark.parametrize("given", ["", "4 apples", 0, -1, True])
def test_budgets_that_are_none(given):
    with pytest.raises(InvalidValue, match="memory budget"):
        request(memory_budget=given)


def test_sessions_are_asked_for_with_their_own_records():
    serving = ServingConfig(weights="fp16", context_tokens=512, policy="swap")
    asked = Request(
        RequestKind.SESSIONS, "gpt2", gpu="l4", serving=serving, plan=SessionPlan(sessions=8),
        host_memory="64GiB",
    )  # fmt: skip
    assert asked.command() == (
        "memorymark sessions gpt2 --gpu l4 --host-memory 64GiB --precision fp16 --context 512 "
        "--policy swap --sessions 8"
    )
    assert Request.from_dict(asked.to_dict()) == asked
    assert Request(RequestKind.SESSIONS, "gpt2").plan == SessionPlan()
    assert "serving" not in request().to_dict()
    with pytest.raises(UsageError, match="sessions takes no batch size"):
        Request(RequestKind.SESSIONS, "gpt2", batch_size=8)


def test_a_generation_is_asked_for_with_what_it_reads():
    plan = GenerationPlan(prompt="It's here", temperature=0.7, max_new_tokens=8)
    asked = Request(
        RequestKind.GENERATE, "gpt2", device="cpu", serving=ServingConfig(weights="fp32"),
        generation=plan,
    )  # fmt: skip
    assert shlex.split(asked.command()) == shlex.split(
        'memorymark generate gpt2 --device cpu --precision fp32 --prompt "It\'s here" '
        "--max-new-tokens 8 --temperature 0.7"
    )
    assert Request.from_dict(asked.to_dict()) == asked and not asked.is_simulated
    assert Request(RequestKind.GENERATE, "gpt2").generation == GenerationPlan()
    assert "generation" not in request().to_dict()
    with pytest.raises(UsageError, match="generate takes no batch size"):
        Request(RequestKind.GENERATE, "gpt2", batch_size=8)
