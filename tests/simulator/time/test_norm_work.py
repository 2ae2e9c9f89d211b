"""The kernels of normalization."""

import torch

from memorymark.simulator.time import norm_work
from memorymark.simulator.time.kernels import Kind


def meta(*shape, dtype=torch.float16):
    return torch.empty(*shape, dtype=dtype, device="meta")


def batch_norm(images, training=True):
    scale = meta(images.shape[1], dtype=torch.float32)
    args = (images, scale, scale, scale, scale, training, 0.1, 1e-5)
    (found,) = norm_work.batch_norm(args, (images, scale, scale), 2 * images.nbytes)
    return found


def test_in_training_the_input_is_read_twice_and_a_channel_is_a_block():
    images = meta(8, 16, 32, 32)
    found = batch_norm(images)
    assert (found.kind, found.columns, found.moved_bytes) == (Kind.NORM, 16, 3 * images.nbytes)
    last = images.to(memory_format=torch.channels_last)
    assert (batch_norm(last).kind, batch_norm(last).columns) == (Kind.NORM_LAST, 0)


def test_known_statistics_are_applied_element_by_element():
    assert batch_norm(meta(8, 16, 32, 32), training=False).kind is Kind.ELEMENTWISE


def test_rows_are_counted_and_the_weights_gradients_sum_over_them():
    x, scale = meta(8, 100, 24), meta(24)
    (forward,) = norm_work.layer_norm((x, [24], scale, scale), (x,), 2 * x.nbytes)
    assert (forward.kind, forward.rows) == (Kind.ROW_NORM, 800)
    args = (x, x, [24], meta(8, 100, 1), meta(8, 100, 1), scale, scale, [True] * 3)
    of_rows, of_weights = norm_work.layer_norm_backward(args, (x, scale, scale), 3 * x.nbytes)
    assert (of_rows.kind, of_rows.rows) == (Kind.ROW_NORM_BACKWARD, 800)
    assert (of_weights.kind, of_weights.rows, of_weights.columns) == (Kind.ROW_SUM, 800, 24)
    assert of_weights.moved_bytes == 2 * x.nbytes


def test_without_weights_there_is_no_sum_and_a_turned_gradient_is_copied():
    x = meta(8, 24, 100)
    args = (x.transpose(1, 2), x.transpose(1, 2).contiguous(), [24])
    found = norm_work.layer_norm_backward(args, (x, None, None), 3 * x.nbytes)
    assert [kernel.kind for kernel in found] == [Kind.TRANSPOSE, Kind.ROW_NORM_BACKWARD]
