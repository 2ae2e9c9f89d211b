"""Contrastive and self-supervised training."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional as F

SIZE, WIDTH = 64, 128


def _encoder(outputs=WIDTH):
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(inplace=True),
        nn.Conv2d(32, 64, 3, 2, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True),
        nn.Conv2d(64, 128, 3, 2, 1, bias=False), nn.BatchNorm2d(128), nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, outputs),
    )  # fmt: skip


def _head(inputs=WIDTH, outputs=64):
    return nn.Sequential(
        nn.Linear(inputs, 256), nn.BatchNorm1d(256), nn.ReLU(inplace=True), nn.Linear(256, outputs)
    )


def _views(batch_size):
    return torch.rand(2, batch_size, 3, SIZE, SIZE)


def simclr():
    """Both views of all samples against each other, without oneself."""

    def loss(model, views):
        made = F.normalize(model(views.flatten(0, 1)), dim=1)
        count = made.size(0)
        scores = made @ made.t() / 0.5
        scores = scores[~torch.eye(count, dtype=torch.bool, device=made.device)].view(count, -1)
        half = torch.arange(count // 2, device=made.device)
        wanted = torch.cat((half + count // 2 - 1, half))
        return F.cross_entropy(scores, wanted)

    return nn.Sequential(_encoder(), _head()), _views, loss


class Moco(nn.Module):
    """A slow copy of the encoder and a queue of its outputs."""

    def __init__(self, queue=2048, width=64):
        super().__init__()
        self.fast = nn.Sequential(_encoder(), _head(outputs=width))
        self.slow = copy.deepcopy(self.fast).requires_grad_(False)
        self.register_buffer("queue", F.normalize(torch.randn(width, queue), dim=0))
        self.register_buffer("place", torch.zeros(1, dtype=torch.long))

    @torch.no_grad()
    def _follow(self):
        for fast, slow in zip(self.fast.parameters(), self.slow.parameters(), strict=True):
            slow.data = slow.data * 0.999 + fast.data * 0.001

    @torch.no_grad()
    def _enqueue(self, keys):
        place = int(self.place)
        self.queue[:, place : place + len(keys)] = keys.t()
        self.place[0] = (place + len(keys)) % self.queue.size(1)

    def forward(self, views):
        query = F.normalize(self.fast(views[0]), dim=1)
        with torch.no_grad():
            self._follow()
            keys = F.normalize(self.slow(views[1]), dim=1)
        near = torch.einsum("nc,nc->n", query, keys).unsqueeze(-1)
        far = torch.einsum("nc,ck->nk", query, self.queue.clone().detach())
        self._enqueue(keys)
        return torch.cat((near, far), 1) / 0.07


def moco():
    """A query against its key and the queue."""

    def loss(model, views):
        scores = model(views)
        wanted = torch.zeros(len(scores), dtype=torch.long, device=scores.device)
        return F.cross_entropy(scores, wanted)

    return Moco(), _views, loss


class Byol(nn.Module):
    """An online branch predicts what a slow one makes of the other view."""

    def __init__(self):
        super().__init__()
        self.online = nn.Sequential(_encoder(), _head())
        self.predictor = _head(64, 64)
        self.target = copy.deepcopy(self.online)
        for parameter in self.target.parameters():
            parameter.requires_grad = False

    @torch.no_grad()
    def follow(self):
        """Move the slow branch by one per cent towards the fast one."""
        for fast, slow in zip(self.online.parameters(), self.target.parameters(), strict=True):
            slow.mul_(0.99).add_(fast, alpha=0.01)


def byol():
    """Symmetric regression of normalised outputs."""

    def loss(model, views):
        made = [F.normalize(model.predictor(model.online(view)), dim=-1) for view in views]
        with torch.no_grad():
            model.follow()
            wanted = [F.normalize(model.target(view), dim=-1) for view in views]
        first = 2 - 2 * (made[0] * wanted[1]).sum(-1)
        second = 2 - 2 * (made[1] * wanted[0]).sum(-1)
        return (first + second).mean()

    return Byol(), _views, loss


def barlow_twins():
    """The correlation of two views' features is to be the identity."""

    def loss(model, views):
        one, other = (F.batch_norm(model(v), None, None, training=True) for v in views)
        matrix = one.t() @ other / len(one)
        diagonal = torch.diagonal(matrix)
        rest = matrix.flatten()[:-1].view(len(matrix) - 1, -1)[:, 1:]
        return (diagonal - 1).pow(2).sum() + 0.005 * rest.pow(2).sum()

    return nn.Sequential(_encoder(), _head(outputs=256)), _views, loss


def triplet():
    """Anchor, positive and negative through one network."""

    def make_batch(batch_size):
        return torch.rand(3, batch_size, 3, SIZE, SIZE)

    def loss(model, batch):
        anchor, positive, negative = (model(images) for images in batch)
        return F.triplet_margin_loss(anchor, positive, negative, margin=1.0)

    return _encoder(), make_batch, loss


def hard_triplets():
    """The furthest positive and the nearest negative of each sample in the batch."""

    def make_batch(batch_size):
        return torch.rand(batch_size, 3, SIZE, SIZE), torch.arange(batch_size) // 2

    def loss(model, batch):
        images, labels = batch
        made = model(images)
        distances = torch.cdist(made, made)
        same = labels[:, None] == labels[None, :]
        furthest = distances.masked_fill(~same, 0).max(1).values
        nearest = distances.masked_fill(same, float("inf")).min(1).values
        return F.relu(furthest - nearest + 0.3).mean()

    return _encoder(), make_batch, loss


def siamese():
    """Pairs that are of one class or not."""

    def make_batch(batch_size):
        return torch.rand(2, batch_size, 3, SIZE, SIZE), (torch.arange(batch_size) % 2).float()

    def loss(model, batch):
        (first, second), same = batch
        distance = F.pairwise_distance(model(first), model(second))
        return (same * distance.square() + (1 - same) * F.relu(1 - distance).square()).mean()

    return _encoder(), make_batch, loss


class ImageText(nn.Module):
    """An image and a text encoder, and a learned temperature."""

    def __init__(self, vocab=1000, length=24):
        super().__init__()
        self.image = _encoder()
        self.tokens = nn.Embedding(vocab, WIDTH)
        self.positions = nn.Parameter(torch.randn(length, WIDTH) * 0.02)
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, 0.0, batch_first=True)
        self.text = nn.TransformerEncoder(layer, 2)
        self.scale = nn.Parameter(torch.tensor(2.6593))

    def forward(self, images, tokens):
        h = self.text(self.tokens(tokens) + self.positions)
        last = tokens.argmax(-1)
        text = h[torch.arange(len(h), device=h.device), last]
        image, text = F.normalize(self.image(images), dim=-1), F.normalize(text, dim=-1)
        return self.scale.exp() * image @ text.t()


def image_text():
    """Contrast in both directions, after CLIP."""

    def make_batch(batch_size):
        return torch.rand(batch_size, 3, SIZE, SIZE), torch.randint(1000, (batch_size, 24))

    def loss(model, batch):
        scores = model(*batch)
        wanted = torch.arange(len(scores), device=scores.device)
        return (F.cross_entropy(scores, wanted) + F.cross_entropy(scores.t(), wanted)) / 2

    return ImageText(), make_batch, loss
