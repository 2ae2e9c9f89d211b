"""A function may read or change what is between two layers, in sessions as users run them."""

from __future__ import annotations

import pytest
import torch
from generators import tiny_llava
from tiny import tiny_llama

from memorymark import ServingConfig, SessionPlan, sessions
from memorymark.errors import InvalidValue, UsageError
from memorymark.records.session_run import Verdict

CONFIG = ServingConfig(weights="fp32", context_tokens=40, output_tokens=4)
PLAN = SessionPlan(sessions=2, pause_layer=1)
PROMPT, WIDTH = 36, 64


def served(steer, plan=PLAN, workload=None, **target):
    return sessions(
        workload or tiny_llama(), CONFIG, plan, steer=steer, **(target or {"device": "cpu"})
    )


@pytest.mark.parametrize("target", [{"device": "cpu"}, {"gpu": "l4"}], ids=str)
def test_it_is_given_the_hidden_state_of_each_pause(target):
    seen = []

    def read(hidden):
        seen.append(tuple(hidden.shape))
        return hidden

    run = served(read, **target)
    assert run.verdict is not Verdict.FAIL and run.sessions_completed == 2
    assert set(seen) == {(1, PROMPT, WIDTH)} and len(seen) >= 2


def test_of_a_model_that_sees_it_is_given_the_hidden_state_of_the_text():
    seen = []

    def read(hidden):
        seen.append(hidden.shape)
        return hidden

    workload = tiny_llava()  # with as many layers for the image as for the text
    assert served(read, workload=workload).sessions_completed == 2
    width = workload.hf_config.text_config.hidden_size
    assert {(batch, size) for batch, _, size in seen} == {(1, width)} and len(seen) == 2
    assert min(tokens for _, tokens, _ in seen) >= PROMPT


def test_what_it_returns_goes_on():
    from memorymark.inference.inference_step import InferenceStep
    from memorymark.inference.turns import ModelTurns
    from memorymark.records.config import TrainingConfig

    torch.manual_seed(0)
    model = tiny_llama().build(TrainingConfig(seq_len=PROMPT)).eval()
    ids = torch.randint(1, 100, (1, PROMPT))

    def logits_of(steer):
        seen = []
        step = InferenceStep(
            model, CONFIG, lambda logits: seen.append(logits) or logits[:, :1].long()
        )
        turns = ModelTurns(step, lambda: {"input_ids": ids}, 1, steer)
        turns.resume(turns.begin())
        return seen[0]

    alone = logits_of(None)
    assert torch.equal(logits_of(lambda hidden: hidden.clone()), alone)
    assert not torch.equal(logits_of(lambda hidden: hidden + 1), alone)


@pytest.mark.parametrize(
    ("steer", "words"),
    [
        (lambda hidden: None, "steered state is 'NoneType'; accepted: a tensor"),
        (lambda hidden: hidden[:, :1], r"accepted: torch.float32 of \(1, 36, 64\), as"),
        (lambda hidden: hidden.half(), "steered state is 'torch.float16 of"),
    ],
)
def test_it_returns_what_it_was_given_or_something_alike(steer, words):
    with pytest.raises(InvalidValue, match=words):
        served(steer)


def test_without_a_pause_it_would_never_be_called():
    with pytest.raises(UsageError, match=r"give SessionPlan\(pause_layer=N\)"):
        served(lambda hidden: hidden, SessionPlan(sessions=2))
