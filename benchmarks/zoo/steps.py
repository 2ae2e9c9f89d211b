"""Training with an optimizer or a whole step of one's own."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from zoo.generative import DiffusionUnet
from zoo.language import Gpt, next_token_batch, next_token_loss
from zoo.llama import nanochat

NOISE = 64


def _images(batch_size):
    return torch.rand(batch_size, 3, 32, 32)


def _generator():
    return nn.Sequential(
        nn.Linear(NOISE, 128 * 16), nn.Unflatten(1, (128, 4, 4)),
        nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(True),
        nn.ConvTranspose2d(64, 32, 4, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(True),
        nn.ConvTranspose2d(32, 3, 4, 2, 1), nn.Sigmoid(),
    )  # fmt: skip


def _critic():
    return nn.Sequential(
        nn.Conv2d(3, 32, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(32, 64, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True), nn.Flatten(),
        nn.Linear(64 * 64, 1),
    )  # fmt: skip


def _pair():
    return nn.ModuleDict({"generator": _generator(), "critic": _critic()})


def _two_adams(model):
    return (
        torch.optim.Adam(model["generator"].parameters(), 2e-4, betas=(0.5, 0.999)),
        torch.optim.Adam(model["critic"].parameters(), 2e-4, betas=(0.5, 0.999)),
    )


def gan():
    """Two networks, two optimizers, two backward passes."""

    def step(model, images, optimizers):
        generator, critic = model["generator"], model["critic"]
        for_generator, for_critic = optimizers
        ones = torch.ones(len(images), 1, device=images.device)
        made = generator(torch.randn(len(images), NOISE, device=images.device))
        for_critic.zero_grad()
        real = F.binary_cross_entropy_with_logits(critic(images), ones)
        fake = F.binary_cross_entropy_with_logits(critic(made.detach()), torch.zeros_like(ones))
        (real + fake).backward()
        for_critic.step()
        for_generator.zero_grad()
        loss = F.binary_cross_entropy_with_logits(critic(made), ones)
        loss.backward()
        for_generator.step()
        return loss.detach()

    return _pair(), _images, None, _two_adams, step


def gan_with_gradient_penalty():
    """The critic's gradient in its input is trained towards one, after WGAN-GP."""

    def step(model, images, optimizers):
        generator, critic = model["generator"], model["critic"]
        for_generator, for_critic = optimizers
        noise = torch.randn(len(images), NOISE, device=images.device)
        for _ in range(2):
            for_critic.zero_grad(set_to_none=True)
            made = generator(noise).detach()
            share = torch.rand(len(images), 1, 1, 1, device=images.device)
            between = (share * images + (1 - share) * made).requires_grad_(True)
            slopes = torch.autograd.grad(critic(between).sum(), between, create_graph=True)[
                0
            ].flatten(1)
            penalty = 10 * ((slopes.norm(2, dim=1) - 1) ** 2).mean()
            (critic(made).mean() - critic(images).mean() + penalty).backward()
            for_critic.step()
        for_generator.zero_grad(set_to_none=True)
        (-critic(generator(noise)).mean()).backward()
        for_generator.step()

    return _pair(), _images, None, _two_adams, step


def accumulate_and_clip():
    """Four pieces of the batch, gradients clipped, a schedule, decay for matrices only."""
    model = Gpt()

    def optimizer(model):
        matrices = [p for p in model.parameters() if p.dim() >= 2]
        rest = [p for p in model.parameters() if p.dim() < 2]
        groups = [{"params": matrices, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, lr=3e-4, betas=(0.9, 0.95))

    def step(model, batch, optimizer):
        tokens, targets = batch
        total = 0.0
        for piece in zip(tokens.chunk(4), targets.chunk(4), strict=True):
            loss, _ = next_token_loss(model, piece)
            (loss / 4).backward()
            total += loss.detach() / 4
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = 3e-4
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return total

    return model, next_token_batch, None, optimizer, step


class Orthogonalized(torch.optim.Optimizer):
    """Momentum whose matrices are brought near orthogonal ones, after Muon."""

    def __init__(self, parameters, lr=0.02, momentum=0.95):
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter.grad)
                state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                update = parameter.grad.lerp(state["momentum"], group["momentum"])
                parameter.add_(self._orthogonal(update), alpha=-group["lr"])

    @staticmethod
    def _orthogonal(matrix):
        x = matrix.bfloat16()
        tall = x.size(0) > x.size(1)
        x = x.mT if tall else x
        x = x / (x.norm() + 1e-7)
        for _ in range(5):
            square = x @ x.mT
            x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
        return (x.mT if tall else x).to(matrix.dtype)


def nanochat_two_optimizers():
    """Matrices by the optimizer above, tables and head by AdamW."""
    model, make_batch, loss = nanochat()

    def optimizer(model):
        tables = [*model.tokens.parameters(), *model.head.parameters()]
        named = {id(p) for p in tables}
        matrices = [p for p in model.parameters() if id(p) not in named and p.dim() == 2]
        return [torch.optim.AdamW(tables, lr=3e-3), Orthogonalized(matrices)]

    def step(model, batch, optimizers):
        value = loss(model, batch)
        value.backward()
        for each in optimizers:
            each.step()
        model.zero_grad(set_to_none=True)
        return value.item()

    return model, make_batch, None, optimizer, step


def diffusion_with_average():
    """An average of the weights after each step, in the step."""
    model = DiffusionUnet()
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9999))

    def make_batch(batch_size):
        return torch.randn(batch_size, 4, 32, 32), torch.randn(batch_size, 20, 64)

    def step(model, batch, optimizer):
        latents, text = batch
        noise = torch.randn_like(latents)
        steps = torch.randint(1000, (len(latents),), device=latents.device)
        loss = F.mse_loss(model(latents + noise, steps, text), noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        averaged.update_parameters(model)
        return loss

    return model, make_batch, None, lambda model: torch.optim.AdamW(model.parameters()), step


def own_average():
    """A copy of the weights that follows by hand, for the target of a regression."""
    model = _critic()
    slow = copy.deepcopy(model).requires_grad_(False)

    def step(model, images, optimizer):
        with torch.no_grad():
            wanted = slow(images)
        loss = F.smooth_l1_loss(model(images.flip(-1)), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for old, new in zip(slow.parameters(), model.parameters(), strict=True):
                old.mul_(0.99).add_(new, alpha=0.01)

    return model, _images, None, lambda model: torch.optim.RMSprop(model.parameters()), step


def sharpness_aware():
    """Two forward and backward passes: at the weights, and where the loss is higher."""
    model = _critic()

    def step(model, images, optimizer):
        target = torch.zeros(len(images), 1, device=images.device)
        F.mse_loss(model(images), target).backward()
        with torch.no_grad():
            scale = 0.05 / (torch.stack([p.grad.norm() for p in model.parameters()]).norm() + 1e-12)
            moves = [p.grad * scale for p in model.parameters()]
            for parameter, move in zip(model.parameters(), moves, strict=True):
                parameter.add_(move)
        optimizer.zero_grad()
        F.mse_loss(model(images), target).backward()
        with torch.no_grad():
            for parameter, move in zip(model.parameters(), moves, strict=True):
                parameter.sub_(move)
        optimizer.step()
        optimizer.zero_grad()

    def optimizer(model):
        return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    return model, _images, None, optimizer, step


def policy_epochs():
    """Several passes over one collected batch, in pieces of it."""
    model = nn.Sequential(nn.Linear(64, 256), nn.Tanh(), nn.Linear(256, 256), nn.Tanh(),
                          nn.Linear(256, 7))  # fmt: skip

    def make_batch(batch_size):
        return torch.randn(batch_size, 64), torch.arange(batch_size) % 6, torch.randn(batch_size)

    def step(model, batch, optimizer):
        with torch.no_grad():
            made = model(batch[0])
            before = made[:, :6].log_softmax(-1).gather(1, batch[1][:, None]).squeeze(1)
            gain = batch[2] - made[:, 6]
        for _ in range(2):
            order = torch.randperm(len(before), device=before.device)
            for rows in order.split(len(before) // 4):
                made = model(batch[0][rows])
                now = made[:, :6].log_softmax(-1).gather(1, batch[1][rows][:, None]).squeeze(1)
                ratio = (now - before[rows]).exp()
                policy = torch.min(ratio * gain[rows], ratio.clamp(0.8, 1.2) * gain[rows]).mean()
                loss = F.mse_loss(made[:, 6], batch[2][rows]) - policy
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 0.5)
                optimizer.step()

    def optimizer(model):
        return torch.optim.Adam(model.parameters(), lr=2.5e-4, eps=1e-5)

    return model, make_batch, None, optimizer, step


def own_optimizer_only():
    """The loop as it is, with an optimizer that the options do not have."""

    def optimizer(model):
        return torch.optim.NAdam(model.parameters(), lr=1e-3)

    return Gpt(), next_token_batch, next_token_loss, optimizer
