"""What an operation will allocate, found before it runs."""

import pytest
import torch

from memorymark.memory.sizing import output_bytes

aten = torch.ops.aten
LARGE = torch.empty(1024, 1024)


@pytest.mark.parametrize(
    ("func", "args", "expected"),
    [
        (aten.add.Tensor, (LARGE, 1), LARGE.nbytes),
        (aten.mm.default, (LARGE, LARGE), LARGE.nbytes),
        (aten.mm.default, (LARGE[:2], LARGE), 2 * 1024 * 4),
        (aten.cat.default, ([LARGE, LARGE],), 2 * LARGE.nbytes),
        (aten.native_dropout.default, (LARGE, 0.5, True), LARGE.nbytes + LARGE.numel()),
        (aten.add_.Tensor, (LARGE, 1), 0),
        (aten.view.default, (LARGE, [-1]), 0),
        (aten.relu.default, (LARGE[:2, :2],), 0),
    ],
)
def test_bytes_of_what_comes_out(func, args, expected):
    assert output_bytes(func, args, {}) == expected


def test_a_tensor_made_on_a_device_is_sized_without_making_it():
    size = [1024] * 4
    kwargs = {"device": torch.device("cpu"), "pin_memory": False}
    assert output_bytes(aten.empty.memory_format, (size,), kwargs) == 1024**4 * 4


def test_an_input_that_is_given_twice_stays_one():
    assert output_bytes(aten.mul.Tensor, (LARGE, LARGE), {}) == LARGE.nbytes


def test_what_depends_on_the_data_is_unknown():
    assert output_bytes(aten.nonzero.default, (LARGE,), {}) == 0
    assert output_bytes(aten._local_scalar_dense.default, (LARGE[0, 0],), {}) == 0


def test_wrong_arguments_are_left_to_the_operation_itself():
    assert output_bytes(aten.mm.default, (LARGE, LARGE[:3]), {}) == 0
