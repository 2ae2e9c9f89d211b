"""Recurrent models: language, packed sequences, translation, and memory over segments."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

VOCAB, WIDTH, LENGTH = 1500, 128, 40


class RecurrentLm(nn.Module):
    """Embedding, a recurrent layer, a head."""

    def __init__(self, kind, layers=2, dropout=0.2, bidirectional=False):
        super().__init__()
        self.tokens = nn.Embedding(VOCAB, WIDTH)
        self.rnn = getattr(nn, kind)(
            WIDTH, WIDTH, layers, batch_first=True, dropout=dropout, bidirectional=bidirectional
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(WIDTH * (1 + bidirectional), VOCAB)

    def forward(self, tokens):
        x, _ = self.rnn(self.dropout(self.tokens(tokens)))
        return self.head(self.dropout(x))


def _text(batch_size):
    text = torch.randint(VOCAB, (batch_size, LENGTH + 1))
    return text[:, :-1], text[:, 1:]


def _loss(model, batch):
    tokens, targets = batch
    logits = model(tokens)
    return F.cross_entropy(logits.reshape(-1, VOCAB), targets.reshape(-1)), logits


def lstm_lm():
    """Two layers of LSTM with dropout."""
    return RecurrentLm("LSTM"), _text, _loss


def gru_lm():
    """Two layers of GRU."""
    return RecurrentLm("GRU", dropout=0.0), _text, _loss


def elman_lm():
    """One layer of the plain recurrent network."""
    return RecurrentLm("RNN", layers=1, dropout=0.0), _text, _loss


class Tagger(nn.Module):
    """Tags every token of sentences that have their own lengths."""

    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(VOCAB, WIDTH, padding_idx=0)
        self.rnn = nn.LSTM(WIDTH, WIDTH // 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(WIDTH, 20)

    def forward(self, tokens, lengths):
        x = pack_padded_sequence(
            self.tokens(tokens), lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        x, _ = self.rnn(x)
        x, _ = pad_packed_sequence(x, batch_first=True)
        return self.head(x)


def lstm_tagger_packed():
    """Packed sequences: lengths as the data has them."""

    def make_batch(batch_size):
        lengths = [10 + 7 * i % (LENGTH - 10) for i in range(batch_size)]
        tokens = pad_sequence([torch.randint(1, VOCAB, (n,)) for n in lengths], batch_first=True)
        tags = torch.where(tokens > 0, torch.randint_like(tokens, 20), -100)
        return {"tokens": tokens, "lengths": torch.tensor(lengths), "tags": tags}

    def loss(model, batch):
        scores = model(batch["tokens"], batch["lengths"])
        return F.cross_entropy(scores.flatten(0, 1), batch["tags"].flatten())

    return Tagger(), make_batch, loss


def trimmed_gru():
    """Trims the batch to its longest sample before the model sees it."""

    class Trimmed(RecurrentLm):
        def forward(self, tokens):
            longest = int((tokens != 0).sum(1).max())
            return super().forward(tokens[:, :longest])

    def make_batch(batch_size):
        tokens = torch.randint(1, VOCAB, (batch_size, LENGTH))
        lengths = torch.arange(batch_size) % 12 + LENGTH // 2
        tokens[torch.arange(LENGTH)[None, :] >= lengths[:, None]] = 0
        return tokens

    def loss(model, tokens):
        logits = model(tokens[:, :-1])
        targets = tokens[:, 1 : 1 + logits.size(1)]
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=0)

    return Trimmed("GRU", dropout=0.0), make_batch, loss


class Translator(nn.Module):
    """GRU encoder and a decoder cell that attends to it, step by step, with teacher forcing."""

    def __init__(self):
        super().__init__()
        self.source, self.target = nn.Embedding(VOCAB, WIDTH), nn.Embedding(VOCAB, WIDTH)
        self.encoder = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.cell = nn.GRUCell(2 * WIDTH, WIDTH)
        self.score = nn.Linear(2 * WIDTH, WIDTH)
        self.weigh = nn.Linear(WIDTH, 1, bias=False)
        self.head = nn.Linear(2 * WIDTH, VOCAB)

    def forward(self, source, target):
        memory, hidden = self.encoder(self.source(source))
        hidden, outputs = hidden[-1], []
        for t in range(target.size(1)):
            spread = hidden.unsqueeze(1).expand(-1, memory.size(1), -1)
            energy = torch.tanh(self.score(torch.cat((spread, memory), dim=-1)))
            weights = self.weigh(energy).squeeze(-1).softmax(-1)
            context = torch.bmm(weights.unsqueeze(1), memory).squeeze(1)
            hidden = self.cell(torch.cat((self.target(target[:, t]), context), -1), hidden)
            outputs.append(self.head(torch.cat((hidden, context), -1)))
        return torch.stack(outputs, 1)


def translation_with_attention():
    """Additive attention in a decoder loop."""

    def make_batch(batch_size):
        return torch.randint(VOCAB, (batch_size, 24)), torch.randint(VOCAB, (batch_size, 21))

    def loss(model, batch):
        source, target = batch
        logits = model(source, target[:, :-1])
        return F.cross_entropy(logits.flatten(0, 1), target[:, 1:].flatten()), logits

    return Translator(), make_batch, loss


def truncated_backpropagation():
    """The state of one step goes into the next, detached."""

    class Stateful(RecurrentLm):
        def __init__(self):
            super().__init__("LSTM")
            self.state = None

        def forward(self, tokens):
            state = self.state
            if state is not None:
                state = tuple(part.detach() for part in state)
            x, self.state = self.rnn(self.dropout(self.tokens(tokens)), state)
            return self.head(self.dropout(x))

    return Stateful(), _text, _loss


class SegmentMemory(nn.Module):
    """Attention over this segment and the kept hidden states of the one before."""

    def __init__(self, layers=2, heads=4):
        super().__init__()
        self.tokens = nn.Embedding(VOCAB, WIDTH)
        self.attentions = nn.ModuleList(
            nn.MultiheadAttention(WIDTH, heads, batch_first=True) for _ in range(layers)
        )
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 512), nn.ReLU(),
                          nn.Linear(512, WIDTH)) for _ in range(layers)
        )  # fmt: skip
        self.head = nn.Linear(WIDTH, VOCAB)

    def forward(self, tokens, memory):
        x, kept = self.tokens(tokens), []
        for attention, mlp, old in zip(self.attentions, self.mlps, memory, strict=True):
            kept.append(x.detach())
            keys = torch.cat((old, x), 1)
            length, total = x.size(1), keys.size(1)
            ones = torch.ones(length, total, dtype=torch.bool, device=x.device)
            mask = ones.triu(1 + total - length)
            x = x + attention(x, keys, keys, attn_mask=mask, need_weights=False)[0]
            x = x + mlp(x)
        return self.head(x), kept


def transformer_xl():
    """Two segments after one another, the second sees the first's memory."""

    def make_batch(batch_size):
        return torch.randint(VOCAB, (batch_size, 65))

    def loss(model, text):
        memory = [torch.zeros(text.size(0), 0, WIDTH, device=text.device)] * 2
        total = 0
        for start in (0, 32):
            logits, memory = model(text[:, start : start + 32], memory)
            targets = text[:, start + 1 : start + 33]
            total = total + F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        return total / 2

    return SegmentMemory(), make_batch, loss
