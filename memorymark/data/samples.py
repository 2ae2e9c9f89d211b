"""What a training reads: samples by their numbers, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class Samples(Protocol):
    """Samples of one kind, as many as one epoch has.

    Attributes:
        tokens_per_sample: Tokens of each sample; None where samples differ, or have none.
    """

    tokens_per_sample: int | None

    def __len__(self) -> int:
        """Return how many samples one epoch has."""

    def read(self, indices: Sequence[int]) -> dict[str, np.ndarray]:
        """Return samples by their numbers, as int64 arrays (samples, …), new and contiguous.

        `input_ids`, `attention_mask` and `labels`, which are -100 where nothing is learned.
        """
