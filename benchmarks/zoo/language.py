"""Decoders as training repositories write them."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

VOCAB, WIDTH, HEADS, LAYERS, LENGTH = 2000, 128, 4, 3, 64


def next_token_batch(batch_size, vocab=VOCAB, length=LENGTH):
    """Cut random text into inputs and the same text one token later."""
    text = torch.randint(vocab, (batch_size, length + 1))
    return text[:, :-1].contiguous(), text[:, 1:].contiguous()


def next_token_loss(model, batch):
    """Cross entropy of logits that the model returns."""
    tokens, targets = batch
    logits = model(tokens)
    return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1)), logits


class CausalAttention(nn.Module):
    """Queries, keys and values from one projection."""

    def __init__(self, width=WIDTH, heads=HEADS, dropout=0.1, fused=True):
        super().__init__()
        self.heads, self.dropout, self.fused = heads, dropout, fused
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.out_dropout = nn.Dropout(dropout)
        if not fused:
            mask = torch.tril(torch.ones(LENGTH, LENGTH)).view(1, 1, LENGTH, LENGTH)
            self.register_buffer("mask", mask)

    def forward(self, x):
        n, length, width = x.shape
        q, k, v = self.qkv(x).split(width, dim=2)
        q, k, v = (
            t.view(n, length, self.heads, width // self.heads).transpose(1, 2) for t in (q, k, v)
        )
        if self.fused:
            dropout = self.dropout if self.training else 0
            y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
        else:
            scores = (q @ k.transpose(-2, -1)) / math.sqrt(k.size(-1))
            scores = scores.masked_fill(self.mask[:, :, :length, :length] == 0, float("-inf"))
            y = F.dropout(scores.softmax(-1), self.dropout, self.training) @ v
        y = y.transpose(1, 2).contiguous().view(n, length, width)
        return self.out_dropout(self.out(y))


class Block(nn.Module):
    """Pre-norm attention and a feed-forward part of four times the width."""

    def __init__(self, dropout=0.1, fused=True, gelu="none"):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = CausalAttention(dropout=dropout, fused=fused)
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(gelu), nn.Linear(4 * WIDTH, WIDTH),
            nn.Dropout(dropout),
        )  # fmt: skip

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Gpt(nn.Module):
    """A decoder with learned positions whose head is the table of tokens."""

    def __init__(self, dropout=0.1, fused=True, gelu="none"):
        super().__init__()
        self.tokens = nn.Embedding(VOCAB, WIDTH)
        self.positions = nn.Embedding(LENGTH, WIDTH)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(dropout, fused, gelu) for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, VOCAB, bias=False)
        self.head.weight = self.tokens.weight
        self.apply(self._initialise)

    @staticmethod
    def _initialise(module):
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def forward(self, tokens):
        positions = torch.arange(tokens.size(1), device=tokens.device)
        x = self.dropout(self.tokens(tokens) + self.positions(positions))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def nanogpt():
    """Tied weights and fused attention, after nanoGPT."""
    return Gpt(), next_token_batch, next_token_loss


def nanogpt_slow_attention():
    """The same with attention written out and the mask in a buffer."""
    return Gpt(fused=False), next_token_batch, next_token_loss


def build_nanogpt():
    """Its own autocast to bf16 around forward pass and loss, after build-nanogpt."""
    model = Gpt(dropout=0.0, gelu="tanh")

    def loss(model, batch):
        tokens, targets = batch
        with torch.autocast(device_type=tokens.device.type, dtype=torch.bfloat16):
            logits = model(tokens)
            return F.cross_entropy(logits.view(-1, VOCAB), targets.view(-1)), logits

    return model, next_token_batch, loss


def gpt_masked_targets():
    """Instruction tuning: targets of the prompt are left out, samples have real lengths."""

    def make_batch(batch_size):
        tokens, targets = next_token_batch(batch_size)
        prompts = torch.randint(4, LENGTH // 2, (batch_size, 1))
        targets[torch.arange(LENGTH)[None, :] < prompts] = -100
        return tokens, targets

    return Gpt(), make_batch, next_token_loss


def gpt_label_smoothing():
    """Log-probabilities by hand, smoothed, over tokens that count."""

    def loss(model, batch):
        tokens, targets = batch
        scores = model(tokens).log_softmax(-1)
        gold = scores.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
        mask = (targets != 0).float()
        return -((0.9 * gold + 0.1 * scores.mean(-1)) * mask).sum() / mask.sum()

    return Gpt(), next_token_batch, loss


def gpt_chunked_loss():
    """The head and its loss run on pieces of the sequence, each recomputed."""
    from torch.utils.checkpoint import checkpoint

    model = Gpt()

    def piece(hidden, targets):
        logits = model.head(hidden)
        return F.cross_entropy(logits.reshape(-1, VOCAB), targets.reshape(-1), reduction="sum")

    def loss(model, batch):
        tokens, targets = batch
        x = model.tokens(tokens) + model.positions.weight[: tokens.size(1)]
        for block in model.blocks:
            x = block(x)
        pieces = zip(model.norm(x).chunk(4, 1), targets.chunk(4, 1), strict=True)
        total = sum(checkpoint(piece, h, t, use_reentrant=False) for h, t in pieces)
        return total / targets.numel()

    return model, next_token_batch, loss


def gpt_checkpointed():
    """Each block recomputed in the backward pass, in the older, reentrant form."""
    from torch.utils.checkpoint import checkpoint

    def loss(model, batch):
        tokens, targets = batch
        x = model.tokens(tokens) + model.positions.weight[: tokens.size(1)]
        for block in model.blocks:
            x = checkpoint(block, x, use_reentrant=True)
        logits = model.head(model.norm(x))
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten()), logits

    return Gpt(), next_token_batch, loss


def tied_through_a_view():
    """The head multiplies with a slice of the table: the same storage, another tensor."""

    class Sliced(Gpt):
        def __init__(self):
            super().__init__(dropout=0.0)
            del self.head

        def forward(self, tokens):
            x = self.tokens(tokens)
            for block in self.blocks:
                x = block(x)
            return self.norm(x) @ self.tokens.weight[: VOCAB // 2].t()

    def make_batch(batch_size):
        return next_token_batch(batch_size, VOCAB // 2)

    return Sliced(), make_batch, next_token_loss
