"""Detection and segmentation, with boxes and masks as data sets give them."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

SIZE, CLASSES = 96, 5


def _boxes(index, count):
    """Return boxes inside the image, corners in order."""
    corner = torch.arange(count * 2).reshape(count, 2).float() * 7 + index
    corner = corner % (SIZE // 2)
    return torch.cat((corner, corner + 16 + 4 * torch.arange(count)[:, None]), dim=1)


def _targets(batch_size):
    counts = [1 + index % 3 for index in range(batch_size)]
    return [
        {"boxes": _boxes(i, n), "labels": torch.arange(n) % (CLASSES - 1) + 1}
        for i, n in enumerate(counts)
    ]


def _detection_batch(batch_size):
    return [torch.rand(3, SIZE, SIZE) for _ in range(batch_size)], _targets(batch_size)


def _sum_of_losses(model, batch):
    images, targets = batch
    losses = model(images, targets)
    return sum(losses.values())


def fasterrcnn():
    """torchvision's Faster R-CNN on lists of images and boxes."""
    from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn as build

    model = build(
        weights=None, weights_backbone=None, num_classes=CLASSES, min_size=SIZE, max_size=SIZE
    )
    return model, _detection_batch, _sum_of_losses


def retinanet():
    """torchvision's RetinaNet: anchors and focal loss."""
    from torchvision.models import mobilenet_v3_small
    from torchvision.models.detection import RetinaNet
    from torchvision.models.detection.anchor_utils import AnchorGenerator

    backbone = mobilenet_v3_small(weights=None).features
    backbone.out_channels = 576
    anchors = AnchorGenerator(sizes=((32, 48),), aspect_ratios=((0.5, 1.0, 2.0),))
    model = RetinaNet(backbone, CLASSES, min_size=SIZE, max_size=SIZE, anchor_generator=anchors)
    return model, _detection_batch, _sum_of_losses


class Fcos(nn.Module):
    """Every position says class, distances to the box's sides and how central it is."""

    def __init__(self, width=64):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU(inplace=True),
            nn.Conv2d(32, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
        )  # fmt: skip
        self.tower = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.GroupNorm(8, width), nn.ReLU()
        )
        self.scores = nn.Conv2d(width, CLASSES, 3, padding=1)
        self.sides = nn.Conv2d(width, 4, 3, padding=1)
        self.centre = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, images):
        h = self.tower(self.backbone(images))
        return self.scores(h), F.relu(self.sides(h)), self.centre(h)


def _match(boxes, labels, points):
    """Assign each point the smallest box that it lies in."""
    left = points[:, None, 0] - boxes[None, :, 0]
    top = points[:, None, 1] - boxes[None, :, 1]
    right = boxes[None, :, 2] - points[:, None, 0]
    bottom = boxes[None, :, 3] - points[:, None, 1]
    sides = torch.stack((left, top, right, bottom), -1)
    area = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).expand(len(points), -1)
    area = area.masked_fill(sides.min(-1).values <= 0, float("inf"))
    smallest, index = area.min(1)
    found = torch.where(smallest.isinf(), 0, labels[index])
    return found, sides[torch.arange(len(points), device=points.device), index]


def fcos():
    """Anchor-free detection with its own matching, over the positions that have a box."""

    def make_batch(batch_size):
        return torch.rand(batch_size, 3, SIZE, SIZE), _targets(batch_size)

    def loss(model, batch):
        images, targets = batch
        scores, sides, centre = model(images)
        places = torch.arange(SIZE // 8, device=images.device) * 8.0 + 4
        points = torch.stack(torch.meshgrid(places, places, indexing="xy"), -1).reshape(-1, 2)
        matched = [_match(t["boxes"], t["labels"], points) for t in targets]
        labels = torch.cat([found for found, _ in matched])
        wanted = torch.cat([distances for _, distances in matched])
        scores = scores.permute(0, 2, 3, 1).reshape(-1, CLASSES)
        sides = sides.permute(0, 2, 3, 1).reshape(-1, 4)
        inside = labels > 0
        total = F.cross_entropy(scores, labels)
        if inside.any():
            total = total + F.smooth_l1_loss(sides[inside], wanted[inside])
            quality = wanted[inside].min(1).values / wanted[inside].max(1).values
            total = total + F.binary_cross_entropy_with_logits(
                centre.flatten()[inside], quality.clamp(0, 1)
            )
        return total

    return Fcos(), make_batch, loss


class Yolo(nn.Module):
    """A grid of boxes with dense targets."""

    def __init__(self):
        super().__init__()
        layers, width = [], 3
        for wider in (16, 32, 64, 128):
            layers += [nn.Conv2d(width, wider, 3, 2, 1, bias=False), nn.BatchNorm2d(wider)]
            layers += [nn.LeakyReLU(0.1, inplace=True)]
            width = wider
        self.body = nn.Sequential(*layers, nn.Conv2d(width, 3 * (5 + CLASSES), 1))

    def forward(self, images):
        h = self.body(images)
        n, _, high, wide = h.shape
        return h.view(n, 3, 5 + CLASSES, high, wide).permute(0, 1, 3, 4, 2)


def yolo():
    """Anchors by grid, targets written into it by their indices."""

    def make_batch(batch_size):
        rows = [[i, k % 3, (i + k) % 6, (2 * k) % 6, k % CLASSES]
                for i in range(batch_size) for k in range(1 + i % 4)]  # fmt: skip
        return torch.rand(batch_size, 3, SIZE, SIZE), torch.tensor(rows)

    def loss(model, batch):
        images, rows = batch
        made = model(images)
        sample, anchor, row, column, label = rows.unbind(1)
        chosen = made[sample, anchor, row, column]
        wanted = torch.zeros_like(made[..., 4])
        wanted[sample, anchor, row, column] = 1.0
        boxes = torch.full_like(chosen[:, :4], 0.5)
        return (
            F.mse_loss(chosen[:, :4].sigmoid(), boxes)
            + F.cross_entropy(chosen[:, 5:], label)
            + F.binary_cross_entropy_with_logits(made[..., 4], wanted)
        )

    return Yolo(), make_batch, loss


class SegmentationUnet(nn.Module):
    """Down with pooling, up with transposed convolutions, joined at each level."""

    def __init__(self, width=16, depth=3):
        super().__init__()
        widths = [width * 2**i for i in range(depth + 1)]
        self.down = nn.ModuleList(
            self._pair(a, b) for a, b in zip([3, *widths], widths, strict=False)
        )
        self.grow = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2) for a, b in pairwise(widths))
        self.up = nn.ModuleList(self._pair(2 * a, a) for a in widths[:-1])
        self.head = nn.Conv2d(width, CLASSES, 1)

    @staticmethod
    def _pair(inputs, outputs):
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True), nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs), nn.ReLU(inplace=True),
        )  # fmt: skip

    def forward(self, x):
        kept = []
        for index, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if index else x)
            kept.append(x)
        for index in reversed(range(len(self.up))):
            x = self.up[index](torch.cat((kept[index], self.grow[index](x)), 1))
        return self.head(x)


def _masks(batch_size):
    images = torch.rand(batch_size, 3, SIZE, SIZE)
    masks = (torch.arange(SIZE)[None, :, None] + torch.arange(SIZE)[None, None, :]) // 40
    return images, (masks + torch.arange(batch_size)[:, None, None]) % CLASSES


def segmentation_unet():
    """Cross entropy and dice over one-hot masks."""

    def loss(model, batch):
        images, masks = batch
        scores = model(images)
        soft, hot = scores.softmax(1), F.one_hot(masks, CLASSES).permute(0, 3, 1, 2).float()
        shared = 2 * (soft * hot).sum((0, 2, 3)) + 1e-5
        dice = 1 - shared / ((soft + hot).sum((0, 2, 3)) + 1e-5)
        return F.cross_entropy(scores, masks) + dice.mean(), scores

    return SegmentationUnet(), _masks, loss


def segmentation_hard_pixels():
    """Only the quarter of the pixels with the largest error counts."""

    def loss(model, batch):
        images, masks = batch
        each = F.cross_entropy(model(images), masks, reduction="none", ignore_index=255).flatten()
        return each.topk(each.numel() // 4).values.mean()

    return SegmentationUnet(), _masks, loss


def deeplab():
    """torchvision's DeepLab with its auxiliary head."""
    from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large as build

    model = build(weights=None, weights_backbone=None, num_classes=CLASSES, aux_loss=True)

    def loss(model, batch):
        images, masks = batch
        outputs = model(images)
        main = F.cross_entropy(outputs["out"], masks)
        return main + 0.5 * F.cross_entropy(outputs["aux"], masks)

    return model, _masks, loss
