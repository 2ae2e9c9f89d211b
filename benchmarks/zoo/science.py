"""Physics, fields, flows and gradients of gradients."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F


def _mlp(*widths, activation=nn.Tanh):
    layers = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1])


def physics_informed():
    """Burgers' equation: second derivatives of the network in its input."""

    def make_batch(batch_size):
        inside = torch.rand(batch_size, 2)
        edge = torch.rand(batch_size // 4, 2)
        return inside, edge, -torch.sin(math.pi * edge[:, :1])

    def loss(model, batch):
        inside, edge, wanted = batch
        inside = inside.requires_grad_(True)
        u = model(inside)
        first = torch.autograd.grad(u, inside, torch.ones_like(u), create_graph=True)[0]
        u_x, u_t = first[:, :1], first[:, 1:]
        u_xx = torch.autograd.grad(u_x, inside, torch.ones_like(u_x), create_graph=True)[0][:, :1]
        residual = u_t + u * u_x - 0.01 / math.pi * u_xx
        return residual.pow(2).mean() + F.mse_loss(model(edge), wanted)

    return _mlp(2, 128, 128, 128, 1), make_batch, loss


def meta_learning():
    """MAML: one step on each task inside, the gradient through it outside."""

    def make_batch(batch_size):
        return torch.rand(batch_size, 20, 1), torch.rand(batch_size, 20, 1)

    def loss(model, batch):
        total = 0.0
        for x, y in zip(*batch, strict=True):
            weights = dict(model.named_parameters())
            inner = F.mse_loss(functional_call(model, weights, (x[:10],)), y[:10])
            steps = torch.autograd.grad(inner, tuple(weights.values()), create_graph=True)
            fast = {
                name: weight - 0.01 * step
                for (name, weight), step in zip(weights.items(), steps, strict=True)
            }
            total = total + F.mse_loss(functional_call(model, fast, (x[10:],)), y[10:])
        return total / len(batch[0])

    return _mlp(1, 128, 128, 1, activation=nn.ReLU), make_batch, loss


def meta_learning_vmap():
    """The same with torch.func: all tasks at once."""

    def make_batch(batch_size):
        return torch.rand(batch_size, 20, 1), torch.rand(batch_size, 20, 1)

    def loss(model, batch):
        weights = dict(model.named_parameters())

        def error(weights, x, y):
            return ((functional_call(model, weights, (x,)) - y) ** 2).mean()

        def task(x, y):
            steps = grad(error)(weights, x[:10], y[:10])
            fast = {name: weight - 0.01 * steps[name] for name, weight in weights.items()}
            return error(fast, x[10:], y[10:])

        return vmap(task)(*batch).mean()

    return _mlp(1, 128, 128, 1, activation=nn.ReLU), make_batch, loss


class Flow(nn.Module):
    """A field that is integrated in steps of Runge and Kutta."""

    def __init__(self, width=64):
        super().__init__()
        self.enter = nn.Linear(16, width)
        self.field = _mlp(width + 1, 128, width, activation=nn.Softplus)
        self.head = nn.Linear(width, 4)

    def _rate(self, t, x):
        return self.field(torch.cat((x, torch.full_like(x[:, :1], t)), -1))

    def forward(self, x, steps=8):
        x, size = self.enter(x), 1 / steps
        for index in range(steps):
            t = index * size
            k1 = self._rate(t, x)
            k2 = self._rate(t + size / 2, x + size / 2 * k1)
            k3 = self._rate(t + size / 2, x + size / 2 * k2)
            k4 = self._rate(t + size, x + size * k3)
            x = x + size / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return self.head(x)


def neural_ode():
    """A classifier through an integrated field."""

    def make_batch(batch_size):
        return torch.randn(batch_size, 16), torch.randint(4, (batch_size,))

    def loss(model, batch):
        x, labels = batch
        return F.cross_entropy(model(x), labels)

    return Flow(), make_batch, loss


class Coupling(nn.Module):
    """Half of the features scale and shift the other half."""

    def __init__(self, width, even):
        super().__init__()
        mask = (torch.arange(width) % 2 == int(even)).float()
        self.register_buffer("mask", mask)
        self.scale = _mlp(width, 128, 128, width, activation=nn.LeakyReLU)
        self.shift = _mlp(width, 128, 128, width, activation=nn.LeakyReLU)

    def forward(self, x):
        kept = x * self.mask
        scale = torch.tanh(self.scale(kept)) * (1 - self.mask)
        return kept + (1 - self.mask) * (x * scale.exp() + self.shift(kept)), scale.sum(1)


def normalizing_flow():
    """The likelihood under a normal distribution and the volume of each layer."""
    model = nn.ModuleList(Coupling(32, index % 2) for index in range(6))

    def make_batch(batch_size):
        return torch.randn(batch_size, 32)

    def loss(model, x):
        base = torch.distributions.MultivariateNormal(
            torch.zeros(32, device=x.device), torch.eye(32, device=x.device)
        )
        volume = 0.0
        for layer in model:
            x, extra = layer(x)
            volume = volume + extra
        return -(base.log_prob(x) + volume).mean()

    return model, make_batch, loss


class RadianceField(nn.Module):
    """Density and colour of points on rays, from sines of their places."""

    def __init__(self, width=128, levels=6):
        super().__init__()
        self.register_buffer("rates", 2.0 ** torch.arange(levels))
        size = 3 + 6 * levels
        self.first = _mlp(size, width, width, width, activation=nn.ReLU)
        self.second = _mlp(size + width, width, width, activation=nn.ReLU)
        self.density, self.colour = nn.Linear(width, 1), _mlp(width + size, 64, 3)

    def _waves(self, x):
        angles = (x.unsqueeze(-1) * self.rates).flatten(-2)
        return torch.cat((x, angles.sin(), angles.cos()), -1)

    def forward(self, points, directions):
        places = self._waves(points)
        h = F.relu(self.second(torch.cat((places, F.relu(self.first(places))), -1)))
        colour = self.colour(torch.cat((h, self._waves(directions)), -1)).sigmoid()
        return F.relu(self.density(h)).squeeze(-1), colour


def radiance_field():
    """Rays rendered from samples, the network called on pieces of them."""
    samples = 32

    def make_batch(batch_size):
        rays = F.normalize(torch.randn(batch_size, 3), dim=-1)
        return torch.randn(batch_size, 3) * 0.1, rays, torch.rand(batch_size, 3)

    def loss(model, batch):
        origins, rays, wanted = batch
        depth = torch.linspace(2.0, 6.0, samples, device=rays.device).expand(len(rays), samples)
        depth = depth + torch.rand_like(depth) * 4 / samples
        points = origins[:, None] + rays[:, None] * depth[..., None]
        pieces = zip(
            points.reshape(-1, 3).split(1024),
            rays[:, None].expand_as(points).reshape(-1, 3).split(1024), strict=True,
        )  # fmt: skip
        made = [model(p, d) for p, d in pieces]
        density = torch.cat([d for d, _ in made]).view(-1, samples)
        colour = torch.cat([c for _, c in made]).view(-1, samples, 3)
        gaps = torch.cat((depth[:, 1:] - depth[:, :-1], depth.new_full((len(depth), 1), 1e10)), 1)
        alpha = 1 - torch.exp(-density * gaps)
        clear = torch.cumprod(
            torch.cat((alpha.new_ones(len(alpha), 1), 1 - alpha + 1e-10), -1), -1
        )[:, :-1]
        return F.mse_loss(((alpha * clear)[..., None] * colour).sum(1), wanted)

    return RadianceField(), make_batch, loss


class SpectralConv(nn.Module):
    """Multiplies the lowest frequencies by learned complex weights."""

    def __init__(self, width, modes):
        super().__init__()
        self.modes = modes
        self.weight = nn.Parameter(
            torch.randn(width, width, modes, modes, dtype=torch.cfloat) / width
        )

    def forward(self, x):
        spectrum = torch.fft.rfft2(x)
        low = spectrum[:, :, : self.modes, : self.modes]
        out = torch.zeros_like(spectrum)
        out[:, :, : self.modes, : self.modes] = torch.einsum("bixy,ioxy->boxy", low, self.weight)
        return torch.fft.irfft2(out, s=x.shape[-2:])


class FourierOperator(nn.Module):
    """Layers in frequency space beside pointwise ones."""

    def __init__(self, width=24, layers=3):
        super().__init__()
        self.enter, self.leave = nn.Conv2d(3, width, 1), nn.Conv2d(width, 1, 1)
        self.spectral = nn.ModuleList(SpectralConv(width, 8) for _ in range(layers))
        self.local = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(layers))

    def forward(self, x):
        x = self.enter(x)
        for spectral, local in zip(self.spectral, self.local, strict=True):
            x = F.gelu(spectral(x) + local(x))
        return self.leave(x)


def fourier_operator():
    """A Fourier neural operator with a relative error."""

    def make_batch(batch_size):
        return torch.randn(batch_size, 3, 48, 48), torch.randn(batch_size, 1, 48, 48)

    def loss(model, batch):
        x, y = batch
        error = torch.norm((model(x) - y).flatten(1), dim=1)
        return (error / torch.norm(y.flatten(1), dim=1)).mean()

    return FourierOperator(), make_batch, loss


def energy_forces():
    """Forces are the gradient of the energy in the positions, and are trained."""

    class Potential(nn.Module):
        def __init__(self):
            super().__init__()
            self.kinds = nn.Embedding(5, 32)
            self.pair = _mlp(32 * 2 + 16, 128, 128, 1, activation=nn.SiLU)
            self.register_buffer("centres", torch.linspace(0, 5, 16))

        def forward(self, positions, kinds):
            atoms = positions.size(1)
            first, second = torch.triu_indices(atoms, atoms, 1, device=positions.device)
            apart = (positions[:, first] - positions[:, second]).norm(dim=-1)
            radial = torch.exp(-((apart[..., None] - self.centres) ** 2))
            h = self.kinds(kinds)
            return self.pair(torch.cat((h[:, first], h[:, second], radial), -1)).sum((1, 2))

    def make_batch(batch_size):
        return {
            "positions": torch.randn(batch_size, 12, 3),
            "kinds": torch.randint(5, (batch_size, 12)),
            "energy": torch.randn(batch_size),
            "forces": torch.randn(batch_size, 12, 3),
        }

    def loss(model, batch):
        positions = batch["positions"].clone().requires_grad_(True)
        energy = model(positions, batch["kinds"])
        forces = -torch.autograd.grad(energy.sum(), positions, create_graph=True)[0]
        return F.mse_loss(energy, batch["energy"]) + 10 * F.mse_loss(forces, batch["forces"])

    return Potential(), make_batch, loss
