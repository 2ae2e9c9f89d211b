"""Decoders with rotary positions, and those that are not attention at all."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from zoo.language import HEADS, LAYERS, LENGTH, VOCAB, WIDTH, next_token_batch, next_token_loss


class RmsNorm(nn.Module):
    """Root mean square norm in fp32."""

    def __init__(self, width, unit_offset=False):
        super().__init__()
        self.unit_offset = unit_offset
        self.weight = nn.Parameter(torch.zeros(width) if unit_offset else torch.ones(width))

    def forward(self, x):
        kind = x.dtype
        x = x.float()
        x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
        return (x * (1 + self.weight if self.unit_offset else self.weight)).to(kind)


def rotary_tables(length, size):
    """Return cosines and sines of every position."""
    steps = 1.0 / 10000 ** (torch.arange(0, size, 2).float() / size)
    angles = torch.outer(torch.arange(length).float(), steps).repeat(1, 2)
    return angles.cos(), angles.sin()


def rotate(x, cos, sin):
    """Turn each pair of features by its position's angle."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class GroupedAttention(nn.Module):
    """Query heads share fewer key heads; optionally normed queries and keys."""

    def __init__(self, groups=2, qk_norm=False, softcap=None):
        super().__init__()
        self.size, self.groups, self.softcap = WIDTH // HEADS, groups, softcap
        self.q = nn.Linear(WIDTH, WIDTH, bias=False)
        self.kv = nn.Linear(WIDTH, 2 * groups * self.size, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)
        self.qk_norm = qk_norm

    def forward(self, x, cos, sin):
        n, length, _ = x.shape
        q = self.q(x).view(n, length, HEADS, self.size).transpose(1, 2)
        k, v = self.kv(x).view(n, length, 2 * self.groups, self.size).transpose(1, 2).chunk(2, 1)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if self.qk_norm:
            q, k = F.rms_norm(q, (self.size,)), F.rms_norm(k, (self.size,))
        k = k.repeat_interleave(HEADS // self.groups, dim=1)
        v = v.repeat_interleave(HEADS // self.groups, dim=1)
        if self.softcap:
            scores = q @ k.transpose(-1, -2) * self.size**-0.5
            scores = self.softcap * torch.tanh(scores / self.softcap)
            ones = torch.ones(length, length, dtype=torch.bool, device=x.device)
            y = scores.masked_fill(ones.triu(1), torch.finfo(x.dtype).min).softmax(-1) @ v
        else:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(n, length, WIDTH))


class GatedMlp(nn.Module):
    """A gate with SiLU or GELU times a linear part."""

    def __init__(self, activation):
        super().__init__()
        self.gate, self.up = (nn.Linear(WIDTH, 3 * WIDTH, bias=False) for _ in range(2))
        self.down = nn.Linear(3 * WIDTH, WIDTH, bias=False)
        self.activation = activation

    def forward(self, x):
        return self.down(self.activation(self.gate(x)) * self.up(x))


class SquaredReluMlp(nn.Module):
    """Two layers with a squared ReLU between them."""

    def __init__(self):
        super().__init__()
        self.up = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.down = nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x):
        return self.down(F.relu(self.up(x)).square())


class Rotary(nn.Module):
    """A decoder with rotary positions, its parts to choose."""

    def __init__(self, norm, attention, mlp, cap=None, tied=False, scale=1.0):
        super().__init__()
        self.cap, self.scale = cap, scale
        self.tokens = nn.Embedding(VOCAB, WIDTH)
        self.norms = nn.ModuleList(norm() for _ in range(2 * LAYERS + 1))
        self.attentions = nn.ModuleList(attention() for _ in range(LAYERS))
        self.mlps = nn.ModuleList(mlp() for _ in range(LAYERS))
        self.head = nn.Linear(WIDTH, VOCAB, bias=False)
        if tied:
            self.head.weight = self.tokens.weight
        cos, sin = rotary_tables(LENGTH, WIDTH // HEADS)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, tokens):
        x = self.tokens(tokens) * self.scale
        for i, (attention, mlp) in enumerate(zip(self.attentions, self.mlps, strict=True)):
            x = x + attention(self.norms[2 * i](x), self.cos, self.sin)
            x = x + mlp(self.norms[2 * i + 1](x))
        logits = self.head(self.norms[-1](x))
        return self.cap * torch.tanh(logits / self.cap) if self.cap else logits


def litgpt_llama():
    """RMSNorm, rotary positions, grouped queries, SwiGLU."""
    model = Rotary(lambda: RmsNorm(WIDTH), GroupedAttention, lambda: GatedMlp(F.silu))
    return model, next_token_batch, next_token_loss


def litgpt_gemma():
    """Unit-offset norms, gated GELU, scaled and tied embeddings, capped scores and logits."""
    model = Rotary(
        lambda: RmsNorm(WIDTH, unit_offset=True),
        lambda: GroupedAttention(groups=1, softcap=50.0),
        lambda: GatedMlp(lambda x: F.gelu(x, approximate="tanh")),
        cap=30.0, tied=True, scale=WIDTH**0.5,
    )  # fmt: skip
    return model, next_token_batch, next_token_loss


def nanochat():
    """Squared ReLU, normed queries and keys, norms without weights, capped logits."""
    model = Rotary(
        lambda: nn.RMSNorm(WIDTH, elementwise_affine=False),
        lambda: GroupedAttention(qk_norm=True),
        SquaredReluMlp,
        cap=15.0,
    )

    def loss(model, batch):
        tokens, targets = batch
        logits = model(tokens).float()
        return F.cross_entropy(logits.view(-1, VOCAB), targets.view(-1), ignore_index=-1)

    return model, next_token_batch, loss


class Recurrence(nn.Module):
    """Language model around a layer that goes through time."""

    def __init__(self, layer):
        super().__init__()
        self.tokens = nn.Embedding(VOCAB, WIDTH)
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
        self.layers = nn.ModuleList(layer() for _ in range(2))
        self.head = nn.Linear(WIDTH, VOCAB, bias=False)

    def forward(self, tokens):
        x = self.tokens(tokens)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = x + layer(norm(x))
        return self.head(x)


class SelectiveScan(nn.Module):
    """A state space layer whose steps depend on the input, looped over time."""

    def __init__(self, states=8):
        super().__init__()
        inner = 2 * WIDTH
        self.states, self.inner = states, inner
        self.enter = nn.Linear(WIDTH, 2 * inner, bias=False)
        self.conv = nn.Conv1d(inner, inner, 4, padding=3, groups=inner)
        self.select = nn.Linear(inner, 8 + 2 * states, bias=False)
        self.step = nn.Linear(8, inner)
        self.log_decay = nn.Parameter(torch.arange(1, states + 1).float().log().repeat(inner, 1))
        self.skip = nn.Parameter(torch.ones(inner))
        self.leave = nn.Linear(inner, WIDTH, bias=False)

    def forward(self, x):
        n, length, _ = x.shape
        x, gate = self.enter(x).chunk(2, dim=-1)
        x = F.silu(self.conv(x.transpose(1, 2))[..., :length].transpose(1, 2))
        step, b, c = self.select(x).split([8, self.states, self.states], dim=-1)
        step = F.softplus(self.step(step))
        decay = torch.exp(step.unsqueeze(-1) * -self.log_decay.exp())
        drive = step.unsqueeze(-1) * b.unsqueeze(2) * x.unsqueeze(-1)
        state, outputs = x.new_zeros(n, self.inner, self.states), []
        for t in range(length):
            state = decay[:, t] * state + drive[:, t]
            outputs.append((state @ c[:, t].unsqueeze(-1)).squeeze(-1))
        y = torch.stack(outputs, dim=1) + x * self.skip
        return self.leave(y * F.silu(gate))


class TimeMix(nn.Module):
    """Weighted keys and values with a decay per channel, after RWKV, looped over time."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Parameter(torch.rand(3, 1, 1, WIDTH))
        self.key, self.value, self.gate, self.out = (
            nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4)
        )
        self.decay, self.first = nn.Parameter(torch.rand(WIDTH)), nn.Parameter(torch.rand(WIDTH))
        self.shift = nn.ZeroPad2d((0, 0, 1, -1))

    def forward(self, x):
        before = self.shift(x)
        k, v, r = (x * mix + before * (1 - mix) for mix in self.mix)
        k, v, r = self.key(k), self.value(v), self.gate(r).sigmoid()
        above = below = torch.zeros_like(k[:, 0])
        top, outputs = torch.full_like(above, -1e38), []
        for t in range(x.size(1)):
            now = torch.maximum(top, self.first + k[:, t])
            old, new = torch.exp(top - now), torch.exp(self.first + k[:, t] - now)
            outputs.append((old * above + new * v[:, t]) / (old * below + new))
            after = torch.maximum(top - self.decay.exp(), k[:, t])
            old, new = torch.exp(top - self.decay.exp() - after), torch.exp(k[:, t] - after)
            above, below, top = old * above + new * v[:, t], old * below + new, after
        return self.out(r * torch.stack(outputs, 1))


def mamba_loop():
    """A selective scan looped over time."""
    return Recurrence(SelectiveScan), next_token_batch, next_token_loss


def rwkv_loop():
    """Time mixing looped over time."""
    return Recurrence(TimeMix), next_token_batch, next_token_loss
