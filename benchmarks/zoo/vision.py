"""Image models beyond those that libraries bring by name."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

CLASSES, SIZE = 50, 64


def _labelled(batch_size):
    return torch.rand(batch_size, 3, SIZE, SIZE), torch.randint(CLASSES, (batch_size,))


def _classify(model, batch):
    images, labels = batch
    scores = model(images)
    return F.cross_entropy(scores, labels), scores


class Vit(nn.Module):
    """Patches, a class token, PyTorch's own encoder layers."""

    def __init__(self, width=128, layers=3, patch=8):
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.randn(1, (SIZE // patch) ** 2 + 1, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, 4, 4 * width, 0.1, F.gelu, batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width))
        self.head = nn.Linear(width, CLASSES)

    def forward(self, images):
        x = self.patches(images).flatten(2).transpose(1, 2)
        x = torch.cat((self.token.expand(len(x), -1, -1), x), 1) + self.positions
        return self.head(self.encoder(x)[:, 0])


def vit():
    """A small vision transformer."""
    return Vit(), _labelled, _classify


def vit_mixup():
    """Images and labels mixed with those of another sample."""

    def loss(model, batch):
        images, labels = batch
        share = 0.3
        order = torch.randperm(images.size(0), device=images.device)
        soft = F.one_hot(labels, CLASSES).float()
        mixed = share * images + (1 - share) * images[order]
        scores = model(mixed)
        soft = share * soft + (1 - share) * soft[order]
        return -(soft * scores.log_softmax(1)).sum(1).mean()

    return Vit(), _labelled, loss


class MixerBlock(nn.Module):
    """One mlp over positions, one over features."""

    def __init__(self, positions, width):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.tokens = nn.Sequential(nn.Linear(positions, 128), nn.GELU(), nn.Linear(128, positions))
        self.features = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x):
        x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.features(self.norm2(x))


class Mixer(nn.Module):
    """Patches and mixer blocks."""

    def __init__(self, width=128, layers=4):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 8, 8)
        self.blocks = nn.Sequential(*(MixerBlock(64, width) for _ in range(layers)))
        self.head = nn.Linear(width, CLASSES)

    def forward(self, images):
        x = self.patches(images).flatten(2).transpose(1, 2)
        return self.head(self.blocks(x).mean(1))


def mlp_mixer():
    """An mlp mixer."""
    return Mixer(), _labelled, _classify


class ConvNextBlock(nn.Module):
    """Depthwise convolution, norm over channels, layer scale, stochastic depth."""

    def __init__(self, width, drop):
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.scale = nn.Parameter(1e-6 * torch.ones(width))
        self.drop = drop

    def forward(self, x):
        h = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        h = (self.scale * self.down(F.gelu(self.up(h)))).permute(0, 3, 1, 2)
        if self.training and self.drop:
            keep = 1 - self.drop
            h = h.div(keep) * h.new_empty(len(h), 1, 1, 1).bernoulli_(keep)
        return x + h


def convnext():
    """A small ConvNeXt."""
    model = nn.Sequential(
        nn.Conv2d(3, 48, 4, 4), ConvNextBlock(48, 0.0), ConvNextBlock(48, 0.1),
        nn.GroupNorm(1, 48), nn.Conv2d(48, 96, 2, 2), ConvNextBlock(96, 0.1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(96), nn.Linear(96, CLASSES),
    )  # fmt: skip
    return model, _labelled, _classify


class InvertedResidual(nn.Module):
    """Expand, depthwise, squeeze and excite, project."""

    def __init__(self, inputs, outputs, stride=1, expand=4):
        super().__init__()
        inner = inputs * expand
        self.shortcut = stride == 1 and inputs == outputs
        self.expand = nn.Sequential(
            nn.Conv2d(inputs, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.SiLU(inplace=True),
            nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False),
            nn.BatchNorm2d(inner), nn.SiLU(inplace=True),
        )  # fmt: skip
        self.excite = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(inner, inputs // 4, 1), nn.SiLU(inplace=True),
            nn.Conv2d(inputs // 4, inner, 1), nn.Sigmoid(),
        )  # fmt: skip
        self.project = nn.Sequential(
            nn.Conv2d(inner, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        )

    def forward(self, x):
        h = self.expand(x)
        h = self.project(h * self.excite(h))
        return x + h if self.shortcut else h


def efficientnet():
    """A small EfficientNet."""
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.SiLU(inplace=True),
        InvertedResidual(16, 16), InvertedResidual(16, 24, 2), InvertedResidual(24, 24),
        InvertedResidual(24, 40, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2),
        nn.Linear(40, CLASSES),
    )  # fmt: skip
    return model, _labelled, _classify


class Perceiver(nn.Module):
    """A few latents read a long row of pixels, again and again with the same weights."""

    def __init__(self, width=64, latents=32):
        super().__init__()
        self.latents = nn.Parameter(torch.randn(latents, width) * 0.02)
        self.positions = nn.Parameter(torch.randn(SIZE * SIZE // 4, width - 3) * 0.02)
        self.read = nn.MultiheadAttention(width, 1, batch_first=True)
        self.think = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.0, batch_first=True)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, images):
        pixels = F.avg_pool2d(images, 2).flatten(2).transpose(1, 2)
        positions = self.positions.expand(len(pixels), -1, -1)
        pixels = torch.cat((pixels, positions), -1)
        x = self.latents.expand(len(pixels), -1, -1)
        for _ in range(3):
            x = x + self.read(x, pixels, pixels, need_weights=False)[0]
            x = self.think(x)
        return self.head(x.mean(1))


def perceiver():
    """A Perceiver over pixels."""
    return Perceiver(), _labelled, _classify


class Masked(nn.Module):
    """An autoencoder that sees a quarter of the patches and predicts the others."""

    def __init__(self, width=96, patch=8):
        super().__init__()
        self.patch = patch
        self.enter = nn.Linear(3 * patch * patch, width)
        self.encoder, self.decoder = (
            nn.TransformerEncoder(
                nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, batch_first=True), layers
            )
            for layers in (3, 1)
        )
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.randn(1, (SIZE // patch) ** 2, width) * 0.02)
        self.leave = nn.Linear(width, 3 * patch * patch)

    def forward(self, images):
        n, p = len(images), self.patch
        patches = F.unfold(images, p, stride=p).transpose(1, 2)
        length = patches.size(1)
        order = torch.rand(n, length, device=images.device).argsort(dim=1)
        back, kept = order.argsort(dim=1), length // 4
        x = self.enter(patches) + self.positions
        index = order[:, :kept, None].expand(-1, -1, x.size(-1))
        seen = self.encoder(torch.gather(x, 1, index))
        full = torch.cat((seen, self.mask_token.expand(n, length - kept, -1)), 1)
        full = torch.gather(full, 1, back[:, :, None].expand(-1, -1, x.size(-1)))
        mask = torch.ones(n, length, device=images.device)
        mask[:, :kept] = 0
        return self.leave(self.decoder(full + self.positions)), patches, mask.gather(1, back)


def masked_autoencoder():
    """Mean squared error over the patches that were hidden."""

    def make_batch(batch_size):
        return torch.rand(batch_size, 3, SIZE, SIZE)

    def loss(model, images):
        made, patches, mask = model(images)
        return (((made - patches) ** 2).mean(-1) * mask).sum() / mask.sum()

    return Masked(), make_batch, loss
