"""Speech and sound."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

MELS, SYMBOLS, WIDTH = 40, 40, 96


class ConformerBlock(nn.Module):
    """Half a feed-forward, attention, convolution, half a feed-forward."""

    def __init__(self, width=WIDTH, heads=4, kernel=15):
        super().__init__()
        self.feed1, self.feed2 = (
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.SiLU(),
                          nn.Dropout(0.1), nn.Linear(4 * width, width), nn.Dropout(0.1))
            for _ in range(2)
        )  # fmt: skip
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, 0.1, batch_first=True)
        self.conv_norm = nn.LayerNorm(width)
        self.conv = nn.Sequential(
            nn.Conv1d(width, 2 * width, 1), nn.GLU(1),
            nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width),
            nn.BatchNorm1d(width), nn.SiLU(), nn.Conv1d(width, width, 1), nn.Dropout(0.1),
        )  # fmt: skip
        self.last = nn.LayerNorm(width)

    def forward(self, x, padding):
        x = x + 0.5 * self.feed1(x)
        h = self.norm(x)
        x = x + self.attention(h, h, h, key_padding_mask=padding, need_weights=False)[0]
        x = x + self.conv(self.conv_norm(x).transpose(1, 2)).transpose(1, 2)
        return self.last(x + 0.5 * self.feed2(x))


class Conformer(nn.Module):
    """Subsampling by four, conformer blocks, symbols."""

    def __init__(self, layers=2):
        super().__init__()
        self.subsample = nn.Sequential(
            nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 2, 1), nn.ReLU()
        )
        self.enter = nn.Linear(16 * MELS // 4, WIDTH)
        self.blocks = nn.ModuleList(ConformerBlock() for _ in range(layers))
        self.head = nn.Linear(WIDTH, SYMBOLS)

    def forward(self, features, lengths):
        x = self.subsample(features.unsqueeze(1))
        x = self.enter(x.transpose(1, 2).flatten(2))
        lengths = (lengths + 3) // 4
        padding = torch.arange(x.size(1), device=x.device)[None, :] >= lengths[:, None]
        for block in self.blocks:
            x = block(x, padding)
        return self.head(x), lengths


def _utterances(batch_size):
    lengths = torch.tensor([160 - 12 * (i % 4) for i in range(batch_size)])
    target_lengths = torch.tensor([20 - 3 * (i % 4) for i in range(batch_size)])
    targets = torch.arange(batch_size * 20).reshape(batch_size, 20) % (SYMBOLS - 1) + 1
    return {
        "features": torch.randn(batch_size, 160, MELS), "lengths": lengths,
        "targets": targets, "target_lengths": target_lengths,
    }  # fmt: skip


def conformer_ctc():
    """Conformer with CTC over real lengths."""

    def loss(model, batch):
        scores, lengths = model(batch["features"], batch["lengths"])
        return F.ctc_loss(
            scores.log_softmax(-1).transpose(0, 1), batch["targets"], lengths,
            batch["target_lengths"], zero_infinity=True,
        )  # fmt: skip

    return Conformer(), _utterances, loss


class LstmAcoustic(nn.Module):
    """Convolutions and a bidirectional LSTM, after Deep Speech."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(1, 16, (11, 5), (2, 2), (5, 2)), nn.BatchNorm2d(16), nn.Hardtanh(0, 20)
        )
        self.rnn = nn.LSTM(16 * MELS // 2, WIDTH, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * WIDTH, SYMBOLS)

    def forward(self, features):
        x = self.conv(features.unsqueeze(1)).transpose(1, 2).flatten(2)
        return self.head(self.rnn(x)[0])


def lstm_acoustic_ctc():
    """CTC with the targets of all samples in one row."""

    def loss(model, batch):
        scores = model(batch["features"]).log_softmax(-1).transpose(0, 1)
        lengths = (batch["lengths"] // 2).tolist()
        target_lengths = batch["target_lengths"].tolist()
        row = torch.cat([t[:n] for t, n in zip(batch["targets"], target_lengths, strict=True)])
        return F.ctc_loss(scores, row, lengths, target_lengths)

    return LstmAcoustic(), _utterances, loss


class WaveEncoder(nn.Module):
    """Convolutions over the raw wave, then a transformer with convolved positions."""

    def __init__(self):
        super().__init__()
        layers, inputs = [], 1
        for kernel, stride in ((10, 5), (8, 4), (4, 2), (4, 2)):
            layers += [nn.Conv1d(inputs, WIDTH, kernel, stride, bias=False)]
            layers += [nn.GroupNorm(WIDTH if inputs == 1 else 1, WIDTH), nn.GELU()]
            inputs = WIDTH
        self.stem = nn.Sequential(*layers)
        self.positions = nn.utils.parametrizations.weight_norm(
            nn.Conv1d(WIDTH, WIDTH, 32, padding=16, groups=8), dim=2
        )
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, 0.1, "gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.hidden = nn.Parameter(torch.rand(WIDTH))
        self.head = nn.Linear(WIDTH, 64)

    def forward(self, waves, mask):
        x = self.stem(waves.unsqueeze(1)).transpose(1, 2)
        clean = x
        x = torch.where(mask[:, : x.size(1), None], self.hidden, x)
        places = F.gelu(self.positions(x.transpose(1, 2))[..., :-1]).transpose(1, 2)
        return self.head(self.encoder(x + places)), self.head(clean)


def wav2vec():
    """Contrast of masked positions with those of the other times."""

    def make_batch(batch_size):
        mask = torch.arange(120)[None, :] % 10 < 3
        return torch.randn(batch_size, 8000), mask.expand(batch_size, -1).clone()

    def loss(model, batch):
        waves, mask = batch
        predicted, clean = model(waves, mask)
        predicted, clean = F.normalize(predicted, dim=-1), F.normalize(clean, dim=-1)
        scores = torch.bmm(predicted, clean.transpose(1, 2)) / 0.1
        own = torch.arange(scores.size(1), device=scores.device).expand(scores.size(0), -1)
        each = F.cross_entropy(scores.flatten(0, 1), own.flatten(), reduction="none")
        chosen = mask[:, : scores.size(1)].flatten()
        return (each * chosen).sum() / chosen.sum()

    return WaveEncoder(), make_batch, loss


class WaveUnet(nn.Module):
    """Separates sources: strided convolutions down and up, joined at each level."""

    def __init__(self, depth=3, width=16):
        super().__init__()
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        inputs = 1
        for level in range(depth):
            outputs = width * 2**level
            self.down.append(nn.Sequential(
                nn.Conv1d(inputs, outputs, 8, 4, 2), nn.ReLU(), nn.Conv1d(outputs, 2 * outputs, 1),
                nn.GLU(1),
            ))  # fmt: skip
            back = 2 if level == 0 else inputs
            last = nn.Identity() if level == 0 else nn.ReLU()
            self.up.insert(0, nn.Sequential(
                nn.Conv1d(outputs, 2 * outputs, 3, padding=1), nn.GLU(1),
                nn.ConvTranspose1d(outputs, back, 8, 4, 2), last,
            ))  # fmt: skip
            inputs = outputs
        self.rnn = nn.LSTM(inputs, inputs, 1, bidirectional=True)
        self.join = nn.Linear(2 * inputs, inputs)

    def forward(self, x):
        kept = []
        for block in self.down:
            x = block(x)
            kept.append(x)
        x = self.join(self.rnn(x.permute(2, 0, 1))[0]).permute(1, 2, 0)
        for block in self.up:
            x = block(x + kept.pop())
        return x


def audio_unet():
    """Two sources from a mix, absolute error."""

    def make_batch(batch_size):
        return torch.randn(batch_size, 1, 4096), torch.randn(batch_size, 2, 4096)

    def loss(model, batch):
        mix, sources = batch
        return F.l1_loss(model(mix), sources)

    return WaveUnet(), make_batch, loss


def spectrogram_classifier():
    """The spectrogram is made inside the model."""

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("window", torch.hann_window(400))
            self.body = nn.Sequential(
                nn.Conv2d(1, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU(),
                nn.Conv2d(32, 64, 3, 2, 1), nn.BatchNorm2d(64), nn.ReLU(),
                nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 35),
            )  # fmt: skip

        def forward(self, waves):
            spectrum = torch.stft(waves, 400, 160, window=self.window, return_complex=True)
            return self.body((spectrum.abs().square() + 1e-6).log().unsqueeze(1))

    def make_batch(batch_size):
        return torch.randn(batch_size, 16000), torch.randint(35, (batch_size,))

    def loss(model, batch):
        waves, labels = batch
        return F.cross_entropy(model(waves), labels)

    return Classifier(), make_batch, loss
