"""Mixtures of experts, as they are dispatched."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from zoo.language import VOCAB, WIDTH, CausalAttention, next_token_batch

EXPERTS, CHOSEN = 4, 2


def _mlp():
    return nn.Sequential(nn.Linear(WIDTH, 3 * WIDTH), nn.SiLU(), nn.Linear(3 * WIDTH, WIDTH))


class Routed(nn.Module):
    """The gate and the experts; how tokens get to them is the subclass's."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(WIDTH, EXPERTS, bias=False)
        self.experts = nn.ModuleList(_mlp() for _ in range(EXPERTS))

    def forward(self, x):
        flat = x.reshape(-1, WIDTH)
        chances = self.gate(flat).softmax(-1)
        weights, chosen = chances.topk(CHOSEN, dim=-1)
        weights = weights / weights.sum(-1, keepdim=True)
        used = F.one_hot(chosen[:, 0], EXPERTS).float().mean(0)
        balance = EXPERTS * (used * chances.mean(0)).sum()
        return self.dispatch(flat, weights, chosen).view_as(x), balance


class ByMask(Routed):
    """Each expert gets the rows that its mask leaves."""

    def dispatch(self, x, weights, chosen):
        out = torch.zeros_like(x)
        for index, expert in enumerate(self.experts):
            rows, nth = torch.where(chosen == index)
            out.index_add_(0, rows, expert(x[rows]) * weights[rows, nth, None])
        return out


class ByCapacity(Routed):
    """Every expert takes the same number of rows; the rest is dropped."""

    def dispatch(self, x, weights, chosen):
        tokens = x.size(0)
        capacity = int(1.25 * tokens * CHOSEN / EXPERTS)
        hot = F.one_hot(chosen, EXPERTS).permute(1, 0, 2).reshape(-1, EXPERTS)
        place = ((hot.cumsum(0) - 1) * hot).sum(-1)
        expert = chosen.t().reshape(-1)
        kept = place < capacity
        slots = torch.where(kept, expert * capacity + place, EXPERTS * capacity)
        rows = torch.arange(tokens, device=x.device).repeat(CHOSEN)
        buffer = x.new_zeros(EXPERTS * capacity + 1, WIDTH).index_copy(0, slots, x[rows])
        parts = buffer[:-1].view(EXPERTS, capacity, WIDTH)
        made = torch.cat([e(p) for e, p in zip(self.experts, parts, strict=True)])
        made = torch.cat((made, made.new_zeros(1, WIDTH)))
        return (made[slots] * weights.t().reshape(-1, 1)).view(CHOSEN, tokens, WIDTH).sum(0)


class Dense(Routed):
    """Every expert sees every row, weighted by what was chosen."""

    def dispatch(self, x, weights, chosen):
        full = torch.zeros(len(x), EXPERTS, device=x.device, dtype=x.dtype)
        full = full.scatter(1, chosen, weights)
        made = torch.stack([expert(x) for expert in self.experts], 1)
        return torch.einsum("ne,new->nw", full, made)


class MixtureLm(nn.Module):
    """A decoder with routed feed-forward parts."""

    def __init__(self, kind, layers=2):
        super().__init__()
        self.tokens = nn.Embedding(VOCAB, WIDTH)
        self.attentions = nn.ModuleList(CausalAttention(dropout=0.0) for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2 * layers))
        self.mixtures = nn.ModuleList(kind() for _ in range(layers))
        self.head = nn.Linear(WIDTH, VOCAB, bias=False)

    def forward(self, tokens):
        x, balance = self.tokens(tokens), 0.0
        for i, (attention, mixture) in enumerate(zip(self.attentions, self.mixtures, strict=True)):
            x = x + attention(self.norms[2 * i](x))
            made, extra = mixture(self.norms[2 * i + 1](x))
            x, balance = x + made, balance + extra
        return self.head(x), balance


def _loss(model, batch):
    tokens, targets = batch
    logits, balance = model(tokens)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten()) + 0.01 * balance


def experts_by_mask():
    """Rows found by masks: how many is known only from the data."""
    return MixtureLm(ByMask), next_token_batch, _loss


def experts_by_capacity():
    """Rows sorted into buffers of a fixed size."""
    return MixtureLm(ByCapacity), next_token_batch, _loss


def experts_dense():
    """All rows through all experts."""
    return MixtureLm(Dense), next_token_batch, _loss
