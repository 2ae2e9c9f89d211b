"""What operations do to values."""

import pytest
import torch

from memorymark.simulator.tensors.effects import (
    Effect,
    effect_of,
    fill_value,
    keeps_uniform,
    works_elementwise,
)

aten = torch.ops.aten


@pytest.mark.parametrize(
    ("func", "effect"),
    [
        (aten.ones.default, Effect.FILL),
        (aten.full_like.default, Effect.FILL),
        (aten.arange.default, Effect.MAKE),
        (aten.add.Tensor, Effect.FOLLOW),
        (aten.add_.Tensor, Effect.FOLLOW),
        (aten.cat.default, Effect.FOLLOW),
        (aten.copy_.default, Effect.OVERWRITE),
        (aten.zero_.default, Effect.OVERWRITE),
        (aten.uniform_.default, Effect.DRAW),
        (aten.mm.out, Effect.FORGET),
        (aten.view.default, Effect.NONE),
        (aten.bernoulli.default, Effect.DRAW),
        (aten.random_.default, Effect.DRAW),
        (aten.native_dropout.default, Effect.NONE),
        (aten.topk.default, Effect.CHOOSE),
        (aten.empty.memory_format, Effect.NONE),
    ],
)
def test_effects(func, effect):
    assert effect_of(func) is effect


@pytest.mark.parametrize(
    ("func", "args", "value"),
    [
        (aten.ones.default, ([2],), 1),
        (aten.new_zeros.default, (None, [2]), 0),
        (aten.full.default, ([2], 7), 7),
        (aten.new_full.default, (None, [2], 0.5), 0.5),
        (aten.scalar_tensor.default, (True,), True),
    ],
)
def test_what_a_fill_fills_with(func, args, value):
    assert fill_value(func, args) is value


def test_which_operations_keep_uniform_tensors_uniform():
    assert keeps_uniform(aten.exp.default) and keeps_uniform(aten.mean.default)
    assert not keeps_uniform(aten.sum.default) and not keeps_uniform(aten.cumsum.default)


def test_which_operations_work_element_by_element():
    assert works_elementwise(aten.mul.Tensor) and works_elementwise(aten.clone.default)
    assert not works_elementwise(aten.max.default) and not works_elementwise(aten.mm.default)
