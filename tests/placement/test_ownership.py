"""What was there before a call is bit for bit the same after it, whatever happens in it."""

import contextlib
import copy
import threading
import weakref

import pytest
import torch
from torch import nn

import memorymark
from memorymark import Training, TrainingConfig
from memorymark.errors import Cancelled, MemoryMarkError, WorkloadError
from memorymark.memory.storage import storage_key
from memorymark.placement.moving import tensors_of
from memorymark.placement.ownership import has_live_parts, is_live, keep, watching
from memorymark.records.trial import Outcome
from memorymark.workloads.base import Workload

GIB = 1024**3
WIDTH = 8
SEEN = [None]

pytestmark = pytest.mark.usefixtures("home")


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x):
        return self.norm(self.first(x))


def network():
    """A network in a state of its own: trained a step, in part frozen, in part in eval mode."""
    torch.manual_seed(1)
    model = nn.Sequential(Block(), nn.Dropout(), Block())
    model[2].first.weight = model[0].first.weight
    model[0].norm.eval()
    model[2].norm.weight.requires_grad_(False)
    model.register_forward_hook(lambda module, x, y: None)
    model[0].first.weight.register_hook(lambda gradient: gradient)
    model(torch.rand(2, 3, 4, 4)).sum().backward()
    return model


def state(model):
    """All that somebody who goes on to use a model can see of it."""
    gradient = lambda x: None if x.grad is None else (x.grad.tolist(), id(x.grad))  # noqa: E731
    return {
        "tensors": [
            (id(x), x.data_ptr(), x.tolist(), x.dtype, str(x.device), x.stride(), x._version,
             x.requires_grad, gradient(x))
            for x in tensors_of(model)
        ],
        "tables": [(list(part._parameters), list(part._buffers), sorted(vars(part)))
                   for part in model.modules()],
        "modes": [part.training for part in model.modules()],
        "hooks": [(len(part._forward_hooks), len(part._forward_pre_hooks), "forward" in vars(part))
                  for part in model.modules()],
        "ties": [storage_key(x) for x in tensors_of(model)],
    }  # fmt: skip


def batch(n):
    return torch.rand(n, 3, 4, 4)


class Returning(Workload):
    """The user's: returns the model that it is training elsewhere."""

    name = "returning"

    def __init__(self, model, fails=None):
        self.model, self.fails, self.teacher = model, fails, None

    def build(self, config):
        return self.model

    def batch(self, batch_size, config):
        return batch(batch_size)

    def forward(self, model, x):
        if self.fails is not None:
            raise self.fails
        return model(x).square().mean(), None


class Using(Returning):
    """Its forward takes the attribute, not what it is handed."""

    def forward(self, model, x):
        if self.fails is not None:
            raise self.fails
        return self.model(x).square().mean(), None


class Teaching(Returning):
    def build(self, config):
        self.teacher = self.model
        return nn.Sequential(Block(), nn.Dropout(), Block())

    def forward(self, model, x):
        if self.fails is not None:
            raise self.fails
        return (model(x) - self.teacher(x)).square().mean(), None


class Wrapping(Returning):
    def build(self, config):
        return nn.Sequential(self.model, nn.Conv2d(3, 3, 1))


class Sharing(Returning):
    def build(self, config):
        new = nn.Sequential(Block(), nn.Dropout(), Block())
        new[0].first.weight = self.model[0].first.weight
        return new


def returning_factory(model, fails=None):
    def loss(given, x):
        if fails is not None:
            raise fails
        return given(x).square().mean()

    return lambda: (model, batch, loss)


def closing_over_factory(model, fails=None):
    def loss(given, x):
        if fails is not None:
            raise fails
        return model(x).square().mean()

    return lambda: Training(model, batch, loss)


KINDS = [Returning, Using, Teaching, Wrapping, Sharing, returning_factory, closing_over_factory]
WAYS = {
    "plain": {}, "bf16": {"precision": "bf16"}, "channels_last": {"channels_last": True},
    "checkpointing": {"gradient_checkpointing": True}, "eval": {"dropout": False},
}  # fmt: skip
CPU = {"device": "cpu", "memory_budget": GIB}


@pytest.mark.parametrize("fails", [None, ValueError("x"), torch.OutOfMemoryError("CUDA out of "
                         "memory"), KeyboardInterrupt(), Cancelled()], ids=repr)  # fmt: skip
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("call", ["estimate", "measure"])
def test_nothing_is_touched(call, kind, fails):
    model = network()
    before = state(model)
    about = CPU if call == "measure" else {"gpu": "l4"}
    trial = None
    with contextlib.suppress(MemoryMarkError, KeyboardInterrupt, Cancelled):
        trial = getattr(memorymark, call)(kind(model, fails), batch_size=2, **about)
    assert state(model) == before
    if fails is None:
        assert trial is not None and trial.fits, trial and trial.error


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", [Returning, Using, closing_over_factory])
@pytest.mark.parametrize("call", ["estimate", "measure"])
def test_nor_by_how_it_is_trained(call, kind, way):
    model = network()
    before = state(model)
    about = CPU if call == "measure" else {"gpu": "l4"}
    with contextlib.suppress(MemoryMarkError):
        getattr(memorymark, call)(kind(model), TrainingConfig(**WAYS[way]), batch_size=2, **about)
    assert state(model) == before


@pytest.mark.parametrize("kind", [Returning, Using, returning_factory])
@pytest.mark.parametrize("call", [
    lambda work: memorymark.analyze(work, gpu="l4", max_batch_size=16),
    lambda work: memorymark.analyze(work, max_batch_size=16, **CPU),
    lambda work: memorymark.validate_backward_pass(work, batch_size=2, gpu="l4"),
    lambda work: memorymark.compare_costs(work, gpus=["l4", "t4"]),
], ids=["analyze", "analyze on the CPU", "validate", "compare"])  # fmt: skip
def test_nor_by_the_other_calls(call, kind):
    model = nn.Sequential(Block(), nn.Dropout(), Block())
    before = state(model)
    call(kind(model))
    assert state(model) == before


def figures(trial):
    return trial.peak_allocated_bytes, trial.breakdown


@pytest.mark.parametrize("kind", [Returning, Using, returning_factory, closing_over_factory])
@pytest.mark.parametrize("call", ["estimate", "measure"])
def test_the_figures_are_those_of_a_new_model(call, kind):
    new = lambda: nn.Sequential(Block(), nn.Dropout(), Block())  # noqa: E731
    factory = lambda: (new(), batch, lambda m, x: m(x).square().mean())  # noqa: E731
    about = CPU if call == "measure" else {"gpu": "l4"}
    run = getattr(memorymark, call)
    assert figures(run(kind(new()), batch_size=4, **about)) == figures(
        run(factory, batch_size=4, **about)
    )


def test_another_thread_goes_on_with_the_model():
    model, wrong, done = nn.Linear(WIDTH, WIDTH), [], threading.Event()
    expected = model(torch.ones(2, WIDTH))

    class Plain(Returning):
        def batch(self, batch_size, config):
            return torch.rand(batch_size, WIDTH)

    def use():
        while not done.is_set():
            got = model(torch.ones(2, WIDTH, device="cpu"))
            if got.is_meta or not torch.equal(got, expected):
                wrong.append(got)

    thread = threading.Thread(target=use)
    thread.start()
    try:
        for _ in range(3):
            assert memorymark.estimate(Plain(model), batch_size=2, gpu="l4").fits
            assert memorymark.measure(Plain(model), batch_size=2, **CPU).fits
    finally:
        done.set()
        thread.join()
    assert wrong == []


def test_a_model_that_is_used_itself_is_said():
    trial = memorymark.estimate(Using(network()), batch_size=2, gpu="l4")
    assert any("was there before" in each for each in trial.assumptions)
    trial = memorymark.estimate(Returning(network()), batch_size=2, gpu="l4")
    assert not any("was there before" in each for each in trial.assumptions)


@pytest.mark.parametrize("by", ["factory", "step"])
@pytest.mark.parametrize("call", ["estimate", "measure"])
def test_a_live_optimizer_is_refused(call, by):
    model = nn.Linear(WIDTH, WIDTH)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(2, WIDTH)).sum().backward()
    optimizer.step()
    before, states = state(model), copy.deepcopy(optimizer.state_dict())

    def step(given, x, _):
        given(x).sum().backward()
        optimizer.step()

    loss = lambda given, x: given(x).sum()  # noqa: E731
    own = (lambda given: optimizer,) if by == "factory" else (torch.optim.SGD, step)
    own = own if by == "factory" else (lambda given: torch.optim.SGD(given.parameters()), step)
    factory = lambda: (model, lambda n: torch.rand(n, WIDTH), loss, *own)  # noqa: E731
    about = CPU if call == "measure" else {"gpu": "l4"}
    with pytest.raises(WorkloadError, match="was there before the call"):
        getattr(memorymark, call)(factory, batch_size=2, **about)
    assert state(model) == before
    assert str(optimizer.state_dict()) == str(states)


def test_a_backward_pass_that_was_begun_goes_on():
    model = nn.Linear(WIDTH, WIDTH)
    kept = weakref.ref(model.weight)
    loss = model(torch.ones(2, WIDTH)).square().sum()

    class Plain(Using):
        def batch(self, batch_size, config):
            return torch.rand(batch_size, WIDTH)

    memorymark.measure(Plain(model), batch_size=2, **CPU)
    with contextlib.suppress(MemoryMarkError):
        memorymark.estimate(Plain(model), batch_size=2, gpu="l4")
    loss.backward()
    assert kept() is model.weight and model.weight.grad is not None


def test_what_cannot_be_copied_is_refused():
    class Uncopied(Block):
        def __getstate__(self):
            raise TypeError("cannot pickle a connection")

    model = Uncopied()
    before = state(model)
    with pytest.raises(WorkloadError, match=r"cannot be copied.*connection"):
        memorymark.estimate(Returning(model), batch_size=2, gpu="l4")
    assert state(model) == before


@pytest.mark.parametrize("call", ["estimate", "measure"])
def test_what_python_would_not_copy_or_would_share_is_copied(call):
    class Connected(Block):
        def __deepcopy__(self, memo):
            raise TypeError("cannot pickle a connection")

    class Shared(Block):
        def __deepcopy__(self, memo):
            return self

    model = nn.Sequential(Connected(), Shared())
    seen = []
    model.register_forward_hook(lambda module, x, y: seen.append((model.training, module)))
    before = state(model)
    about = CPU if call == "measure" else {"gpu": "l4"}
    trial = getattr(memorymark, call)(Returning(model), batch_size=2, **about)
    assert trial.fits and state(model) == before and seen == []


@pytest.mark.parametrize("call", ["estimate", "measure"])
def test_a_script_module_is_refused(call):
    with pytest.warns(FutureWarning):
        model = torch.jit.script(Block())
    about = CPU if call == "measure" else {"gpu": "l4"}
    with pytest.raises(WorkloadError, match="is a TorchScript module, whose steps cannot be foll"):
        getattr(memorymark, call)(Returning(model), batch_size=2, **about)


def test_a_copy_that_does_not_fit_is_out_of_memory():
    class Large(Block):
        def __getstate__(self):
            raise MemoryError

    trial = memorymark.measure(Returning(Large()), batch_size=2, **CPU)
    assert trial.outcome is Outcome.OOM and "cannot be copied" in trial.error


def test_a_model_that_is_built_twice_is_copied_once_more():
    class Caching(Returning):
        def build(self, config):
            self.model = self.model or nn.Sequential(Block(), Block())
            return self.model

    assert memorymark.validate_backward_pass(Caching(None), batch_size=2, gpu="l4").ratio


def test_what_is_made_in_a_call_is_the_calls():
    before = nn.Linear(2, 2)
    assert not is_live(before)
    with watching():
        made = nn.Linear(2, 2)
        assert is_live(before) and not is_live(made) and not has_live_parts(made)
        assert not has_live_parts(copy.deepcopy(before))
        assert has_live_parts(nn.Sequential(nn.ReLU(), before))
        made.weight = before.weight
        assert has_live_parts(made)
        assert not is_live(torch.optim.SGD(before.parameters()))


def test_what_is_kept_comes_back():
    model = network()
    before = state(model)
    with watching():
        keep(model, with_data=True)
        model.to(torch.bfloat16).train()
        model.zero_grad()
        model[0].forward = lambda x: x
        model[0].first.weight.requires_grad_(False)
        with torch.no_grad():
            model[0].norm.running_mean.add_(1)
        del model[2].norm.bias
    assert state(model) == before


def looking_by_data(live):
    model = nn.Linear(4, 4)
    model.weight = nn.Parameter(live.weight.data)
    return model


def looking_by_assignment(live):
    model = nn.Linear(4, 4)
    model.load_state_dict(live.state_dict(), assign=True)
    return model


def looking_after_it_was_made(live):
    model = nn.Linear(4, 4)
    model.weight.data = live.weight.detach()[:, :]
    return model


def looking_through_numpy(live):
    model = nn.Linear(4, 4)
    model.weight = nn.Parameter(torch.from_numpy(live.weight.detach().numpy()))
    return model


@pytest.mark.parametrize(
    "look",
    [looking_by_data, looking_by_assignment, looking_after_it_was_made, looking_through_numpy],
)
def test_a_new_model_that_looks_into_a_live_ones_storages_trains_copies_of_them(look):
    live = nn.Linear(4, 4)
    before = copy.deepcopy(live.state_dict())

    def factory():
        return look(live), lambda n: torch.rand(n, 4), lambda m, x: m(x).square().mean()

    trial = memorymark.measure(factory, TrainingConfig(), batch_size=2, device="cpu")
    assert trial.fits
    assert all(torch.equal(before[name], x) for name, x in live.state_dict().items())
