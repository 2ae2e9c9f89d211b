"""What a training reads its batches from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class Samples(Protocol):
    """The samples of one epoch, read by their numbers.

    Attributes:
        tokens_per_sample: Tokens of each; None where they differ, or where there are none.
    """

    tokens_per_sample: int | None

    def __len__(self) -> int:
        """Return how many samples an epoch has."""

    def read(self, indices: Sequence[int]) -> dict[str, np.ndarray]:
        """Return samples by their numbers: arrays (n, …) of int64, each new and contiguous."""
