"""What a model may ask of its data, and what it is told."""

import pytest
import torch
from torchvision.ops import nms

from memorymark.errors import UnsupportedOperation
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.device import SimulatedDevice
from memorymark.simulator.session import simulating
from memorymark.simulator.tensors.known_values import MOST_ELEMENTS
from memorymark.simulator.tensors.shapes import ShapeCache

META = torch.device("meta")


@pytest.fixture
def session():
    with (
        simulating(Rules(Platform.CUDA, (8, 0))) as session,
        SimulatedDevice(session, ShapeCache()),
    ):
        yield session


def unknown(*shape, dtype=torch.float32):
    return torch.empty(shape, device=META).to(dtype)


def test_values_made_from_constants_are_known(session):
    positions = torch.arange(6, device=META)
    assert ((positions * 2).view(2, 3)[1] + 1).tolist() == [7, 9, 11]
    assert torch.tensor([3, 5], device=META).sum().item() == 8
    assert not session.assumptions


def test_a_partial_write_changes_only_its_part(session):
    mask = torch.ones(2, 3, device=META)
    mask[:, 1:] = 0
    assert mask.tolist() == [[1, 0, 0], [1, 0, 0]]
    large = torch.ones(200, 200, device=META)
    large[:, 1:] = 0
    assert large.sum().item() == 0.0
    assert len(session.assumptions) == 1


def test_values_are_forgotten_with_what_is_written_over_them(session):
    counted = torch.zeros(3, device=META)
    counted.add_(unknown(3))
    counted[0].item()
    assert any("value of a float32 tensor" in sentence for sentence in session.assumptions)


def test_a_large_uniform_mask_keeps_its_value(session):
    mask = torch.ones(512, 1024, device=META, dtype=torch.long)
    assert (mask == 1).all().item() is True
    assert torch.equal(mask, torch.ones_like(mask))
    assert not session.assumptions


def test_a_large_mask_of_small_ones_is_known_row_by_row(session):
    keys = torch.nn.functional.pad(torch.ones(2, 200, device=META), (0, 100)).bool()
    queries = torch.arange(300, device=META) >= 0
    mask = queries[:, None] & keys[:, None, :]
    bias = torch.where(mask, 0.0, -1.0)
    assert mask.numel() > MOST_ELEMENTS
    assert bias[1, 7, 199:201].tolist() == [0.0, -1.0]
    assert (bias[:, 0] > 0).any().item() is False
    assert not session.assumptions


def test_an_expanded_mask_stays_known_through_copies(session):
    keys = torch.nn.functional.pad(torch.ones(2, 200, device=META), (0, 100))
    mask = keys[:, None, :].expand(2, 300, 300).to(torch.float16)
    assert (1 - mask)[0, 299, 198:202].tolist() == [0, 0, 1, 1]
    assert not session.assumptions


def test_a_row_written_in_a_large_mask_is_all_that_stays_known(session):
    mask = torch.zeros(200, 1, device=META) - torch.arange(200, device=META)
    assert mask[4, 1].item() == -1
    mask[3] = 5
    assert mask[3].tolist() == [5] * 200
    assert not session.assumptions
    mask[4, 0].item()
    assert len(session.assumptions) == 1


def test_a_known_mask_selects_what_it_selects(session):
    mask = torch.arange(10, device=META) < 4
    assert unknown(10, 3)[mask].shape == (4, 3)
    assert mask.nonzero().tolist() == [[0], [1], [2], [3]]
    assert torch.masked_select(unknown(10), mask).shape == (4,)
    assert not session.assumptions


def test_an_unknown_mask_selects_everything_and_that_is_told(session):
    mask = unknown(4, 5) > 0
    assert unknown(4, 5, 3)[mask].shape == (20, 3)
    assert mask.nonzero().shape == (20, 2)
    assert any("nonzero()" in sentence for sentence in session.assumptions)


def test_unknown_values_are_distinct(session):
    assert len(torch.unique_consecutive(unknown(7, dtype=torch.long))) == 7
    values, inverse = torch.unique(unknown(7, dtype=torch.long), return_inverse=True)
    assert (len(values), len(inverse)) == (7, 7)
    assert torch.unique(unknown(7, 2), dim=0).shape == (7, 2)
    assert any("distinct" in sentence for sentence in session.assumptions)


def test_known_values_are_told_apart(session):
    given = torch.tensor([3, 1, 3, 3], device=META)
    values, inverse, counts = torch.unique(given, return_inverse=True, return_counts=True)
    assert (values.tolist(), inverse.tolist(), counts.tolist()) == ([1, 3], [1, 0, 1, 1], [1, 3])
    assert torch.unique_consecutive(given).tolist() == [3, 1, 3]
    assert torch.bincount(given, minlength=5).tolist() == [0, 1, 0, 3, 0]
    assert torch.masked_select(given, given > 1).tolist() == [3, 3, 3]
    assert not session.assumptions


def test_random_numbers_of_a_batch_are_drawn(session):
    before = torch.get_rng_state()
    tokens = torch.randint(1, 50, (8, 1000), device=META)
    assert int(tokens.min()) >= 1 and int(tokens.max()) == 49
    assert sorted(torch.randperm(9, device=META).tolist()) == list(range(9))
    chosen = (torch.rand(100, 200, device=META) < 0.25).nonzero()
    assert 4_700 < len(chosen) < 5_300
    assert torch.equal(torch.get_rng_state(), before)
    assert not session.assumptions


def test_every_simulation_draws_the_same_numbers():
    def drawn():
        with (
            simulating(Rules(Platform.CUDA)) as session,
            SimulatedDevice(session, ShapeCache()),
        ):
            return torch.randint(1000, (20,), device=META).tolist()

    assert drawn() == drawn()


@pytest.mark.parametrize("top_k", [1, 2])
def test_experts_are_chosen_equally_often(session, top_k):
    chosen = unknown(32, 8).topk(top_k, -1).indices
    counts = [len(torch.where(chosen == expert)[0]) for expert in range(8)]
    assert counts == [32 * top_k // 8] * 8
    assert all(len(set(row)) == top_k for row in chosen.tolist())
    assert any("test_answers.py" in x and "equally often" in x for x in session.assumptions)
    assert not session.questions.asked


@pytest.mark.parametrize(
    "choose",
    [
        lambda x: x.argmax(-1),
        lambda x: x.max(1).indices,
        lambda x: x.argmin(1, keepdim=True),
        lambda x: torch.multinomial(x, 1),
    ],
)
def test_other_choices_are_spread_too(session, choose):
    counts = torch.bincount(choose(unknown(24, 6)).flatten(), minlength=6)
    assert counts.tolist() == [4] * 6


def test_what_is_sorted_is_all_there(session):
    order = unknown(3, 5).argsort(-1)
    assert order.sort(-1).values.tolist() == [[0, 1, 2, 3, 4]] * 3


def test_a_question_names_the_line_that_asked(session):
    unknown(1).item()
    assert session.questions.asked and session.questions.number is None
    assert "test_answers.py" in session.assumptions[0]
    assert "unknown(1).item()" in session.assumptions[0]
    unknown(1, dtype=torch.long).item()
    assert "dtype=torch.long).item()" in session.questions.number


def test_the_sum_of_a_large_uniform_tensor_is_known(session):
    mask = torch.ones(512, 1024, device=META, dtype=torch.long)
    assert (mask.sum() == mask.numel()).item() is True
    assert mask.sum(1)[3].item() == 1024
    assert not session.assumptions


def test_repeats_and_counts(session):
    repeats = torch.tensor([1, 3], device=META)
    assert torch.repeat_interleave(unknown(2, 4), repeats, dim=0).shape == (4, 4)
    assert torch.bincount(torch.arange(4, device=META)).shape == (4,)
    assert not session.assumptions


def test_copies_to_the_host_hold_what_is_known(session):
    assert torch.arange(3, device=META).cpu().sum() == 3
    assert unknown(3).cpu().tolist() == [0.0, 0.0, 0.0]
    with pytest.raises(UnsupportedOperation, match="copies 4,000,000 elements"):
        unknown(2000, 2000).cpu()


def test_an_element_is_formatted_as_its_value(session):
    assert f"{torch.arange(3, device=META)[2]}" == "2"


def test_selected_rows_are_counted_as_memory(session):
    device = SimulatedDevice(session, ShapeCache())
    with device:
        table = torch.empty(8, 4, device=META)
        before = device.live_bytes
        selected = table[torch.ones(8, dtype=torch.bool, device=META)]
        assert device.live_bytes - before >= selected.numel() * 4


def test_ctc_keeps_a_table_as_long_as_the_longest_target(session):
    probabilities = unknown(50, 2, 9).requires_grad_()
    targets = torch.ones(7, dtype=torch.long, device=META)
    lengths = torch.tensor([50, 50], device=META), torch.tensor([4, 3], device=META)
    losses, alphas = torch._ctc_loss(probabilities, targets, *lengths)
    assert losses.shape == (2,) and alphas.shape == (2, 50, 2 * 4 + 1)
    losses.sum().backward()
    assert probabilities.grad.shape == probabilities.shape and not session.assumptions


def test_nms_keeps_what_overlaps_least_where_boxes_are_known(session):
    boxes = torch.tensor([[0.0, 0, 8, 8], [0, 0, 8, 9], [20, 20, 30, 30]], device=META)
    scores = torch.tensor([0.9, 0.8, 0.7], device=META)
    assert nms(boxes, scores, 0.5).tolist() == [0, 2] and not session.assumptions
    unknown_boxes, unknown_scores = torch.empty(5, 4, device=META), torch.empty(5, device=META)
    assert nms(unknown_boxes, unknown_scores, 0.5).shape == (5,)
    assert any("nms()" in sentence for sentence in session.assumptions)


def test_positions_counted_along_a_long_mask_are_known(session):
    mask = torch.ones(30, 160_000, dtype=torch.long, device=META)
    assert mask.cumsum(dim=-1)[:, -1].tolist() == [160_000] * 30
    assert not session.assumptions
