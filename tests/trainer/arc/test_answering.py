"""Answers are greedy, among the tokens of grids, and end where they can be no grid any more."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from arc_worlds import job_of

from memorymark.data.arc.generated_tasks import generated_task
from memorymark.data.arc.grid_tokens import GRID_END, ROW_END, begins_a_grid, grid_tokens
from memorymark.data.arc.leave_one_out import prompt_of
from memorymark.errors import WorkloadError
from memorymark.records.arc_plan import ArcPlan
from memorymark.trainer.arc.answering import WRITTEN, Answer, answer, is_right
from memorymark.training.runtime import DeviceRuntime
from memorymark.workloads.build import build_model

CPU = torch.device("cpu")
TASK = generated_task(1, sides=(3, 3), shown=3)


@pytest.fixture
def model(home):
    job = job_of(ArcPlan(generated=1, all_weights=True), positions=200)
    torch.manual_seed(3)
    return build_model(job.workload, job.config, CPU)


def answered(model, **how):
    prompt = prompt_of(TASK, TASK.test[0].input, 150)
    config = job_of(ArcPlan(generated=1)).config
    return answer(model, prompt, config, DeviceRuntime(CPU), **how)


def make_it_write(model, tokens):
    """Have the model write some tokens, whatever it reads: its logits name them in turn."""
    turn = iter([*tokens, *[5] * 1000])

    def named(module, args, output):
        output.logits[:, -1] = 0.0
        output.logits[:, -1, next(turn)] = 1.0
        return output

    model.register_forward_hook(named)


def test_what_is_written_is_what_the_likeliest_tokens_say(model):
    """One whole pass for each token gives the same as the cache does."""
    prompt = prompt_of(TASK, TASK.test[0].input, 150)
    ids, found = torch.from_numpy(prompt.tokens)[None], []
    model.eval()
    with torch.no_grad():
        while begins_a_grid(found) and len(found) < 40:
            logits = model(ids).logits[0, -1]
            others = [each for each in range(16) if each not in WRITTEN]
            logits[others] = float("-inf")
            found.append(int(logits.argmax()))
            ids = torch.cat([ids, torch.tensor([[found[-1]]])], dim=1)
            if found[-1] == GRID_END:
                break
    model.train()
    assert answered(model).tokens == len(found)
    assert model.training


def test_a_grid_is_read_from_what_was_written(model):
    expected = TASK.test[0].output
    make_it_write(model, grid_tokens(expected).tolist())
    found = answered(model)
    assert np.array_equal(found.grid, expected) and found.tokens == len(grid_tokens(expected))
    assert is_right(found, expected) and not is_right(found, expected.T[:1])


def test_what_can_be_no_grid_any_more_ends_at_once(model):
    make_it_write(model, [1, 2, ROW_END, 3, ROW_END, 4, 4, 4])
    found = answered(model)
    assert found.grid is None and found.tokens == 5


def test_tokens_beside_those_of_grids_are_never_written(model):
    make_it_write(model, [14, 15, 11] * 40)
    found = answered(model)  # of all others the first is as likely as any: a row without end
    assert found.grid is None and found.tokens == 31


def test_it_ends_where_it_is_stopped(model):
    make_it_write(model, [1] * 30)
    assert answered(model, is_stopped=lambda: True).tokens == 1


def test_logits_that_are_no_numbers_are_an_error(model):
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    with pytest.raises(WorkloadError, match="NaN or infinity"):
        answered(model)


def test_no_answer_is_never_right():
    assert not is_right(Answer(None, 3), np.zeros((1, 1), dtype=np.uint8))
