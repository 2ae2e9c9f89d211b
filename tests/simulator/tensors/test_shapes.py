"""Calls that are remembered give what PyTorch's own rules for shapes give."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memorymark.memory.storage import storage_key
from memorymark.simulator.tensors.shapes import ShapeCache

aten = torch.ops.aten


def meta(*shape, dtype=torch.float32):
    return torch.empty(shape, dtype=dtype, device="meta")


class Counting:
    """An operation that counts how often it is really run."""

    def __init__(self, func):
        self.func = func
        self.runs = 0
        self.is_view, self.tags, self._schema = func.is_view, func.tags, func._schema

    def __call__(self, *args, **kwargs):
        self.runs += 1
        return self.func(*args, **kwargs)


def shape_of(tensor):
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.device


CALLS = [
    (aten.mm.default, lambda n: (meta(n, 3), meta(3, n)), {}),
    (aten.add.Tensor, lambda n: (meta(n, 1), meta(2).t()), {}),
    (aten.sum.dim_IntList, lambda n: (meta(n, 3), [0]), {}),
    (aten.sum.dim_IntList, lambda n: (meta(n, 3), [0]), {"dtype": torch.float64}),
    (aten.clone.default, lambda n: (meta(n, 3).t(),), {}),
    (aten.add.Scalar, lambda n: (meta(n, dtype=torch.int64), 1), {}),
    (aten.add.Scalar, lambda n: (meta(n, dtype=torch.int64), 1.0), {}),
    (aten.mul.Tensor, lambda n: (meta(n), torch.tensor(2.0)), {}),
    (aten.cat.default, lambda n: ([meta(n), meta(2)],), {}),
]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(CALLS), st.integers(1, 3)), min_size=1, max_size=20))
def test_a_remembered_call_gives_what_the_operation_gives(calls):
    cache = ShapeCache()
    for (func, make, kwargs), size in calls:
        found = cache.call(func, make(size), kwargs)
        assert shape_of(found) == shape_of(func(*make(size), **kwargs))


def test_a_call_is_run_once_and_made_anew():
    relu, cache, x = Counting(aten.relu.default), ShapeCache(), meta(3)
    first, second = cache.call(relu, (x,), {}), cache.call(relu, (x,), {})
    assert relu.runs == 1
    assert storage_key(first) != storage_key(second)
    cache.call(relu, (meta(4),), {})
    assert relu.runs == 2


def test_several_outputs_are_made_anew():
    cache, x = ShapeCache(), meta(3, 4)
    args = (x, [4], meta(4), meta(4), 1e-5)
    first = cache.call(aten.native_layer_norm.default, args, {})
    second = cache.call(aten.native_layer_norm.default, args, {})
    assert [shape_of(x) for x in first] == [shape_of(x) for x in second]
    assert not {storage_key(x) for x in first} & {storage_key(x) for x in second}


def test_an_operation_in_place_is_checked_once_and_returns_its_argument():
    add, x, cache = Counting(aten.add_.Tensor), meta(3), ShapeCache()
    for _ in range(3):
        assert cache.call(add, (x, 1), {}) is x
    assert add.runs == 1


def test_an_operation_on_lists_in_place_returns_nothing():
    add, x, cache = Counting(aten._foreach_add_.Scalar), meta(3), ShapeCache()
    for _ in range(3):
        assert cache.call(add, ([x], 1), {}) is None
    assert add.runs == 1


def test_of_lists_each_kind_of_row_is_checked_once():
    checked = []

    class Watching(Counting):
        def __call__(self, *args, **kwargs):
            checked.append([len(x) for x in args if isinstance(x, list)])
            return super().__call__(*args, **kwargs)

    add, cache = Watching(aten._foreach_add_.List), ShapeCache()
    rows = [meta(3), meta(4, 2), meta(3), meta(3)]
    cache.call(add, (rows, [meta(3), meta(2), meta(3), meta(1)]), {})
    assert checked == [[3, 3]]
    scalars = Watching(aten._foreach_mul_.ScalarList)
    cache.call(scalars, (rows, [1.0, 2.0, 3.0, 4.0]), {})
    assert checked[1:] == [[2, 2]]


@pytest.mark.parametrize(
    ("func", "args", "message"),
    [
        (
            aten._foreach_add_.List,
            ([meta(3), meta(3), meta(3)], [meta(3), meta(3), meta(4)]),
            "must match|broadcast",
        ),
        (aten._foreach_add_.List, ([meta(3), meta(3)], [meta(3)]), "same number"),
        (aten._foreach_mul_.ScalarList, ([meta(3), meta(3)], [1.0]), "same number|length|match"),
        (aten.add_.Tensor, (meta(3), meta(2, 3)), "broadcast shape"),
        (aten.mul_.Tensor, (meta(3), meta(4)), "must match|broadcast"),
        (aten.add_.Tensor, (meta(3, dtype=torch.long), meta(3)), "can't be cast|Promotion"),
        (aten.copy_.default, (meta(3), meta(4)), "must match|broadcast|expand"),
    ],
)
def test_an_operation_in_place_is_refused_as_pytorch_refuses_it(func, args, message):
    cache = ShapeCache()
    for _ in range(2):
        with pytest.raises(RuntimeError, match=message):
            cache.call(func, args, {})


@pytest.mark.parametrize(
    ("func", "args"),
    [(aten.view.default, (meta(4), [2, 2])), (aten.contiguous.default, (meta(4),))],
)
def test_what_shares_its_argument_is_never_made_anew(func, args):
    counting, cache = Counting(func), ShapeCache()
    for _ in range(3):
        assert storage_key(cache.call(counting, args, {})) == storage_key(args[0])
    assert counting.runs == 3


def test_a_tensor_with_data_may_decide_the_shape():
    repeat, cache = Counting(aten.repeat_interleave.Tensor), ShapeCache()
    for counts in ([1, 2], [3, 4]):
        output = cache.call(repeat, (torch.tensor(counts),), {})
        assert output.numel() == sum(counts)
    assert repeat.runs == 2
