"""Data that decides what a step does: known where the user gave it, told where it is not."""

import numpy
import own
import pytest
import torch
from test_parity import assert_same, measured, peak_of, simulated
from tiny import TinyNet
from torch import nn
from torch.nn import functional

from memorymark import Training
from memorymark.errors import UnsupportedOperation, WorkloadError
from memorymark.records.config import TrainingConfig
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.simulate import simulate
from memorymark.workloads.build import build_model
from memorymark.workloads.trial_spec import TrialSpec

CONFIG = TrainingConfig(optimizer="sgd")


class Own(TinyNet):
    """A workload with a batch and a loss of its own."""

    def __init__(self, make_batch, loss, model=None):
        super().__init__(64)
        self._make_batch, self._loss, self._model = make_batch, loss, model

    def build(self, config):
        if self._model is not None:
            return self._model()
        return nn.Sequential(nn.Embedding(50, 64), nn.Linear(64, 50))

    def batch(self, batch_size, config):
        return self._make_batch(batch_size)

    def forward(self, model, batch):
        return self._loss(model, batch), None


def language_loss(model, tokens):
    return functional.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten())


def padded(batch_size):
    lengths = torch.arange(batch_size) % 20 + 10
    mask = torch.arange(500) < lengths[:, None]
    return torch.randint(1, 50, (batch_size, 500)) * mask


def padded_by_numpy(batch_size):
    tokens = numpy.zeros((batch_size, 500), dtype=numpy.int64)
    tokens[:, :29] = 7
    return torch.from_numpy(tokens)


def trimmed(model, tokens):
    longest = int((tokens != 0).sum(1).max())
    return language_loss(model, tokens[:, :longest])


def guarded(model, tokens):
    if (tokens >= 50).any() or (tokens < 0).any():
        raise ValueError("token id out of range")
    lengths = (tokens != 0).sum(1)
    if (lengths == 0).any():
        raise ValueError("Length of all samples has to be greater than 0")
    return language_loss(model, tokens)


def generating(model, tokens):
    with torch.no_grad():
        for _ in range(4):
            following = model(tokens)[:, -1].argmax(-1, keepdim=True)
            tokens = torch.cat([tokens, following], 1)
            if (following < 0).all():
                break
    return language_loss(model, tokens)


@pytest.mark.parametrize("loss", [trimmed, guarded, generating])
@pytest.mark.parametrize("make_batch", [padded, padded_by_numpy])
@pytest.mark.parametrize("batch_size", [40, 1000])
def test_the_batch_decides_as_it_does_on_the_device(make_batch, loss, batch_size):
    assert_same(Own(make_batch, loss), CONFIG, batch_size)


def floats(batch_size):
    return torch.randn(batch_size, 64)


class Experts(nn.Module):
    """Experts that are chosen by masks, in one of the ways in which that is written."""

    def __init__(self, how):
        super().__init__()
        self.how = how
        self.router = nn.Linear(64, 8)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.Linear(128, 64)) for _ in range(8)
        )

    def forward(self, hidden):
        weights, chosen = self.router(hidden).softmax(-1).topk(2, -1)
        return getattr(self, self.how)(hidden, weights, chosen, torch.zeros_like(hidden))

    def where(self, hidden, weights, chosen, output):
        for index, expert in enumerate(self.experts):
            rows, place = torch.where(chosen == index)
            if rows.numel():
                output.index_add_(0, rows, expert(hidden[rows]) * weights[rows, place, None])
        return output

    def one_hot(self, hidden, weights, chosen, output):
        mask = functional.one_hot(chosen, 8).permute(2, 1, 0)
        for index in mask.sum((1, 2)).gt(0).nonzero().flatten().tolist():
            place, rows = torch.where(mask[index])
            made = self.experts[index](hidden[rows])
            output.index_add_(0, rows, made * weights[rows, place, None])
        return output

    def sort(self, hidden, weights, chosen, output):
        counts = chosen.flatten().bincount(minlength=8).tolist()
        order = chosen.flatten().argsort()
        parts = hidden[order // 2].split(counts)
        made = torch.cat([run(part) for run, part in zip(self.experts, parts, strict=True)])
        return output.index_add(0, order // 2, made * weights.flatten()[order, None])

    def boolean(self, hidden, weights, chosen, output):
        for index, expert in enumerate(self.experts):
            mask = (chosen == index).any(-1)
            output[mask] = expert(hidden[mask])
        return output


@pytest.mark.parametrize("how", ["where", "one_hot", "sort", "boolean"])
def test_experts_hold_what_they_hold_when_each_is_chosen_as_often(how):
    workload = Own(floats, lambda model, x: model(x).square().mean(), lambda: Experts(how))
    found = peak_of(simulated(workload, CONFIG, 4096))
    assert found == pytest.approx(measured(workload, CONFIG, 4096).peak_allocated_bytes, rel=0.02)


def selecting(model, x):
    made = model(x)
    return made[made > 0].square().mean()


def reading(model, x):
    longest = int(model(x).abs().argmax() % 7) + int(model(x).sum().long())
    return model(x[:, :1].expand(-1, 64 * (1 + longest)).reshape(-1, 64)).mean()


def checking(model, x):
    made = model(x)
    if torch.isnan(made).any():
        raise ValueError("the loss is not a number")
    return made.mean()


def run(loss, batch_size=2000):
    workload = Own(floats, loss, lambda: nn.Linear(64, 64))
    spec = TrialSpec(workload, CONFIG, batch_size)
    model = build_model(workload, spec.config, torch.device("meta"))
    return simulate(spec, model, Rules(Platform.CUDA))


def test_a_selection_by_what_is_computed_is_given_as_a_range():
    done = run(selecting)
    told = " ".join(done.assumptions)
    assert "made[made > 0]" in told and "its peak lies between" in told


def test_memory_that_depends_on_an_unknown_number_is_refused():
    with pytest.raises(UnsupportedOperation, match=r"test_questions.py:.*on a device instead"):
        run(reading)


def test_a_guard_passes_and_what_does_not_matter_is_no_range():
    told = " ".join(run(checking).assumptions)
    assert "isnan" in told and "its peak lies between" not in told


def test_an_error_that_no_answer_avoids_is_told():
    def failing(model, x):
        bool(torch.isnan(model(x)).any())
        raise ValueError("always")

    with pytest.raises(WorkloadError, match="always"):
        run(failing)


def test_memory_that_grows_by_a_few_bytes_with_an_unknown_number_is_refused():
    def counting(model, x):
        made = model(x)
        chosen = int((made > 0).sum())
        return made.mean() + (torch.ones(chosen, 4, device=made.device) * made.mean()).sum()

    with pytest.raises(UnsupportedOperation, match=r"chosen = int.*on a device instead"):
        run(counting, batch_size=4096)


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_lbfgs_is_simulated_with_a_full_history(search):
    def factory():
        def optimizer(model):
            parameters = model.parameters()
            return torch.optim.LBFGS(parameters, history_size=4, max_iter=6, line_search_fn=search)

        def step(model, batch, optimizer):
            def closure():
                optimizer.zero_grad()
                loss = (model(batch) - 1).exp().mean()
                loss.backward()
                return loss

            return optimizer.step(closure)

        make_batch = lambda n: torch.rand(n, 64)  # noqa: E731
        return Training(nn.Linear(64, 64), make_batch, optimizer=optimizer, step=step)

    trial = own.measured(factory, 8)
    steps = own.simulated(factory, 8)
    assert peak_of(steps.trace) == pytest.approx(trial.peak_allocated_bytes, rel=0.001)
    assert [line for line in steps.assumptions if "LBFGS" in line] == list(steps.assumptions)


def guarded_step(model, batch, optimizer):
    loss = model(batch).square().mean()
    if not torch.isfinite(loss):
        return loss
    optimizer.zero_grad()
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    if norm > 1e9 or torch.isnan(norm):
        return loss
    if loss < 1e-9:
        return loss
    optimizer.step()
    return loss


def converging_step(model, batch, optimizer):
    kept, made = [], batch
    for _ in range(5):
        kept.append(made := model(made).sin())
        if (kept[-1] - batch).norm() < 1e-9:
            break
    sum(each.square().mean() for each in kept).backward()
    optimizer.step()


@pytest.mark.parametrize("step", [guarded_step, converging_step])
def test_conditions_are_answered_as_in_most_steps(step):
    def factory():
        model, make_batch = nn.Linear(64, 64), lambda n: torch.rand(n, 64)
        return Training(model, make_batch, step=step,
                        optimizer=lambda model: torch.optim.Adam(model.parameters()))  # fmt: skip

    trial = own.measured(factory, 100)
    assert trial.error is None
    peak = peak_of(own.simulated(factory, 100).trace)
    assert peak == pytest.approx(trial.peak_allocated_bytes, rel=0.001)


def test_a_loop_that_no_answer_ends_is_refused():
    def waiting(model, x):
        while True:
            made = model(x)
            if made.norm().item() + 1e-3 < 0.01 * x.norm().item():
                return made.mean()

    with pytest.raises(UnsupportedOperation, match=r"test_questions.py:.*the loop goes on"):
        run(waiting, batch_size=2)
