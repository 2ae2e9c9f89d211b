"""Where the memory of a step goes: by what it is for, by who holds it, over time. Data only."""

from __future__ import annotations

from dataclasses import dataclass

CATEGORIES = (
    "parameters",
    "gradients",
    "optimizer_states",
    "activations",
    "inputs",
    "temporaries",
    "workspaces",
)
# Stands in the path of a group of holders for the number of a layer.
REPEATED = "*"


@dataclass(frozen=True)
class Breakdown:
    """Bytes alive at the peak, by what they are for. They add up to the peak allocated.

    Attributes:
        parameters: The model's parameters.
        gradients: What `.grad` holds, or is about to.
        optimizer_states: Moments and the like; counters of one element are temporaries.
        activations: Made in a forward pass and kept for the backward pass.
        inputs: The batch.
        temporaries: Everything else that tensors hold, the model's buffers included.
        workspaces: Libraries' scratch memory; on CUDA the remainder that no tensor explains.
    """

    parameters: int = 0
    gradients: int = 0
    optimizer_states: int = 0
    activations: int = 0
    inputs: int = 0
    temporaries: int = 0
    workspaces: int = 0

    @property
    def total(self) -> int:
        """Sum of all categories, in bytes."""
        return sum(getattr(self, name) for name in CATEGORIES)


@dataclass(frozen=True)
class Holder:
    """A part of the model that holds memory at the peak.

    Attributes:
        path: Module path, as in "bert.encoder.layer.7.attention", or what else holds it.
        category: One of CATEGORIES.
        bytes: Bytes alive at the peak.
    """

    path: str
    category: str
    bytes: int


@dataclass(frozen=True)
class HolderGroup:
    """Modules of one kind, as the same one in each layer, and what they hold at the peak.

    Attributes:
        path: Their path with a star for the number of a layer, as in "encoder.layer.*.attention".
        count: How many there are.
        breakdown: Bytes alive at the peak in all of them, by what they are for.
    """

    path: str
    count: int
    breakdown: Breakdown

    @property
    def total_bytes(self) -> int:
        """Bytes alive at the peak, of all categories."""
        return self.breakdown.total


@dataclass(frozen=True)
class Timeline:
    """Live bytes over one training step, at most 2,000 points.

    Attributes:
        positions: Event number of each point, rising.
        allocated_bytes: Live bytes at each point.
        phases: (name, position of its first event) in the order in which they run.
    """

    positions: tuple[int, ...]
    allocated_bytes: tuple[int, ...]
    phases: tuple[tuple[str, int], ...]
