"""Recommenders and tables."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

USERS, ITEMS, WIDTH = 4000, 6000, 32


class Dlrm(nn.Module):
    """Bags of sparse features and dense ones, all pairs multiplied."""

    def __init__(self, tables=4, rows=3000, sparse=False):
        super().__init__()
        self.tables = nn.ModuleList(
            nn.EmbeddingBag(rows, WIDTH, mode="sum", sparse=sparse) for _ in range(tables)
        )
        self.bottom = nn.Sequential(nn.Linear(13, 128), nn.ReLU(), nn.Linear(128, WIDTH), nn.ReLU())
        pairs = (tables + 1) * tables // 2
        self.top = nn.Sequential(nn.Linear(pairs + WIDTH, 256), nn.ReLU(), nn.Linear(256, 1))
        row, column = torch.tril_indices(tables + 1, tables + 1, offset=-1)
        self.register_buffer("row", row)
        self.register_buffer("column", column)

    def forward(self, dense, indices, offsets):
        dense = self.bottom(dense)
        bags = [t(i, o) for t, i, o in zip(self.tables, indices, offsets, strict=True)]
        parts = torch.stack([dense, *bags], 1)
        products = torch.bmm(parts, parts.transpose(1, 2))[:, self.row, self.column]
        return self.top(torch.cat((dense, products), 1)).squeeze(1)


def _clicks(batch_size):
    counts = 1 + torch.arange(batch_size) % 5
    ends = counts.cumsum(0)
    total = int(ends[-1])
    return {
        "dense": torch.rand(batch_size, 13),
        "indices": [torch.arange(total) * (7 + k) % 3000 for k in range(4)],
        "offsets": [ends - counts for _ in range(4)],
        "clicked": (torch.arange(batch_size) % 2).float(),
    }


def _click_loss(model, batch):
    scores = model(batch["dense"], batch["indices"], batch["offsets"])
    return F.binary_cross_entropy_with_logits(scores, batch["clicked"])


def dlrm():
    """Embedding bags with offsets."""
    return Dlrm(), _clicks, _click_loss


def dlrm_sparse():
    """The same with sparse gradients of the tables."""
    return Dlrm(sparse=True), _clicks, _click_loss


class TwoTower(nn.Module):
    """Users and items into one space."""

    def __init__(self):
        super().__init__()
        self.users, self.items = nn.Embedding(USERS, WIDTH), nn.Embedding(ITEMS, WIDTH)
        self.genres = nn.EmbeddingBag(30, WIDTH, mode="mean", padding_idx=0)
        self.user, self.item = (
            nn.Sequential(nn.Linear(n * WIDTH, 128), nn.ReLU(), nn.Linear(128, 64)) for n in (1, 2)
        )

    def forward(self, users, items, genres):
        item = torch.cat((self.items(items), self.genres(genres)), -1)
        return F.normalize(self.user(self.users(users)), dim=-1), F.normalize(
            self.item(item), dim=-1
        )


def two_tower():
    """The other samples' items are the negatives, corrected by how often they come."""

    def make_batch(batch_size):
        rows = torch.arange(batch_size)
        genres = (rows[:, None] * 3 + torch.arange(4)) % 30
        return rows % USERS, rows * 5 % ITEMS, genres, torch.rand(batch_size)

    def loss(model, batch):
        users, items, genres, frequency = batch
        user, item = model(users, items, genres)
        scores = user @ item.t() / 0.05 - (frequency + 1e-6).log()
        return F.cross_entropy(scores, torch.arange(len(users), device=users.device))

    return TwoTower(), make_batch, loss


class Sasrec(nn.Module):
    """Self-attention over what a user has seen."""

    def __init__(self, width=64, length=50, layers=2):
        super().__init__()
        self.items = nn.Embedding(ITEMS, width, padding_idx=0)
        self.positions = nn.Embedding(length, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-8) for _ in range(2 * layers + 1))
        self.attentions = nn.ModuleList(nn.MultiheadAttention(width, 2, 0.2) for _ in range(layers))
        self.feeds = nn.ModuleList(
            nn.Sequential(nn.Conv1d(width, width, 1), nn.Dropout(0.2), nn.ReLU(),
                          nn.Conv1d(width, width, 1), nn.Dropout(0.2)) for _ in range(layers)
        )  # fmt: skip

    def forward(self, seen):
        length = seen.size(1)
        x = self.items(seen) * self.items.embedding_dim**0.5
        x = x + self.positions(torch.arange(length, device=seen.device))
        empty = (seen == 0).unsqueeze(-1)
        x = F.dropout(x, 0.2, self.training).masked_fill(empty, 0)
        mask = ~torch.ones(length, length, dtype=torch.bool, device=seen.device).tril()
        for i, (attention, feed) in enumerate(zip(self.attentions, self.feeds, strict=True)):
            x = x.transpose(0, 1)
            x = (x + attention(self.norms[2 * i](x), x, x, attn_mask=mask)[0]).transpose(0, 1)
            h = self.norms[2 * i + 1](x)
            x = (h + feed(h.transpose(1, 2)).transpose(1, 2)).masked_fill(empty, 0)
        return self.norms[-1](x)


def sasrec():
    """One positive and one negative item per position, over those that are not padding."""

    def make_batch(batch_size):
        rows = torch.randint(1, ITEMS, (3, batch_size, 50))
        padding = torch.arange(50)[None, :] < 10 * (torch.arange(batch_size)[:, None] % 4)
        return rows.masked_fill(padding, 0)

    def loss(model, batch):
        seen, positive, negative = batch
        h = model(seen)
        high = (h * model.items(positive)).sum(-1)
        low = (h * model.items(negative)).sum(-1)
        rows = torch.where(positive != 0)
        loss = F.binary_cross_entropy_with_logits(high[rows], torch.ones_like(high[rows]))
        return loss + F.binary_cross_entropy_with_logits(low[rows], torch.zeros_like(low[rows]))

    return Sasrec(), make_batch, loss


class Ncf(nn.Module):
    """A product and an mlp of the same pair, joined."""

    def __init__(self):
        super().__init__()
        self.user1, self.user2 = (nn.Embedding(USERS, WIDTH) for _ in range(2))
        self.item1, self.item2 = (nn.Embedding(ITEMS, WIDTH) for _ in range(2))
        self.mlp = nn.Sequential(nn.Linear(2 * WIDTH, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())
        self.head = nn.Linear(WIDTH + 32, 1)

    def forward(self, users, items):
        product = self.user1(users) * self.item1(items)
        deep = self.mlp(torch.cat((self.user2(users), self.item2(items)), -1))
        return self.head(torch.cat((product, deep), -1)).squeeze(-1)


def _pairs(batch_size):
    rows = torch.arange(batch_size)
    return rows * 3 % USERS, rows * 7 % ITEMS, (rows % 5 == 0).float()


def _pair_loss(model, batch):
    users, items, clicked = batch
    return F.binary_cross_entropy_with_logits(model(users, items), clicked)


def ncf():
    """Neural collaborative filtering."""
    return Ncf(), _pairs, _pair_loss


def matrix_factorization():
    """Means squared error on ratings with biases per user and item."""

    class Factors(nn.Module):
        def __init__(self):
            super().__init__()
            self.users, self.items = nn.Embedding(USERS, WIDTH), nn.Embedding(ITEMS, WIDTH)
            self.user_bias, self.item_bias = nn.Embedding(USERS, 1), nn.Embedding(ITEMS, 1)

        def forward(self, users, items):
            product = (self.users(users) * self.items(items)).sum(1)
            return product + (self.user_bias(users) + self.item_bias(items)).squeeze(1)

    def loss(model, batch):
        users, items, rating = batch
        return F.mse_loss(model(users, items), rating)

    return Factors(), _pairs, loss


class FactorizationMachine(nn.Module):
    """One table for all fields; pairs by the square of the sum."""

    def __init__(self, fields=10, values=500):
        super().__init__()
        self.linear, self.factors = (nn.Embedding(fields * values, n) for n in (1, 16))
        self.register_buffer("offsets", torch.arange(fields) * values)
        self.deep = nn.Sequential(
            nn.Linear(fields * 16, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.2),
            nn.Linear(128, 1),
        )  # fmt: skip

    def forward(self, x):
        x = x + self.offsets
        factors = self.factors(x)
        pairs = 0.5 * (factors.sum(1).square() - factors.square().sum(1)).sum(1, keepdim=True)
        return (self.linear(x).sum(1) + pairs + self.deep(factors.flatten(1))).squeeze(1)


def deep_fm():
    """A deep factorization machine."""

    def make_batch(batch_size):
        rows = torch.arange(batch_size)
        return (rows[:, None] * torch.arange(1, 11)) % 500, (rows % 3 == 0).float()

    def loss(model, batch):
        x, clicked = batch
        return F.binary_cross_entropy(torch.sigmoid(model(x)), clicked)

    return FactorizationMachine(), make_batch, loss


class TabTransformer(nn.Module):
    """Columns of categories attend to each other; numbers are joined after."""

    def __init__(self, categories=(10, 20, 50, 7, 12), numbers=6, width=64):
        super().__init__()
        self.columns = nn.ModuleList(nn.Embedding(n, width) for n in categories)
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, 0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.norm = nn.LayerNorm(numbers)
        self.head = nn.Sequential(
            nn.Linear(len(categories) * width + numbers, 128), nn.SELU(), nn.Linear(128, 2)
        )

    def forward(self, categories, numbers):
        x = torch.stack([t(categories[:, i]) for i, t in enumerate(self.columns)], 1)
        return self.head(torch.cat((self.encoder(x).flatten(1), self.norm(numbers)), 1))


def tab_transformer():
    """Tables with weighted classes."""

    def make_batch(batch_size):
        rows = torch.arange(batch_size)
        return (
            rows[:, None] % torch.tensor([10, 20, 50, 7, 12]),
            torch.randn(batch_size, 6),
            rows % 2,
        )

    def loss(model, batch):
        categories, numbers, labels = batch
        weight = torch.tensor([1.0, 4.0], device=numbers.device)
        return F.cross_entropy(model(categories, numbers), labels, weight=weight)

    return TabTransformer(), make_batch, loss
