"""Which kernels CUDA runs for an operation, and what they move."""

import pytest
import torch

from memorymark.simulator.time.kernels import Kind
from memorymark.simulator.time.works import work_of

ATEN = torch.ops.aten


def meta(*shape, dtype=torch.float16):
    return torch.empty(*shape, dtype=dtype, device="meta")


def kernels(func, *args):
    return work_of(func, args, func(*args)).kernels


def only(func, *args):
    (kernel,) = kernels(func, *args)
    return kernel


def test_views_and_empty_tensors_are_no_work():
    x = meta(4, 4)
    assert work_of(ATEN.view.default, (x, [16]), x.view(16)) is None
    assert work_of(ATEN._unsafe_view.default, (x, [16]), x.view(16)) is None
    assert work_of(ATEN.empty.memory_format, ([4],), meta(4)) is None
    assert work_of(ATEN.relu.default, (meta(0),), meta(0)) is None


def test_elementwise_kernels_read_each_operand_and_write_once():
    x = meta(64, 64)
    assert only(ATEN.add.Tensor, x, x).moved_bytes == 3 * x.nbytes
    assert only(ATEN.add_.Tensor, meta(64, 64), x).moved_bytes == 3 * x.nbytes
    assert only(ATEN.fill_.Scalar, x, 1.0).moved_bytes == x.nbytes
    assert only(ATEN.copy_.default, x, meta(64, 64)).moved_bytes == 2 * x.nbytes


def test_what_is_expanded_is_read_once():
    x, bias = meta(64, 64), meta(64)
    found = only(ATEN.mul.Tensor, x, bias.expand(64, 64))
    assert found.moved_bytes == 2 * x.nbytes + bias.nbytes


def test_a_change_of_order_is_told_from_a_plain_copy():
    x = meta(64, 128)
    assert only(ATEN.clone.default, x).kind is Kind.ELEMENTWISE
    turned = work_of(ATEN.clone.default, (x.t(),), meta(128, 64)).kernels
    assert [kernel.kind for kernel in turned] == [Kind.TRANSPOSE]


def test_a_product_has_its_sizes_and_its_alignment():
    found = only(ATEN.mm.default, meta(32, 64), meta(64, 128))
    assert (found.kind, found.rows, found.columns, found.depth) == (Kind.PRODUCT, 32, 128, 64)
    assert only(ATEN.mm.default, meta(32, 64), meta(128, 64).t()).kind is Kind.PRODUCT
    assert only(ATEN.bmm.default, meta(8, 197, 64), meta(8, 64, 197)).kind is Kind.ODD_PRODUCT
    assert only(ATEN.bmm.default, meta(8, 196, 64), meta(8, 64, 200)).batch == 8


def test_resizing_goes_through_all_planes_place_by_place_in_nchw_order_only():
    def kernel(x):
        return only(ATEN.upsample_bilinear2d.default, x, [14, 14], False)

    plain = kernel(meta(16, 64, 7, 7))
    assert (plain.kind, plain.rows, plain.depth) == (Kind.RESIZE, 14 * 14, 16 * 64)
    last = kernel(meta(16, 64, 7, 7).to(memory_format=torch.channels_last))
    assert (last.kind, last.moved_bytes) == (Kind.POOL, plain.moved_bytes)
    nearest = only(ATEN.upsample_nearest2d.default, meta(16, 64, 7, 7), [14, 14])
    assert nearest.kind is Kind.POOL


def test_of_a_table_only_what_is_asked_for_is_read():
    table, asked = meta(50_000, 64), meta(16, dtype=torch.int64)
    assert only(ATEN.embedding.default, table, asked).moved_bytes < table.nbytes / 100
    logits, target = meta(64, 50_000), meta(64, dtype=torch.int64)
    args = (logits, target, None, 1, -100)
    loss = work_of(ATEN.nll_loss_forward.default, args, target)
    assert loss.kernels[0].moved_bytes < logits.nbytes / 100


def test_fused_attention_computes_more_backward_and_half_where_it_is_causal():
    x = meta(2, 8, 256, 64)

    def forward(is_causal):
        args = (x, x, x, 0.0, is_causal)
        return work_of(ATEN._scaled_dot_product_flash_attention.default, args, (x,)).kernels[0]

    whole, causal = forward(False), forward(True)
    assert whole.kind is Kind.FLASH and whole.columns == 2 * causal.columns == 256
    args = (x, x, x, x, x, x, None, None, 256, 256, 0.0, False)
    func = ATEN._scaled_dot_product_flash_attention_backward.default
    assert work_of(func, args, (x, x, x)).kernels[0].columns == 640


def test_grouped_heads_count_for_all_queries():
    query, key = meta(2, 32, 64, 16), meta(2, 8, 64, 16)
    func = ATEN._scaled_dot_product_flash_attention.default
    found = work_of(func, (query, key, key), (query,)).kernels[0]
    assert (found.batch, found.rows, found.columns) == (64, 64, 64)


def test_an_update_of_many_tensors_is_few_kernels():
    tensors = [meta(64, dtype=torch.float32) for _ in range(100)]
    args = (tensors, tensors, tensors, tensors, [], [])
    (found,) = work_of(ATEN._fused_adamw_.default, args, None).kernels
    assert found.kind is Kind.OPTIMIZER and found.launches < 5
    assert found.moved_bytes == 7 * 100 * 256  # four are read, three written


def test_recurrent_layers_multiply_at_each_step_of_time():
    sequence, weight = meta(4, 32, 64), meta(256, 64)
    args = (sequence, [weight, weight], 4, None, meta(1, 4, 64), None, 2, 64, 0, 1, True, 0.0,
            True, False, [], None)  # fmt: skip
    inputs, *states, gates = work_of(ATEN._cudnn_rnn.default, args, (sequence,)).kernels
    assert (inputs.rows, inputs.launches) == (128, 1)
    assert len(states) == gates.launches == 32 and len(set(states)) == 1
    assert (states[0].rows, states[0].batch, states[0].launches) == (4, 1, 1)


@pytest.mark.parametrize("layers", [1, 3])
def test_layers_and_directions_run_beside_one_another_and_weights_sum_over_all_steps(layers):
    sequence, weight, bias = meta(5, 4, 64), meta(256, 64), meta(256)
    weights = [weight, weight, bias, bias] * (2 * layers)
    given = (sequence, weights, 4, None, meta(2, 4, 64), None, 2, 64, 0, layers, False, 0.0, True,
             True, [], None)  # fmt: skip
    *products, gates = work_of(ATEN._cudnn_rnn.default, given, (sequence,)).kernels
    states = [each for each in products if each.rows == 4]
    assert len(states) == 5 and {each.batch for each in states} == {2 * layers}
    assert gates.launches == 5 * 2 * layers
    back = (sequence, weights, 4, None, meta(2, 4, 64), None, sequence, sequence, None, None, 2, 64,
            0, layers, False, 0.0, True, True, [], None, sequence, [True] * 4)  # fmt: skip
    *products, _ = work_of(ATEN._cudnn_rnn_backward.default, back, (sequence,)).kernels
    states = [each for each in products if each.rows == 4]
    assert len(states) == 5 and (states[0].columns, states[0].depth) == (64, 256)
    of_weights = [each for each in products if each.depth == 20]
    assert len(of_weights) == 2 * 2 * layers


def test_packed_sequences_have_the_steps_of_the_longest():
    sequence, weight = meta(9, 64), meta(256, 64)
    args = (sequence, [weight, weight], 2, None, meta(1, 4, 64), None, 2, 64, 0, 1, False, 0.0,
            True, False, [4, 3, 2], None)  # fmt: skip
    inputs, *states, gates = work_of(ATEN._cudnn_rnn.default, args, (sequence,)).kernels
    assert inputs.rows == 9 and len(states) == 3 and states[0].rows == 3 and gates.launches == 3
