"""Optimizers and steps of the user's own, within the one training step."""

import copy

import pytest
import torch
from own import assert_same_peak, measured, simulated, spec_of
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

import memorymark
from memorymark.errors import InvalidValue, WorkloadError
from memorymark.records.trial import Stage
from memorymark.workloads.own_training import Training

WIDTH = 32


def network():
    return nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))


def pixels(batch_size):
    return torch.rand(batch_size, WIDTH)


def mean(model, x):
    return model(x).square().mean()


def adam(model):
    return torch.optim.AdamW(model.parameters(), lr=1e-4)


def with_own_optimizer():
    return network(), pixels, mean, adam


def with_two_optimizers():
    def optimizers(model):
        return [torch.optim.SGD(model[0].parameters(), lr=1e-4, momentum=0.9), adam(model[2])]

    return network(), pixels, mean, optimizers


def with_own_step():
    def step(model, batch, optimizer):
        optimizer.zero_grad()
        loss = mean(model, batch)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    return Training(network(), pixels, optimizer=adam, step=step)


def with_the_options_optimizer():
    def step(model, batch, optimizer):
        mean(model, batch).backward()
        optimizer.step()
        optimizer.zero_grad()

    return Training(network(), pixels, step=step)


def with_an_average():
    model = network()
    average = copy.deepcopy(model).requires_grad_(False)

    @torch.no_grad()
    def update():
        for old, new in zip(average.parameters(), model.parameters(), strict=True):
            old.lerp_(new, 0.01)

    def step(model, batch, optimizer):
        loss = functional.mse_loss(model(batch), average(batch))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        update()

    return model, pixels, None, adam, step


def adversarial():
    critic = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.ReLU(), nn.Linear(2 * WIDTH, 2))

    def optimizers(generator):
        return {"generator": adam(generator), "critic": adam(critic)}

    def step(generator, batch, optimizers):
        made = generator(torch.rand_like(batch))
        loss = critic(made.detach()).mean() - critic(batch).mean()
        optimizers["critic"].zero_grad()
        loss.backward()
        optimizers["critic"].step()
        optimizers["generator"].zero_grad()
        (-critic(made).mean()).backward()
        optimizers["generator"].step()

    return network(), pixels, None, optimizers, step


def meta_learning():
    def step(model, batch, optimizer):
        parameters = dict(model.named_parameters())
        inner = torch.func.functional_call(model, parameters, batch).square().mean()
        gradients = torch.autograd.grad(inner, parameters.values(), create_graph=True)
        adapted = {
            name: parameter - 0.1 * gradient
            for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True)
        }
        torch.func.functional_call(model, adapted, batch).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return network(), pixels, None, adam, step


def by_preference():
    model = network()
    reference = copy.deepcopy(model).eval().requires_grad_(False)

    def loss(model, batch):
        with torch.no_grad():
            wanted = reference(batch)
        return -functional.logsigmoid(model(batch) - wanted).mean()

    return model, pixels, loss


def in_the_backward_pass():
    model = network()
    optimizers = {p: torch.optim.AdamW([p], foreach=False) for p in model.parameters()}

    def update(parameter):
        optimizers[parameter].step()
        optimizers[parameter].zero_grad()

    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(update)

    def step(model, batch, optimizer):
        mean(model, batch).backward()

    return model, pixels, None, lambda model: list(optimizers.values()), step


def by_hand():
    def step(model, batch, optimizer):
        mean(model, batch).backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 1e-4 * parameter.grad
                parameter.grad = None

    return Training(network(), pixels, optimizer=lambda model: (), step=step)


FACTORIES = [
    with_own_optimizer, with_two_optimizers, with_own_step, with_the_options_optimizer,
    with_an_average, adversarial, meta_learning, by_preference, in_the_backward_pass, by_hand,
]  # fmt: skip


@pytest.mark.parametrize("factory", FACTORIES, ids=lambda factory: factory.__name__)
def test_simulated_as_measured(factory):
    assert_same_peak(factory)


def parameters_of(*modules):
    return sum(p.nbytes for module in modules for p in module.parameters())


def test_own_optimizers_states_are_counted():
    assert measured(with_own_optimizer).breakdown.optimizer_states == 2 * parameters_of(network())
    one = parameters_of(nn.Linear(WIDTH, WIDTH))
    assert measured(with_two_optimizers).breakdown.optimizer_states == 3 * one


def test_what_an_own_step_holds_is_labelled():
    parts = measured(adversarial, 256).breakdown
    critic = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, 2))
    assert parts.parameters == parameters_of(network(), critic)
    assert parts.optimizer_states == 2 * parts.parameters
    assert parts.activations > 256 * WIDTH * 4 and parts.inputs >= 256 * WIDTH * 4
    assert parts.gradients > 0


def test_phases_of_an_own_step_are_noticed():
    phases = [phase for phase, _ in simulated(with_own_step).trace.marks]
    step = [
        "step", "forward", "backward", "forward", "optimizer", "forward", "step-end",
    ]  # fmt: skip
    once = [phase for at, phase in enumerate(phases) if at == 0 or phase != phases[at - 1]]
    assert once == step * 2


def test_on_cuda_own_optimizers_work_on_lists_as_torch_chooses():
    def operations(factory, **options):
        return [str(block.operation) for block in simulated(factory, cuda=True, **options)
                .trace.blocks if block.phase == "optimizer"]  # fmt: skip

    def optimizers_blocks(name):
        return [op for op in operations(name) if "_foreach" in op]

    assert optimizers_blocks(with_own_optimizer)
    factory = lambda: with_own_optimizer()[:3]  # noqa: E731
    assert operations(with_own_optimizer) == operations(factory)


def test_options_that_an_own_part_takes_the_place_of_are_refused():
    for factory, options in [
        (with_own_optimizer, {"optimizer": "sgd"}),
        (with_own_step, {"optimizer": "sgd"}),
        (with_own_step, {"gradient_accumulation": 2}),
        (with_own_step, {"zero_grad": "after-step"}),
        (with_own_step, {"precision": "amp-bf16"}),
    ]:
        with pytest.raises(InvalidValue, match="own one of 'users:factory'"):
            spec_of(factory, **options)
    assert spec_of(with_own_step, precision="bf16", dropout=False)


def test_without_a_loss_only_whole_steps_run():
    trial = measured(with_an_average)
    assert trial.fits
    with pytest.raises(WorkloadError, match="a step function and no loss: only whole steps"):
        from memorymark.probes.cpu import CpuProbe

        CpuProbe(2**30).run_trial(spec_of(with_an_average, stage=Stage.BACKWARD))


def test_optimizers_that_are_none():
    with pytest.raises(WorkloadError, match="optimizer of 'users:factory' returned None"):
        measured(lambda: (network(), pixels, mean, lambda model: None))
    with pytest.raises(WorkloadError, match=r"optimizer of .* raised ZeroDivisionError"):
        measured(lambda: (network(), pixels, mean, lambda model: 1 / 0))


def test_averaged_models_are_counted():
    def factory():
        model = network()
        average = AveragedModel(model)

        def step(model, batch, optimizer):
            mean(model, batch).backward()
            optimizer.step()
            optimizer.zero_grad()
            average.update_parameters(model)

        return model, pixels, None, adam, step

    assert measured(factory).breakdown.parameters == 2 * parameters_of(network())
    assert simulated(factory).trace.events


def test_the_public_name():
    assert memorymark.Training is Training


@pytest.mark.parametrize(
    ("factory", "own"),
    [
        (with_own_optimizer, "The optimizer is the own one of 'users:factory'"),
        (with_own_step, "The step, with its optimizer, is the own one of 'users:factory'"),
        (with_the_options_optimizer, "The step is the own one of 'users:factory'"),
    ],
)
def test_a_result_says_what_is_the_users_own(factory, own):
    assert f"{own}, in place of the training options'." in measured(factory).assumptions
