"""Graphs, sets and point clouds."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

NODES, DEGREE, FEATURES, WIDTH, CLASSES = 120, 6, 64, 96, 7


def _edges(graphs):
    """Return edges of graphs that are joined into one: each node to its next neighbours."""
    nodes = torch.arange(graphs * NODES)
    start = nodes // NODES * NODES
    hops = torch.arange(1, DEGREE + 1)
    targets = start[:, None] + (nodes[:, None] - start[:, None] + hops * hops) % NODES
    return torch.stack((nodes.repeat_interleave(DEGREE), targets.flatten()))


def _graphs(batch_size):
    nodes = batch_size * NODES
    return {
        "x": torch.randn(nodes, FEATURES), "edges": _edges(batch_size),
        "labels": torch.arange(nodes) % CLASSES,
    }  # fmt: skip


def _node_loss(model, batch):
    scores = model(batch["x"], batch["edges"])
    return F.cross_entropy(scores, batch["labels"]), scores


class Gcn(nn.Module):
    """Sums over neighbours by index_add, scaled by degrees."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(FEATURES, WIDTH), nn.Linear(WIDTH, CLASSES)

    def forward(self, x, edges):
        source, target = edges
        degree = torch.zeros(len(x), device=x.device)
        degree = degree.index_add(0, target, torch.ones_like(target, dtype=x.dtype))
        scale = degree.clamp(min=1).rsqrt()
        weight = (scale[source] * scale[target]).unsqueeze(-1)

        def spread(h):
            return torch.zeros_like(h).index_add(0, target, h[source] * weight)

        x = F.dropout(F.relu(spread(self.first(x))), 0.5, self.training)
        return spread(self.second(x))


def gcn():
    """Two layers of graph convolution over joined graphs."""
    return Gcn(), _graphs, _node_loss


class Gat(nn.Module):
    """Attention over neighbours: softmax by scatter."""

    def __init__(self, heads=4):
        super().__init__()
        self.heads, self.size = heads, WIDTH // heads
        self.enter = nn.Linear(FEATURES, WIDTH, bias=False)
        self.source, self.target = (nn.Parameter(torch.randn(heads, self.size)) for _ in range(2))
        self.leave = nn.Linear(WIDTH, CLASSES)

    def forward(self, x, edges):
        source, target = edges
        h = self.enter(x).view(-1, self.heads, self.size)
        scores = (h * self.source).sum(-1)[source] + (h * self.target).sum(-1)[target]
        scores = F.leaky_relu(scores, 0.2)
        index = target[:, None].expand_as(scores)
        empty = scores.new_zeros(len(x), self.heads)
        highest = empty.scatter_reduce(0, index, scores, "amax", include_self=False)
        weights = torch.exp(scores - highest[target].detach())
        weights = weights / empty.scatter_add(0, index, weights)[target].clamp(min=1e-9)
        messages = h[source] * weights.unsqueeze(-1)
        index = target[:, None, None].expand_as(messages)
        out = torch.zeros_like(h).scatter_add(0, index, messages)
        return self.leave(F.elu(out.flatten(1)))


def gat():
    """One layer of graph attention."""
    return Gat(), _graphs, _node_loss


def sparse_gcn():
    """Neighbours by a sparse matrix that is in the batch."""

    class Sparse(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(FEATURES, WIDTH), nn.Linear(WIDTH, CLASSES)

        def forward(self, x, matrix):
            x = F.relu(torch.sparse.mm(matrix, self.first(x)))
            return torch.sparse.mm(matrix, self.second(x))

    def make_batch(batch_size):
        batch = _graphs(batch_size)
        edges, nodes = batch.pop("edges"), len(batch["x"])
        values = torch.full((edges.size(1),), 1 / DEGREE)
        batch["matrix"] = torch.sparse_coo_tensor(edges, values, (nodes, nodes)).coalesce()
        return batch

    def loss(model, batch):
        return F.cross_entropy(model(batch["x"], batch["matrix"]), batch["labels"])

    return Sparse(), make_batch, loss


class Molecules(nn.Module):
    """Sums of neighbours through mlps, then a sum over each graph."""

    def __init__(self, layers=3):
        super().__init__()
        self.atoms, self.bonds = nn.Embedding(20, WIDTH), nn.Embedding(4, WIDTH)
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.BatchNorm1d(2 * WIDTH), nn.ReLU(),
                          nn.Linear(2 * WIDTH, WIDTH)) for _ in range(layers)
        )  # fmt: skip
        self.head = nn.Linear(WIDTH, 1)

    def forward(self, atoms, bonds, edges, graph):
        x, bonds = self.atoms(atoms), self.bonds(bonds)
        for mlp in self.mlps:
            messages = F.relu(x[edges[0]] + bonds)
            x = F.relu(mlp(torch.zeros_like(x).index_add_(0, edges[1], messages) + x))
        graphs = int(graph.max()) + 1
        sums = x.new_zeros(graphs, WIDTH).index_add_(0, graph, x)
        counts = torch.bincount(graph, minlength=graphs).unsqueeze(-1)
        return self.head(sums / counts).squeeze(-1)


def molecules():
    """Graphs of their own sizes; how many there are is read from the batch."""

    def make_batch(batch_size):
        sizes = torch.tensor([20 + 9 * (i % 4) for i in range(batch_size)])
        graph = torch.repeat_interleave(torch.arange(batch_size), sizes)
        total = len(graph)
        edges = torch.stack((torch.arange(total - 1), torch.arange(1, total)))
        edges = torch.cat((edges, edges.flip(0)), 1)
        return {
            "atoms": torch.arange(total) % 20, "bonds": torch.arange(edges.size(1)) % 4,
            "edges": edges, "graph": graph, "y": torch.randn(batch_size),
        }  # fmt: skip

    def loss(model, batch):
        made = model(batch["atoms"], batch["bonds"], batch["edges"], batch["graph"])
        return F.l1_loss(made, batch["y"])

    return Molecules(), make_batch, loss


class PointNet(nn.Module):
    """A shared mlp over points, the largest of each feature, a learned rotation before it."""

    def __init__(self):
        super().__init__()
        self.turn = nn.Sequential(nn.Conv1d(3, 64, 1), nn.BatchNorm1d(64), nn.ReLU())
        self.matrix = nn.Linear(64, 9)
        self.body = nn.Sequential(
            nn.Conv1d(3, 64, 1), nn.BatchNorm1d(64), nn.ReLU(),
            nn.Conv1d(64, 128, 1), nn.BatchNorm1d(128), nn.ReLU(), nn.Conv1d(128, 256, 1),
        )  # fmt: skip
        self.head = nn.Sequential(nn.Linear(256, 128), nn.ReLU(), nn.Dropout(0.3),
                                  nn.Linear(128, CLASSES))  # fmt: skip

    def forward(self, points):
        matrix = self.matrix(self.turn(points).max(2).values).view(-1, 3, 3)
        matrix = matrix + torch.eye(3, device=points.device)
        turned = torch.bmm(points.transpose(1, 2), matrix).transpose(1, 2)
        scores = self.head(self.body(turned).max(2).values)
        return scores, matrix


def point_net():
    """Points with a penalty that keeps the rotation orthogonal."""

    def make_batch(batch_size):
        return torch.randn(batch_size, 3, 512), torch.randint(CLASSES, (batch_size,))

    def loss(model, batch):
        points, labels = batch
        scores, matrix = model(points)
        product = torch.bmm(matrix, matrix.transpose(1, 2))
        penalty = torch.norm(torch.eye(3, device=points.device) - product, dim=(1, 2)).mean()
        return F.cross_entropy(scores, labels) + 0.001 * penalty

    return PointNet(), make_batch, loss


class NeighbourConv(nn.Module):
    """Edges to the nearest points in feature space, found anew in each layer."""

    def __init__(self, inputs, outputs, nearest=8):
        super().__init__()
        self.nearest = nearest
        self.conv = nn.Sequential(
            nn.Conv2d(2 * inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs),
            nn.LeakyReLU(0.2),
        )  # fmt: skip

    def forward(self, x):
        n, width, points = x.shape
        index = (
            torch.cdist(x.transpose(1, 2), x.transpose(1, 2))
            .topk(self.nearest, largest=False)
            .indices
        )
        rows = index.reshape(n, 1, -1).expand(-1, width, -1)
        near = x.gather(2, rows).view(n, width, points, self.nearest)
        own = x.unsqueeze(-1).expand_as(near)
        return self.conv(torch.cat((near - own, own), 1)).max(-1).values


def dynamic_graph():
    """Edge convolutions over nearest neighbours."""
    model = nn.Sequential(
        NeighbourConv(3, 32), NeighbourConv(32, 64), nn.AdaptiveMaxPool1d(1), nn.Flatten(),
        nn.Linear(64, CLASSES),
    )  # fmt: skip

    def make_batch(batch_size):
        return torch.randn(batch_size, 3, 128), torch.randint(CLASSES, (batch_size,))

    def loss(model, batch):
        points, labels = batch
        return F.cross_entropy(model(points), labels)

    return model, make_batch, loss


class SetTransformer(nn.Module):
    """Sets attend through a few learned points, and are pooled by a learned query."""

    def __init__(self, width=96, induced=8):
        super().__init__()
        self.enter = nn.Linear(2, width)
        self.induced = nn.Parameter(torch.randn(1, induced, width))
        self.query = nn.Parameter(torch.randn(1, 4, width))
        self.attentions = nn.ModuleList(
            nn.MultiheadAttention(width, 4, batch_first=True) for _ in range(3)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.head = nn.Linear(width, 5)

    def _look(self, index, x, y, padding=None):
        h = self.attentions[index](x, y, y, key_padding_mask=padding, need_weights=False)[0]
        return self.norms[index](x + h)

    def forward(self, x, padding):
        x, n = self.enter(x), len(x)
        few = self._look(0, self.induced.expand(n, -1, -1), x, padding)
        x = self._look(1, x, few)
        return self.head(self._look(2, self.query.expand(n, -1, -1), x, padding))


def set_transformer():
    """Parameters of a mixture for each set, sets padded to the largest."""

    def make_batch(batch_size):
        padding = torch.arange(300)[None, :] >= 300 - 40 * (torch.arange(batch_size)[:, None] % 3)
        return torch.randn(batch_size, 300, 2), padding

    def loss(model, batch):
        x, padding = batch
        made = model(x, padding)
        share = made[..., 0].log_softmax(-1).unsqueeze(1)
        spread = F.softplus(made[..., 3:]).unsqueeze(1)
        distance = (((x.unsqueeze(2) - made[..., None, :, 1:3]) / spread) ** 2).sum(-1)
        each = torch.logsumexp(share - 0.5 * distance - spread.log().sum(-1), -1)
        return -each.masked_fill(padding, 0).sum() / (~padding).sum()

    return SetTransformer(), make_batch, loss
