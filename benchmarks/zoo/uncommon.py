"""Parts of PyTorch that few loops use, each in a small one."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from zoo.language import VOCAB, WIDTH, Gpt, next_token_batch, next_token_loss


def device_by_hand():
    """The user's code moves its tensors to where the model is."""

    def loss(model, batch):
        device = next(model.parameters()).device
        tokens, targets = (part.to(device, non_blocking=True) for part in batch)
        logits = model(tokens)
        mask = torch.ones(tokens.shape, device=device)
        each = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        return (each * mask.flatten()).sum() / mask.sum()

    return Gpt(), next_token_batch, loss


class Ragged(nn.Module):
    """Layers over samples of their own lengths in one nested tensor.

    Without attention: on the CPU, PyTorch built for CUDA asks a driver which kernel takes it.
    """

    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(VOCAB, WIDTH)
        self.wide, self.narrow = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.norm, self.out = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCAB)

    def forward(self, rows, lengths):
        offsets = torch.cat((lengths.new_zeros(1), lengths.cumsum(0)))
        x = torch.nested.nested_tensor_from_jagged(self.tokens(rows), offsets)
        x = x + self.narrow(F.gelu(self.wide(self.norm(x))))
        return self.out(x).values()


def nested_tensors():
    """Samples in a jagged nested tensor."""

    def make_batch(batch_size):
        lengths = torch.tensor([16 + 8 * (i % 4) for i in range(batch_size)])
        return torch.randint(VOCAB, (int(lengths.sum()),)), lengths

    def loss(model, batch):
        rows, lengths = batch
        return F.cross_entropy(model(rows, lengths), rows)

    return Ragged(), make_batch, loss


def sparse_table():
    """A table with sparse gradients."""

    class Bag(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = nn.Embedding(20000, 64, sparse=True)
            self.head = nn.Linear(64, 20)

        def forward(self, tokens):
            return self.head(self.tokens(tokens).mean(1))

    def make_batch(batch_size):
        rows = torch.arange(batch_size)
        return (rows[:, None] * 31 + torch.arange(64)) % 20000, rows % 20

    def loss(model, batch):
        tokens, labels = batch
        return F.cross_entropy(model(tokens), labels)

    return Bag(), make_batch, loss


def complex_numbers():
    """Rotations by complex numbers, as Llama's first code has them."""

    class Rotated(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = nn.Embedding(VOCAB, WIDTH)
            self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, VOCAB)
            rates = 1.0 / 10000 ** (torch.arange(0, WIDTH // 4, 2).float() / (WIDTH // 4))
            angles = torch.outer(torch.arange(64).float(), rates)
            self.register_buffer("turns", torch.polar(torch.ones_like(angles), angles))

        def _turn(self, x):
            pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
            return torch.view_as_real(pairs * self.turns[:, None]).flatten(-2).type_as(x)

        def forward(self, tokens):
            q, k, v = (
                part.unflatten(-1, (4, -1)) for part in self.qkv(self.tokens(tokens)).chunk(3, -1)
            )
            q, k = self._turn(q).transpose(1, 2), self._turn(k).transpose(1, 2)
            y = F.scaled_dot_product_attention(q, k, v.transpose(1, 2), is_causal=True)
            return self.out(y.transpose(1, 2).flatten(-2))

    return Rotated(), next_token_batch, next_token_loss
