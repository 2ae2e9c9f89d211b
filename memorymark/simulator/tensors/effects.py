"""What operations do to the values of tensors: which make, pass on, replace or lose them."""

from __future__ import annotations

import math
from enum import Enum
from typing import Any

import torch

from memorymark.simulator.torch_compat import operation, operations, schema_of

_FILLS = {
    **dict.fromkeys(operations("ones", "ones_like", "new_ones"), 1),
    **dict.fromkeys(operations("zeros", "zeros_like", "new_zeros"), 0),
}
# The value is an argument: its position.
_FILLS_WITH_ARGUMENT = {
    operation("aten::full"): 1, operation("aten::full_like"): 1, operation("aten::new_full"): 2,
    operation("aten::scalar_tensor"): 0,
}  # fmt: skip
_COPIES = operations("clone", "_to_copy")
# Reductions and copies under which a uniform value stays what it is.
_KEEPING = _COPIES | operations(
    "all", "all.dim", "any", "any.dim", "max", "min", "amax", "amin", "mean", "index_select"
)
_SPREADING = operations("upsample_nearest2d", "upsample_nearest2d.vec")
_SUMS = operations("sum", "sum.dim_IntList")
_OVERWRITING = operations("fill_.Scalar", "fill_.Tensor", "zero_", "copy_")


# Gradients are finite in a step that trains: what says so stays as it was.
_FINDING_NOTHING = operations("_amp_foreach_non_finite_check_and_unscale_")
_NEVER = operations("isnan", "isinf", "isposinf", "isneginf")
# `isfinite` is written in these terms: equal to itself, and not to infinity.
_EQUAL = operations("eq.Tensor", "eq.Scalar")
_DIFFERENT = operations("ne.Tensor", "ne.Scalar")
# PyTorch does not tag these as random.
_DRAWING = operations("random_", "random_.from", "random_.to")
# What they return last are positions along a dimension, whose number is at that place.
_CHOOSING = operations("topk", "argmax", "argmin", "max.dim", "min.dim", "sort", "sort.stable",
                       "multinomial")  # fmt: skip


class Effect(Enum):
    """How an operation passes values on."""

    FILL = "makes a uniform tensor"
    MAKE = "makes a tensor from plain numbers"
    FOLLOW = "computes with tensors"
    OVERWRITE = "replaces all values of its first argument"
    DRAW = "makes or writes random numbers"
    CHOOSE = "returns where its first argument is largest or smallest, or draws from it"
    FORGET = "writes unknown values"
    NONE = "a view, or memory that holds nothing yet"


def effect_of(func: Any) -> Effect:
    """Return how an operation passes values on."""
    if func in _FILLS or func in _FILLS_WITH_ARGUMENT:
        return Effect.FILL
    if func in _OVERWRITING:
        return Effect.OVERWRITE
    if func in _CHOOSING:
        return Effect.CHOOSE
    schema = schema_of(func)
    if func.is_view or func in _FINDING_NOTHING:
        return Effect.NONE
    if func in _DRAWING or torch.Tag.nondeterministic_seeded in func.tags:
        return Effect.DRAW if _draws_plainly(schema) else Effect.NONE
    if schema.is_mutable:
        works_in_place = schema.name.endswith("_")
        return Effect.FOLLOW if works_in_place else Effect.FORGET
    if any("Tensor" in str(argument.type) for argument in schema.arguments):
        return Effect.FOLLOW
    return Effect.NONE if "empty" in schema.name else Effect.MAKE


def _draws_plainly(schema: Any) -> bool:
    """Return whether an operation makes or overwrites one tensor of random numbers."""
    return len(schema.returns) == 1 and (not schema.is_mutable or schema.name.endswith("_"))


def draws_by_shape(func: Any) -> bool:
    """Return whether random numbers do not depend on the values of any tensor."""
    schema = schema_of(func)
    tensors = sum("Tensor" in str(argument.type) for argument in schema.arguments)
    return tensors == (schema.is_mutable or schema.name.endswith("_like"))


def fill_value(func: Any, args: tuple[Any, ...]) -> Any:
    """Return what an operation with the effect FILL fills its result with."""
    position = _FILLS_WITH_ARGUMENT.get(func)
    return _FILLS[func] if position is None else args[position]


def works_elementwise(func: Any) -> bool:
    """Return whether each element of the result comes from those at its place in the inputs."""
    return torch.Tag.pointwise in func.tags or func in _COPIES


def adds_up(func: Any) -> bool:
    """Return whether each element of the result is a sum over as many elements as any other."""
    return func in _SUMS


def keeps_uniform(func: Any) -> bool:
    """Return whether a result of uniform inputs is uniform, with a value found from one element."""
    return torch.Tag.pointwise in func.tags or func in _KEEPING


def spreads_uniform(func: Any) -> bool:
    """Return whether an operation makes more elements of the values of its first argument."""
    return func in _SPREADING


def answer_if_finite(func: Any, args: tuple[Any, ...]) -> bool | None:
    """Return what a test for NaN or infinity gives where all is finite; None for other calls."""
    if func in _NEVER:
        return False
    if func in _EQUAL or func in _DIFFERENT:
        if args[0] is args[1]:
            return func in _EQUAL
        if isinstance(args[1], float) and not math.isfinite(args[1]):
            return func in _DIFFERENT
    return None
