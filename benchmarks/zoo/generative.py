"""Models that make images: diffusion, autoencoders, flows, adversarial pairs."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

STEPS = 1000


def timestep_features(steps, size):
    """Return sines and cosines of the steps."""
    half = size // 2
    rates = torch.exp(-math.log(10000) * torch.arange(half, device=steps.device) / half)
    angles = steps[:, None].float() * rates[None]
    return torch.cat((angles.cos(), angles.sin()), dim=-1)


class ResBlock(nn.Module):
    """Two convolutions; the time is added between them."""

    def __init__(self, inputs, outputs, time):
        super().__init__()
        self.enter = nn.Sequential(
            nn.GroupNorm(8, inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1)
        )
        self.time = nn.Sequential(nn.SiLU(), nn.Linear(time, outputs))
        self.leave = nn.Sequential(
            nn.GroupNorm(8, outputs), nn.SiLU(), nn.Dropout(0.1),
            nn.Conv2d(outputs, outputs, 3, padding=1),
        )  # fmt: skip
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x, time):
        h = self.enter(x) + self.time(time)[:, :, None, None]
        return self.skip(x) + self.leave(h)


class CrossAttention(nn.Module):
    """Image positions attend to each other, then to the text."""

    def __init__(self, width, context, heads=4):
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.own = nn.MultiheadAttention(width, heads, batch_first=True)
        self.text = nn.MultiheadAttention(
            width, heads, kdim=context, vdim=context, batch_first=True
        )
        self.gate, self.down = nn.Linear(width, 8 * width), nn.Linear(4 * width, width)

    def forward(self, x, context):
        n, width, high, wide = x.shape
        h = self.norm(x).flatten(2).transpose(1, 2)
        y = self.norms[0](h)
        h = h + self.own(y, y, y, need_weights=False)[0]
        h = h + self.text(self.norms[1](h), context, context, need_weights=False)[0]
        value, gate = self.gate(self.norms[2](h)).chunk(2, -1)
        h = h + self.down(value * F.gelu(gate))
        return x + h.transpose(1, 2).reshape(n, width, high, wide)


class DiffusionUnet(nn.Module):
    """Down, middle and up, each with residual blocks and cross attention."""

    def __init__(self, width=32, channels=4, context=64):
        super().__init__()
        time = 4 * width
        self.width = width
        self.time = nn.Sequential(nn.Linear(width, time), nn.SiLU(), nn.Linear(time, time))
        self.enter = nn.Conv2d(channels, width, 3, padding=1)
        self.down1, self.look1 = ResBlock(width, width, time), CrossAttention(width, context)
        self.shrink = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.down2 = ResBlock(width, 2 * width, time)
        self.look2 = CrossAttention(2 * width, context)
        self.middle = ResBlock(2 * width, 2 * width, time)
        self.up2 = ResBlock(4 * width, 2 * width, time)
        self.grow = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.up1 = ResBlock(3 * width, width, time)
        self.leave = nn.Sequential(
            nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, channels, 3, padding=1)
        )

    def forward(self, x, steps, context):
        time = self.time(timestep_features(steps, self.width))
        first = self.look1(self.down1(self.enter(x), time), context)
        second = self.look2(self.down2(self.shrink(first), time), context)
        h = self.middle(second, time)
        h = self.up2(torch.cat((h, second), 1), time)
        h = self.grow(F.interpolate(h, scale_factor=2.0, mode="nearest"))
        return self.leave(self.up1(torch.cat((h, first), 1), time))


def _noised(images, steps):
    """Add as much noise as the step says."""
    kept = torch.cos(steps.float() / STEPS * math.pi / 2).square()[:, None, None, None]
    noise = torch.randn_like(images)
    return kept.sqrt() * images + (1 - kept).sqrt() * noise, noise


def stable_diffusion_unet():
    """Predict the noise in latents under a text."""

    def make_batch(batch_size):
        return {
            "latents": torch.randn(batch_size, 4, 32, 32),
            "text": torch.randn(batch_size, 20, 64),
        }

    def loss(model, batch):
        latents = batch["latents"]
        steps = torch.randint(0, STEPS, (latents.size(0),), device=latents.device)
        noised, noise = _noised(latents, steps)
        predicted = model(noised, steps, batch["text"])
        return F.mse_loss(predicted.float(), noise.float(), reduction="mean")

    return DiffusionUnet(), make_batch, loss


class DitBlock(nn.Module):
    """Attention and mlp, shifted, scaled and gated by the condition."""

    def __init__(self, width, heads=4):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.qkv, self.out, self.heads = nn.Linear(width, 3 * width), nn.Linear(width, width), heads
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width)
        )
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x, condition):
        shift1, scale1, gate1, shift2, scale2, gate2 = (
            self.modulation(condition).unsqueeze(1).chunk(6, dim=-1)
        )
        x = x + gate1 * self._attend(self.norm1(x) * (1 + scale1) + shift1)
        return x + gate2 * self.mlp(self.norm2(x) * (1 + scale2) + shift2)

    def _attend(self, x):
        n, length, width = x.shape
        q, k, v = self.qkv(x).reshape(n, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v)
        return self.out(y.transpose(1, 2).reshape(n, length, width))


class Dit(nn.Module):
    """A transformer over patches of the latents, conditioned on step and class."""

    def __init__(self, width=128, layers=3, classes=10):
        super().__init__()
        self.patches = nn.Conv2d(4, width, 2, stride=2)
        self.positions = nn.Parameter(torch.zeros(1, 256, width), requires_grad=False)
        self.time = nn.Sequential(nn.Linear(64, width), nn.SiLU(), nn.Linear(width, width))
        self.label = nn.Embedding(classes + 1, width)
        self.blocks = nn.ModuleList(DitBlock(width) for _ in range(layers))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.out = nn.Linear(width, 2 * 2 * 4)
        self.classes = classes
        nn.init.zeros_(self.out.weight)

    def forward(self, x, steps, labels):
        n, channels, high, wide = x.shape
        dropped = torch.rand(n, device=x.device) < 0.1
        condition = self.time(timestep_features(steps, 64))
        condition = condition + self.label(torch.where(dropped, self.classes, labels))
        h = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        for block in self.blocks:
            h = block(h, condition)
        h = self.out(self.norm(h)).reshape(n, high // 2, wide // 2, 2, 2, channels)
        return torch.einsum("nhwpqc->nchpwq", h).reshape(n, channels, high, wide)


def dit():
    """Diffusion transformer with adaptive norms; the error is averaged per sample."""

    def make_batch(batch_size):
        return torch.randn(batch_size, 4, 32, 32), torch.randint(10, (batch_size,))

    def loss(model, batch):
        latents, labels = batch
        steps = torch.randint(0, STEPS, (latents.size(0),), device=latents.device)
        noised, noise = _noised(latents, steps)
        error = (noise - model(noised, steps, labels)) ** 2
        return error.mean(dim=list(range(1, error.dim()))).mean()

    return Dit(), make_batch, loss


class Vae(nn.Module):
    """Convolutions down to a mean and a variance, and up again."""

    def __init__(self, width=32, latent=64):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, width, 4, 2, 1), nn.BatchNorm2d(width), nn.LeakyReLU(),
            nn.Conv2d(width, 2 * width, 4, 2, 1), nn.BatchNorm2d(2 * width), nn.LeakyReLU(),
            nn.Flatten(), nn.Linear(2 * width * 64, 2 * latent),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Linear(latent, 2 * width * 64), nn.Unflatten(1, (2 * width, 8, 8)),
            nn.ConvTranspose2d(2 * width, width, 4, 2, 1), nn.BatchNorm2d(width), nn.LeakyReLU(),
            nn.ConvTranspose2d(width, 3, 4, 2, 1), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, x):
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        latent = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        return self.decoder(latent), mean, log_variance


def _images(batch_size, size=32):
    return torch.rand(batch_size, 3, size, size)


def vae():
    """Binary cross entropy and the divergence from a normal distribution."""

    def loss(model, images):
        made, mean, log_variance = model(images)
        divergence = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
        return F.binary_cross_entropy(made, images, reduction="sum") + divergence

    return Vae(), _images, loss


class VectorQuantizer(nn.Module):
    """The nearest entry of a table, with the gradient passed straight through."""

    def __init__(self, entries=256, width=64):
        super().__init__()
        self.table = nn.Embedding(entries, width)

    def forward(self, z):
        n, width, high, wide = z.shape
        flat = z.permute(0, 2, 3, 1).reshape(-1, width)
        distances = (
            flat.pow(2).sum(1, keepdim=True)
            - 2 * flat @ self.table.weight.t()
            + self.table.weight.pow(2).sum(1)
        )
        nearest = distances.argmin(1)
        hot = F.one_hot(nearest, self.table.num_embeddings).to(flat.dtype)
        usage = hot.mean(0)
        chosen = self.table(nearest).view(n, high, wide, width).permute(0, 3, 1, 2)
        loss = F.mse_loss(chosen, z.detach()) + 0.25 * F.mse_loss(z, chosen.detach())
        perplexity = torch.exp(-(usage * (usage + 1e-10).log()).sum())
        return z + (chosen - z).detach(), loss, perplexity


class VqVae(nn.Module):
    """An autoencoder through a table of vectors."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 4, 2, 1), nn.ReLU(inplace=True),
            nn.Conv2d(64, 64, 3, padding=1),
        )  # fmt: skip
        self.quantizer = VectorQuantizer()
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(32, 3, 4, 2, 1)
        )

    def forward(self, x):
        quantized, loss, perplexity = self.quantizer(self.encoder(x))
        return self.decoder(quantized), loss, perplexity


def vq_vae():
    """Reconstruction and commitment losses."""

    def loss(model, images):
        made, extra, perplexity = model(images)
        return F.mse_loss(made, images) + extra, perplexity

    return VqVae(), _images, loss
