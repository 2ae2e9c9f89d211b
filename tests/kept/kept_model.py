"""The model of the kept records: small, and of operations whose memory no version changes."""

import torch
from torch import nn
from torch.nn import functional


def tiny():
    model = nn.Sequential(nn.Embedding(500, 64), nn.Linear(64, 128), nn.GELU(), nn.Linear(128, 10))

    def make_batch(batch_size):
        return torch.randint(500, (batch_size, 16)), torch.randint(10, (batch_size, 16))

    def loss(model, batch):
        tokens, labels = batch
        return functional.cross_entropy(model(tokens).flatten(0, 1), labels.flatten())

    return model, make_batch, loss
