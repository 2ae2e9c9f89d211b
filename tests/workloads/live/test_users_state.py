"""What a user's code writes to beside its model is put back: global names, classes, counters."""
# ruff: noqa: RUF012  (people write it so)

import collections
import contextlib
import dataclasses
import functools
import itertools
import queue
import random
import threading
import types

import numpy as np
import pytest
import torch
from torch import nn

import memorymark
from memorymark.errors import MemoryMarkError, UsageError

pytestmark = pytest.mark.usefixtures("home")
GPU = {"gpu": "l4"}

LOSSES, CACHE, STEPS = [], {}, 0
RECENT, KINDS, SEEN = collections.deque(maxlen=2), collections.Counter(), set()
COUNTER, ROWS = itertools.count(), iter([1, 2, 3] * 100)
TOTAL, TABLE = torch.zeros(2), np.zeros(3)
NESTED = types.SimpleNamespace(by_name={"all": []}, last=None)
GENERATOR, DRAWS = torch.Generator().manual_seed(1), random.Random(1)


@dataclasses.dataclass(slots=True)
class Stats:
    """An object of the user's without a table of its attributes."""

    losses: list
    seen: torch.Tensor
    last: object = None


STATS = Stats([], torch.zeros(2))
SHOWN, LAYERED = types.MappingProxyType({"all": []}), collections.ChainMap({}, {"all": []})
WAITING, OF_THE_THREAD = queue.Queue(), threading.local()
OF_THE_THREAD.all = []


class Meter:
    """An object of the user's."""

    best = []

    def __init__(self):
        self.values, self.last = [], None

    def note(self, value):
        self.values.append(value)
        self.last = value
        type(self).best.append(value)


METER = Meter()


@functools.lru_cache
def positions(count):
    return torch.arange(count)


def noted(x, log=[]):  # noqa: B006  (people write it)
    log.append(x)
    noted.calls = getattr(noted, "calls", 0) + 1
    return x


class Base(nn.Module):
    shared = {}
    newest = None

    @classmethod
    def remember(cls, x):
        cls.newest = x
        cls.shared["x"] = x


def network_class():
    held = []

    class Net(Base):
        outputs = []

        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            global STEPS, MADE
            STEPS += 1
            MADE = x
            y = noted(self.layer(x))
            LOSSES.append(y)
            CACHE[tuple(y.shape)] = y
            RECENT.append(y)
            KINDS["forward"] += 1
            SEEN.add(y)
            held.append(y)
            self.outputs.append(y)
            self.remember(y)
            METER.note(y)
            NESTED.by_name["all"].append(y)
            NESTED.last = y
            STATS.losses.append(y)
            STATS.seen.add_(1)
            STATS.last = y
            SHOWN["all"].append(y)
            LAYERED["all"].append(y)
            LAYERED["newest"] = y
            WAITING.put(y)
            OF_THE_THREAD.all.append(y)
            TOTAL.add_(next(COUNTER) + next(ROWS))
            TABLE[:] += 1
            torch.rand(1, generator=GENERATOR)
            DRAWS.random()
            return y + positions(4) * 0

    return Net, held


def kept(net, held):
    """All that the code above writes to, as somebody who goes on sees it."""
    things = (LOSSES, CACHE, RECENT, KINDS, SEEN, held, net.outputs, Base.shared, METER.values,
              Meter.best, NESTED.by_name["all"], noted.__defaults__[0], STATS.losses, SHOWN["all"],
              LAYERED["all"], LAYERED, WAITING.queue, OF_THE_THREAD.all)  # fmt: skip
    return [
        [(id(each), len(each), list(each)) for each in things],
        [STATS.seen.tolist(), STATS.seen._version, STATS.last],
        [STEPS, "MADE" in globals(), Base.newest, "newest" in vars(net), METER.last, NESTED.last],
        [id(COUNTER), repr(COUNTER), id(ROWS), ROWS.__length_hint__(), id(positions)],
        [TOTAL.tolist(), TOTAL._version, TABLE.tolist(), positions.cache_info()],
        [GENERATOR.get_state().tolist(), DRAWS.getstate(), sorted(vars(noted))],
    ]


def failing(outputs, batch):
    raise ZeroDivisionError("the user's")


def interrupting(outputs, batch):
    raise KeyboardInterrupt


@pytest.mark.parametrize("options", [
    {}, {"largest": True, "memory_budget": "24MiB"}, {"loss": failing}, {"loss": interrupting},
    {"gpu": "l44"},
], ids=["fits", "largest", "an error", "ctrl-c", "a bad gpu"])  # fmt: skip
def test_what_the_code_of_a_model_writes_to_is_put_back(options):
    kind, held = network_class()
    model, batch = kind(), (torch.rand(2, 4), torch.rand(2, 4))
    model(batch[0])
    del globals()["MADE"]
    before = kept(kind, held)
    with contextlib.suppress(MemoryMarkError, KeyboardInterrupt):
        assert memorymark.fits(model, batch, **GPU | options)
    assert kept(kind, held) == before
    assert not model(batch[0]).is_meta


def test_what_earlier_steps_left_behind_is_not_seen_by_the_next_batch():
    seen = []

    class Net(nn.Module):
        kept = []

        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(64, 64)

        def forward(self, x):
            y = self.layer(x)
            self.kept.append(y)
            return y.sum() + sum(len(each) == len(y) for each in self.kept) - len(self.kept)

    fit = memorymark.fits(Net(), torch.rand(64, 64), largest=True, memory_budget="24MiB", **GPU)
    again = memorymark.fits(Net(), torch.rand(fit.max_batch_size, 64), memory_budget="24MiB", **GPU)
    assert fit and again and not seen and not Net.kept


def test_a_tensor_too_large_to_be_kept_is_not_written_to(monkeypatch):
    from memorymark.placement import users_state

    monkeypatch.setattr(users_state, "_MOST_BYTES", 4)

    class Net(nn.Linear):
        def forward(self, x):
            TOTAL.add_(1)
            return super().forward(x).sum()

    before = TOTAL.clone()
    with pytest.raises(MemoryMarkError, match="would write"):
        memorymark.fits(Net(4, 4), torch.rand(2, 4), **GPU)
    assert torch.equal(TOTAL, before)


class Strange(dict):
    """An object that answers nothing as a table does."""

    def items(self):
        raise RuntimeError("no items")

    def __len__(self):
        raise RuntimeError("no length")


STRANGE = Strange()


def test_what_copies_share_is_put_back_and_strange_objects_are_passed_over():
    class Net(nn.Linear):
        def forward(self, x):
            y = super().forward(x)
            self.history.append(y)
            LOSSES.append(STRANGE)
            return y.sum()

    model, noted_before = Net(4, 4), len(LOSSES)
    model.history = list(range(20_000))  # so many that no copy is made
    assert memorymark.fits(model, torch.rand(2, 4), **GPU)
    assert model.history == list(range(20_000)) and len(LOSSES) == noted_before


def rows():
    while True:
        yield torch.rand(2, 4)


STREAM = rows()


def test_what_cannot_be_put_back_is_said():
    class Net(nn.Linear):
        def forward(self, x):
            return super().forward(x).sum() + next(STREAM).shape[0]

    fit = memorymark.fits(Net(4, 4), torch.rand(2, 4), **GPU)
    assert any("STREAM" in said and "generator" in said for said in fit.assumptions)


LOADER = torch.utils.data.DataLoader([torch.rand(4)] * 4, batch_size=2)


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (rows(), "a generator"), (iter([torch.rand(2, 4)]), "a list_iterator"),
        (LOADER, "a DataLoader"), (iter(LOADER), "_SingleProcessDataLoaderIter"),
        ((torch.rand(2, 4), rows()), "a generator"), ({"x": LOADER}, "a DataLoader"),
        ([torch.rand(4)] and LOADER.dataset and torch.utils.data.TensorDataset(torch.rand(4, 4)),
         "a TensorDataset"),
    ],
)  # fmt: skip
def test_a_batch_that_is_used_up_by_reading_it_is_refused(batch, words):
    with pytest.raises(UsageError, match=words) as raised:
        memorymark.fits(nn.Linear(4, 4), batch, **GPU)
    assert "next(iter(loader))" in str(raised.value) and "accepted" in str(raised.value)
    if isinstance(batch, types.GeneratorType):
        assert batch.gi_frame.f_lasti <= 0 or next(batch) is not None


@pytest.mark.parametrize("batch", [
    {}, None, (), [], {"labels": None}, (None, None), torch.rand(0, 4),
    (torch.rand(0, 4), torch.rand(0, 4)), {"x": torch.rand(0, 4), "y": torch.rand(0, 4)},
    {"x": [], "y": []},
], ids=str)  # fmt: skip
def test_an_empty_batch_is_refused_in_one_sentence(batch):
    with pytest.raises(UsageError, match="batch") as raised:
        memorymark.fits(nn.Linear(4, 4), batch, **GPU)
    said = str(raised.value)
    assert "accepted" in said and "next(iter(loader))" in said and len(said) < 260


def test_a_batch_that_holds_itself_is_refused():
    batch = [torch.rand(2, 4)]
    batch.append(batch)
    with pytest.raises(UsageError, match=r"The batch holds itself, in"):
        memorymark.fits(nn.Linear(4, 4), batch, **GPU)


def test_a_step_of_the_users_may_need_no_batch():
    def step(model, batch, optimizer):
        model(torch.rand(2, 4)).sum().backward()
        optimizer.step()

    assert memorymark.fits(nn.Linear(4, 4), None, step=step, **GPU)
