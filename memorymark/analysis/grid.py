"""The batch sizes that a search may try."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Grid:
    """Batch sizes by number: every one below the granularity, its multiples from there on.

    Attributes:
        granularity: The step between batch sizes, in samples.
    """

    granularity: int

    @classmethod
    def spanning(cls, granularity: int, lower: int, upper: int) -> Grid:
        """Make a grid with at least one batch size within the bounds."""
        grid = cls(granularity)
        return grid if grid.batch(grid.ceiling(lower)) <= upper else cls(1)

    def batch(self, number: int) -> int:
        """Return the batch size of a number."""
        step = self.granularity
        return number if number < step else (number - step + 1) * step

    def floor(self, batch: int) -> int:
        """Return the number of the largest batch size up to one."""
        step = self.granularity
        return batch if batch < step else batch // step + step - 1

    def ceiling(self, batch: int) -> int:
        """Return the number of the smallest batch size from one on."""
        number = self.floor(batch)
        return number if self.batch(number) == batch else number + 1

    def nearest(self, batch: int) -> int:
        """Return the number of the batch size that is nearest to one, the larger of two."""
        below, above = self.floor(batch), self.ceiling(batch)
        return below if batch - self.batch(below) < self.batch(above) - batch else above

    def holds(self, batch: int) -> bool:
        """Say whether a batch size is on the grid."""
        return self.batch(self.floor(batch)) == batch
