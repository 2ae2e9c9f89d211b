"""Batches of the user's in other sizes: what grows, what stays, what is kept of the values."""

import collections
import dataclasses

import pytest
import torch
from torch import Tensor
from transformers import BatchEncoding

from memorymark.errors import UsageError
from memorymark.workloads.live.batch_growth import LiveBatch

META = torch.device("meta")
IDS = torch.arange(12).view(4, 3)


@dataclasses.dataclass(frozen=True)
class Pair:
    x: Tensor
    note: str = "a"
    nothing: None = None


Named = collections.namedtuple("Named", "x y")


def shapes(value):
    if isinstance(value, Tensor):
        return tuple(value.shape)
    if isinstance(value, Pair):
        return shapes(value.x), value.note
    if isinstance(value, tuple | list):
        return [shapes(each) for each in value]
    if hasattr(value, "items"):
        return {key: shapes(each) for key, each in value.items()}
    return value


@pytest.mark.parametrize(("batch", "grown"), [
    (torch.rand(4, 3, 2), (6, 3, 2)),
    ((torch.rand(4, 3), torch.ones(4)), [(6, 3), (6,)]),
    (Named(torch.rand(4, 3), torch.ones(4)), [(6, 3), (6,)]),
    ({"a": IDS, "b": None, "c": "word", "d": ["x"] * 4, "e": 7},
     {"a": (6, 3), "b": None, "c": "word", "d": ["x"] * 6, "e": 7}),
    (BatchEncoding({"a": IDS}), {"a": (6, 3)}),
    (Pair(IDS), ((6, 3), "a")),
    ({"images": torch.rand(4, 3), "patches": torch.rand(8, 5)},
     {"images": (6, 3), "patches": (12, 5)}),
    ({"x": torch.rand(4, 3), "weights": torch.rand(9), "one": torch.tensor(1.0)},
     {"x": (6, 3), "weights": (9,), "one": ()}),
    ({"x": [torch.rand(4, 3), torch.rand(4, 5)], "y": IDS}, {"x": [(6, 3), (6, 5)], "y": (6, 3)}),
    (([torch.rand(3, 5)] * 2, [{"boxes": torch.rand(1, 4)}] * 2),
     [[(3, 5)] * 6, [{"boxes": (1, 4)}] * 6]),
])  # fmt: skip
def test_samples_grow_and_the_rest_stays(batch, grown):
    live = LiveBatch(batch)
    made = live.of(6, META)
    assert live.grows and shapes(made) == grown and type(made) is type(batch)
    assert shapes(live.of(live.size, META)) == shapes(batch)


def test_token_ids_stay_those_of_the_samples(monkeypatch):
    made = LiveBatch(IDS).of(6, torch.device("cpu"))
    assert made.tolist() == [*IDS.tolist(), *IDS[:2].tolist()]


def test_large_batches_take_no_memory():
    live = LiveBatch((torch.rand(2, 3, 224, 224), torch.zeros(2, 4096, dtype=torch.long)))
    images, ids = live.of(60_000, META)
    assert images.is_meta and images.shape == (60_000, 3, 224, 224) and ids.is_meta


def test_formats_and_gradients_stay():
    images = torch.rand(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    made = LiveBatch(images.requires_grad_()).of(70_000, META)
    assert made.is_contiguous(memory_format=torch.channels_last) and made.requires_grad


@pytest.mark.parametrize("batch", [None, 5, "text", {}, torch.tensor(1.0)])
def test_what_has_no_samples_is_taken_as_it_is(batch):
    live = LiveBatch(batch)
    assert not live.grows and live.size == 1
    assert "taken as a whole" in live.notes[0]


def test_what_does_not_grow_is_said():
    (note,) = LiveBatch({"x": torch.rand(4, 3), "weights": torch.rand(9)}).notes
    assert "4 samples" in note and "weights (9,)" in note


def test_the_samples_can_be_counted_by_the_user():
    assert LiveBatch(torch.rand(6, 3), size=2).of(4, META).shape == (12, 3)


def test_sequences_can_be_longer():
    batch = {"input_ids": IDS, "mask": torch.ones(4, 1, 3, 3), "labels": torch.ones(4)}
    assert shapes(LiveBatch(batch, length=5).of(4, META)) == {
        "input_ids": (4, 5), "mask": (4, 1, 5, 5), "labels": (4,)
    }  # fmt: skip
    with pytest.raises(UsageError, match="no sequence that could be 5"):
        LiveBatch(torch.rand(4, 3), length=5)


def test_an_empty_batch_is_refused():
    with pytest.raises(UsageError, match="empty"):
        LiveBatch(torch.rand(0, 3))
