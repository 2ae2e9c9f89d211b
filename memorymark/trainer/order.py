"""The order in which samples are trained on: each epoch once through all, shuffled by the seed."""

from __future__ import annotations

import numpy as np


class Order:
    """Says which samples stand where; it depends on seed and position alone, and saves nothing.

    Args:
        count: Samples of an epoch.
        seed: Seed of the shuffling.

    Example:
        >>> order = Order(3, seed=1)
        >>> sorted(order.at(0, 3)), sorted(order.at(3, 3)), order.at(2, 2) == order.at(0, 4)[2:]
        ([0, 1, 2], [0, 1, 2], True)
    """

    def __init__(self, count: int, seed: int) -> None:
        assert count > 0
        self._count, self._seed = count, seed
        self._epochs: dict[int, np.ndarray] = {}

    def at(self, position: int, count: int) -> list[int]:
        """Return the samples from a position on; it counts on from epoch to epoch."""
        return [index for _, part in self.by_epoch(position, count) for index in part]

    def by_epoch(self, position: int, count: int) -> list[tuple[int, list[int]]]:
        """Return the same with the number of the epoch that each part of them is of."""
        found: list[tuple[int, list[int]]] = []
        while count:
            epoch, first = divmod(position, self._count)
            part = self._epoch(epoch)[first : first + count].tolist()
            found.append((epoch, part))
            position, count = position + len(part), count - len(part)
        return found

    def _epoch(self, epoch: int) -> np.ndarray:
        if epoch not in self._epochs:
            self._epochs = {k: v for k, v in self._epochs.items() if k == epoch - 1}
            shuffled = np.random.default_rng([self._seed, epoch]).permutation(self._count)
            self._epochs[epoch] = shuffled
        return self._epochs[epoch]
