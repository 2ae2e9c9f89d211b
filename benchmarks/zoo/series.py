"""Time series."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

CHANNELS, PAST, FUTURE = 8, 96, 24


def _windows(batch_size):
    return torch.randn(batch_size, PAST, CHANNELS), torch.randn(batch_size, FUTURE, CHANNELS)


def _forecast_loss(model, batch):
    past, future = batch
    made = model(past)
    return F.mse_loss(made, future), made


class DilatedBlock(nn.Module):
    """Two causal convolutions, cut at the end, with weight norm."""

    def __init__(self, inputs, outputs, dilation, kernel=3):
        super().__init__()
        norm = nn.utils.parametrizations.weight_norm
        self.cut = (kernel - 1) * dilation
        self.first, self.second = (
            norm(nn.Conv1d(n, outputs, kernel, padding=self.cut, dilation=dilation))
            for n in (inputs, outputs)
        )
        self.skip = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x):
        h = F.dropout(F.relu(self.first(x)[..., : -self.cut].contiguous()), 0.2, self.training)
        h = F.dropout(F.relu(self.second(h)[..., : -self.cut].contiguous()), 0.2, self.training)
        return F.relu(h + (x if self.skip is None else self.skip(x)))


class TemporalConv(nn.Module):
    """Dilated blocks, the last time predicts the future."""

    def __init__(self, width=48):
        super().__init__()
        self.body = nn.Sequential(
            *(DilatedBlock(width if i else CHANNELS, width, 2**i) for i in range(4))
        )
        self.head = nn.Linear(width, FUTURE * CHANNELS)

    def forward(self, x):
        h = self.body(x.transpose(1, 2))[:, :, -1]
        return self.head(h).view(-1, FUTURE, CHANNELS)


def temporal_conv():
    """A temporal convolutional network."""
    return TemporalConv(), _windows, _forecast_loss


class Forecaster(nn.Module):
    """PyTorch's own transformer: the decoder gets the known end and zeros."""

    def __init__(self, width=64):
        super().__init__()
        self.enter = nn.Linear(CHANNELS, width)
        self.positions = nn.Parameter(torch.randn(PAST + FUTURE, width) * 0.02)
        self.transformer = nn.Transformer(width, 4, 2, 2, 4 * width, 0.1, batch_first=True)
        self.head = nn.Linear(width, CHANNELS)

    def forward(self, past):
        blank = past.new_zeros(past.size(0), FUTURE, CHANNELS)
        target = torch.cat((past[:, -FUTURE:], blank), 1)
        mask = self.transformer.generate_square_subsequent_mask(2 * FUTURE, device=past.device)
        h = self.transformer(
            self.enter(past) + self.positions[:PAST],
            self.enter(target) + self.positions[-2 * FUTURE :], tgt_mask=mask,
        )  # fmt: skip
        return self.head(h[:, -FUTURE:])


def series_transformer():
    """An encoder and a decoder over a multivariate series."""
    return Forecaster(), _windows, _forecast_loss


class PatchForecaster(nn.Module):
    """Each channel by itself, cut into overlapping patches, scaled by its own moments."""

    def __init__(self, width=64, patch=16, stride=8):
        super().__init__()
        self.patch, self.stride = patch, stride
        count = (PAST - patch) // stride + 1
        self.enter = nn.Linear(patch, width)
        self.positions = nn.Parameter(torch.randn(count, width) * 0.02)
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(count * width, FUTURE)

    def forward(self, past):
        mean = past.mean(1, keepdim=True).detach()
        spread = (past.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt().detach()
        x = ((past - mean) / spread).transpose(1, 2).flatten(0, 1)
        x = self.encoder(self.enter(x.unfold(-1, self.patch, self.stride)) + self.positions)
        made = self.head(x.flatten(1)).view(past.size(0), CHANNELS, FUTURE).transpose(1, 2)
        return made * spread + mean


def patch_forecaster():
    """Patches of a series, after PatchTST."""
    return PatchForecaster(), _windows, _forecast_loss


class DoublyResidual(nn.Module):
    """Blocks that explain the past and forecast, each from what the others left."""

    def __init__(self, blocks=4, width=256):
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(PAST, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
                          nn.Linear(width, PAST + FUTURE)) for _ in range(blocks)
        )  # fmt: skip

    def forward(self, past):
        rest, made = past.transpose(1, 2), 0.0
        for block in self.blocks:
            back, forward = block(rest).split((PAST, FUTURE), -1)
            rest, made = rest - back, made + forward
        return made.transpose(1, 2)


def doubly_residual():
    """Fully connected blocks, after N-BEATS, with smoothed absolute error."""

    def loss(model, batch):
        past, future = batch
        return F.huber_loss(model(past), future)

    return DoublyResidual(), _windows, loss


class AutoregressiveLstm(nn.Module):
    """Cells in a loop: first over the past, then over its own output."""

    def __init__(self, width=96):
        super().__init__()
        self.cell, self.head = nn.LSTMCell(CHANNELS, width), nn.Linear(width, 2 * CHANNELS)

    def forward(self, past):
        state = None
        for t in range(past.size(1)):
            state = self.cell(past[:, t], state)
        made = []
        for _ in range(FUTURE):
            mean, spread = self.head(state[0]).chunk(2, -1)
            made.append(torch.stack((mean, F.softplus(spread) + 1e-3)))
            state = self.cell(mean, state)
        return torch.stack(made, 2)


def probabilistic_lstm():
    """The likelihood of the future under predicted normals."""

    def loss(model, batch):
        past, future = batch
        mean, spread = model(past)
        return -torch.distributions.Normal(mean, spread).log_prob(future).mean()

    return AutoregressiveLstm(), _windows, loss


def quantile_lstm():
    """PyTorch's LSTM with a loss of three quantiles."""

    class Quantiles(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.LSTM(CHANNELS, 96, num_layers=2, batch_first=True, dropout=0.1)
            self.head = nn.Linear(96, FUTURE * CHANNELS * 3)

        def forward(self, past):
            return self.head(self.rnn(past)[1][0][-1]).view(-1, FUTURE, CHANNELS, 3)

    def loss(model, batch):
        past, future = batch
        levels = torch.tensor([0.1, 0.5, 0.9], device=past.device)
        error = future.unsqueeze(-1) - model(past)
        return torch.max(levels * error, (levels - 1) * error).mean()

    return Quantiles(), _windows, loss
