import json
import shlex

from memorymark.records.config import TrainingConfig
from memorymark.records.request import Request, RequestKind
from memorymark.units import GIB


def request(**changes):
    values = {"kind": RequestKind.ANALYSIS, "model": "bert", "gpu": "l4", **changes}
    return Request(**values)


def test_json_round_trip():
    asked = request(config=TrainingConfig(precision="bf16"), options={"current_batch_size": 4})
    assert Request.from_dict(json.loads(json.dumps(asked.to_dict()))) == asked


def test_money_makes_no_other_job_but_everything_else_does():
    one = request(options={"price_per_hour": 1.0, "current_batch_size": 4})
    assert one.identity == request(options={"current_batch_size": 4}).identity
    assert one.identity != request(options={"current_batch_size": 5}).identity
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
        options={"price_per_hour": 1.5, "dataset_size": None},
    )
    assert shlex.split(asked.command()) == [
        *("memorymark", "analyze", "bert", "--device", "cpu", "--memory-budget", "2GiB"),
        *("--seq-len", "64", "--gradient-checkpointing", "--no-dropout", "--price", "1.5"),
    ]
    validation = request(kind=RequestKind.BACKWARD, batch_size=8)
    assert validation.command() == "memorymark validate backward bert --gpu l4 --batch-size 8"
