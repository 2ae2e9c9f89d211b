"""Tokens are drawn among those that a plan leaves, after what stands before the text."""

import pytest
import torch

from memorymark.inference.choosing import NO_TOKEN, Chooser
from memorymark.records.generation_plan import GenerationPlan

LOGITS = torch.tensor([[3.0, 2.0, 1.0, 0.0, -1.0]])


def drawn(count=300, **plan):
    choose = Chooser(GenerationPlan(**plan), torch.Generator().manual_seed(1))
    return {int(choose(LOGITS.clone())) for _ in range(count)}


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        ({}, {0}),
        ({"temperature": 5}, {0, 1, 2, 3, 4}),
        ({"temperature": 5, "top_k": 2}, {0, 1}),
        ({"temperature": 5, "top_k": 99}, {0, 1, 2, 3, 4}),
        ({"temperature": 1, "top_p": 0.6}, {0}),  # the first alone has 64 %
        ({"temperature": 1, "top_p": 0.7}, {0, 1}),
        ({"temperature": 1, "top_p": 0.0}, {0}),
        ({"temperature": 1, "top_p": 1.0}, {0, 1, 2, 3, 4}),
        ({"temperature": 5, "top_k": 3, "top_p": 0.5}, {0, 1}),
        ({"temperature": 1e-320}, {0}),  # below what fp32 divides by
        ({"temperature": 1e-320, "top_k": 3, "top_p": 0.9}, {0}),
        ({"temperature": 1e-37}, {0}),  # quotients beyond what fp32 holds
        ({"temperature": 1e-37, "top_p": 0.9}, {0}),
    ],
)
def test_what_is_drawn_is_among_the_likely(plan, expected):
    assert drawn(**plan) == expected


def test_a_seed_draws_the_same_again():
    def tokens(seed):
        choose = Chooser(GenerationPlan(temperature=3), torch.Generator().manual_seed(seed))
        return [int(choose(LOGITS.clone())) for _ in range(20)]

    assert tokens(1) == tokens(1) != tokens(2)


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    "plan", [{}, {"temperature": 1}, {"temperature": 1, "top_p": 0.5}], ids=str
)
def test_logits_that_are_no_numbers_give_no_token(plan, broken):
    logits = LOGITS.repeat(2, 1)
    logits[0, 2] = broken
    tokens = Chooser(GenerationPlan(**plan))(logits)
    assert tokens[0] == NO_TOKEN and tokens[1] >= 0


def test_an_opening_comes_first_and_what_is_refused_never():
    mask = torch.tensor
    choose = Chooser(
        GenerationPlan(), None,
        opening=(mask([True, True, True, False, False]), 4),
        refused=mask([True, False, False, False, False]),
        refused_first=mask([False, True, False, False, False]),
    )  # fmt: skip
    assert [int(choose(LOGITS.clone())) for _ in range(5)] == [3, 4, 2, 1, 1]
    assert choose.chosen == 5
