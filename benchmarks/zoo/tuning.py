"""Fine-tuning and what is laid over a model's weights."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import orthogonal, spectral_norm, weight_norm
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from zoo.language import VOCAB, Gpt, next_token_batch, next_token_loss


class LoraLinear(nn.Module):
    """A frozen layer and a low-rank one beside it."""

    def __init__(self, base, rank=8):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Parameter(torch.empty(rank, base.in_features))
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))
        self.dropout, self.scale = nn.Dropout(0.05), 16 / rank
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, x):
        return self.base(x) + self.dropout(x) @ self.down.t() @ self.up.t() * self.scale


def lora():
    """Low-rank layers in the attention of a frozen decoder."""
    model = Gpt().requires_grad_(False)
    for block in model.blocks:
        block.attention.qkv = LoraLinear(block.attention.qkv)
        block.attention.out = LoraLinear(block.attention.out)
    return model, next_token_batch, next_token_loss


def lora_merged_weights():
    """Low-rank updates as parametrizations of the weights."""

    class LowRank(nn.Module):
        def __init__(self, rows, columns, rank=8):
            super().__init__()
            self.down = nn.Parameter(torch.randn(rank, columns) * 0.01)
            self.up = nn.Parameter(torch.zeros(rows, rank))

        def forward(self, weight):
            return weight + self.up @ self.down

    model = Gpt().requires_grad_(False)
    for block in model.blocks:
        layer = block.mlp[0]
        parametrize.register_parametrization(layer, "weight", LowRank(*layer.weight.shape))
    return model, next_token_batch, next_token_loss


def last_layers_only():
    """The first layers frozen and run without gradients."""
    model = Gpt(dropout=0.0)
    for part in (model.tokens, model.positions, model.blocks[0], model.blocks[1]):
        part.requires_grad_(False)
    model.head.weight = nn.Parameter(model.head.weight.detach().clone())

    def loss(model, batch):
        tokens, targets = batch
        with torch.no_grad():
            x = model.tokens(tokens) + model.positions.weight[: tokens.size(1)]
            x = model.blocks[1](model.blocks[0](x))
        logits = model.head(model.norm(model.blocks[2](x)))
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    return model, next_token_batch, loss


def prompt_tuning():
    """A few learned vectors before the text of a frozen decoder."""

    class Prompted(nn.Module):
        def __init__(self):
            super().__init__()
            self.base = Gpt(dropout=0.0).requires_grad_(False)
            self.prompt = nn.Parameter(torch.randn(1, 8, 128) * 0.02)

        def forward(self, tokens):
            x = self.base.tokens(tokens[:, :-8])
            x = torch.cat((self.prompt.expand(len(x), -1, -1), x), 1)
            for block in self.base.blocks:
                x = block(x)
            return self.base.head(self.base.norm(x))

    return Prompted(), next_token_batch, next_token_loss


def _log_probability(model, tokens):
    scores = model(tokens[:, :-1]).log_softmax(-1)
    return scores.gather(-1, tokens[:, 1:].unsqueeze(-1)).squeeze(-1).sum(-1)


def preference_optimization():
    """DPO: a policy and its frozen copy, each on the chosen and on the rejected answer."""
    policy = Gpt(dropout=0.0)
    reference = copy.deepcopy(policy).eval().requires_grad_(False)

    def make_batch(batch_size):
        return torch.randint(VOCAB, (2, batch_size, 64))

    def loss(model, batch):
        chosen, rejected = (_log_probability(model, answer) for answer in batch)
        with torch.no_grad():
            base, worse = (_log_probability(reference, answer) for answer in batch)
        return -F.logsigmoid(0.1 * ((chosen - base) - (rejected - worse))).mean()

    return policy, make_batch, loss


def preference_one_module():
    """The same with the reference as a part of the module that is trained."""

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.policy = Gpt(dropout=0.0)
            self.reference = copy.deepcopy(self.policy).requires_grad_(False)

    def make_batch(batch_size):
        return torch.randint(VOCAB, (2, batch_size, 64))

    def loss(model, batch):
        answers = batch.flatten(0, 1)
        chosen, rejected = _log_probability(model.policy, answers).chunk(2)
        with torch.no_grad():
            base, worse = _log_probability(model.reference, answers).chunk(2)
        return -F.logsigmoid(0.1 * ((chosen - base) - (rejected - worse))).mean()

    return Both(), make_batch, loss


def _convolutions(width):
    return nn.Sequential(
        nn.Conv2d(3, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, 2, 1), nn.BatchNorm2d(2 * width), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, 10),
    )  # fmt: skip


def _images(batch_size):
    return torch.rand(batch_size, 3, 64, 64), torch.randint(10, (batch_size,))


def _classify(model, batch):
    images, labels = batch
    return F.cross_entropy(model(images), labels)


def distillation():
    """A frozen teacher outside of the student."""
    teacher = _convolutions(64).eval().requires_grad_(False)

    def loss(model, batch):
        images, labels = batch
        with torch.no_grad():
            wanted = F.softmax(teacher(images) / 4, 1)
        scores = model(images)
        soft = F.kl_div(F.log_softmax(scores / 4, 1), wanted, reduction="batchmean") * 16
        return 0.9 * soft + 0.1 * F.cross_entropy(scores, labels)

    return _convolutions(16), _images, loss


def frozen_batch_norm():
    """Backbone frozen, its norms in evaluation mode, a new head."""

    class Tuned(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = _convolutions(32)[:-1].requires_grad_(False)
            self.head = nn.Linear(64, 10)

        def train(self, mode=True):
            super().train(mode)
            self.backbone.eval()
            return self

        def forward(self, x):
            return self.head(self.backbone(x))

    return Tuned(), _images, _classify


def averaged_model():
    """An exponential average of the weights, updated in the loss after each step."""
    model = _convolutions(64)
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.999))

    def loss(model, batch):
        averaged.update_parameters(model)
        return _classify(model, batch)

    return model, _images, loss


def spectral_normed():
    """Spectral norm on every layer, as critics have it."""
    model = nn.Sequential(
        spectral_norm(nn.Conv2d(3, 64, 4, 2, 1)), nn.LeakyReLU(0.1),
        spectral_norm(nn.Conv2d(64, 128, 4, 2, 1)), nn.LeakyReLU(0.1),
        nn.Flatten(), spectral_norm(nn.Linear(128 * 16 * 16, 10)),
    )  # fmt: skip
    return model, _images, _classify


def weight_normed():
    """Weight norm, in its new form and in its old one."""
    model = nn.Sequential(
        weight_norm(nn.Conv2d(3, 64, 4, 2, 1)), nn.ELU(),
        nn.utils.weight_norm(nn.Conv2d(64, 128, 4, 2, 1)), nn.ELU(),
        nn.Flatten(), weight_norm(nn.Linear(128 * 16 * 16, 10)),
    )  # fmt: skip
    return model, _images, _classify


def orthogonal_weights():
    """A matrix that is kept orthogonal by a parametrization."""
    model = nn.Sequential(
        nn.AvgPool2d(4), nn.Flatten(), nn.Linear(768, 64),
        orthogonal(nn.Linear(64, 64), "weight", "cayley"),
        nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    return model, _images, _classify


def gradient_hooks():
    """Gradients are clipped as they come, by hooks on the parameters."""
    model = _convolutions(64)
    for parameter in model.parameters():
        parameter.register_hook(lambda grad: grad.clamp(-1, 1))
    return model, _images, _classify


def activations_on_the_host():
    """Saved activations are packed into half precision until the backward pass."""

    def loss(model, batch):
        images, labels = batch

        def pack(x):
            return (
                (x.half(), x.dtype) if x.dtype == torch.float32 and x.numel() > 4096 else (x, None)
            )

        def unpack(packed):
            x, kind = packed
            return x if kind is None else x.to(kind)

        with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
            return F.cross_entropy(model(images), labels)

    return _convolutions(64), _images, loss


class RoundedLinear(torch.autograd.Function):
    """A sign in the forward pass, the gradient clipped in the backward pass."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.sign(x)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * (x.abs() <= 1)


def binary_network():
    """Weights and activations rounded to signs by an own autograd function."""

    class Binary(nn.Linear):
        def forward(self, x):
            return F.linear(RoundedLinear.apply(x), RoundedLinear.apply(self.weight), self.bias)

    model = nn.Sequential(
        nn.AvgPool2d(4), nn.Flatten(), nn.Linear(768, 256), nn.BatchNorm1d(256), Binary(256, 256),
        nn.BatchNorm1d(256), Binary(256, 10),
    )  # fmt: skip
    return model, _images, _classify
