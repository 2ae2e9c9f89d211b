"""What weights of 4 bits add to a pass: layers unpack them before they multiply.

bitsandbytes unpacks a layer's weights by a kernel of its own, unless one row alone is multiplied,
and prepares each call in Python. Both constants are fitted to published passes of families that
are not kept apart (LLM-Perf's runs with bitsandbytes on an A100 and an A10G;
benchmarks/inference.py): the kernel took as long on both cards, though one has two and a half times
the other's bandwidth. The published runs are of 2024: newer versions of the package may be faster.
"""

from __future__ import annotations

from dataclasses import dataclass

_SECONDS_PER_WEIGHT = 40e-12
_HOST_SECONDS_PER_LAYER = 137e-6


@dataclass(frozen=True)
class Unpacking:
    """The layers of one pass whose weights have 4 bits.

    Attributes:
        layers: How many of them run.
        weights: Weights that are unpacked; 0 where one row alone is multiplied.
        width: What not knowing the package's pace adds to the band, as a natural logarithm.
        reason: Why, in words.
    """

    layers: int
    weights: int
    width: float = 0.25
    reason: str = "how fast weights of 4 bits are unpacked depends on bitsandbytes' version"

    @property
    def device_seconds(self) -> float:
        """Seconds of unpacking."""
        return self.weights * _SECONDS_PER_WEIGHT

    @property
    def host_seconds(self) -> float:
        """Seconds in which the host prepares the layers' calls."""
        return self.layers * _HOST_SECONDS_PER_LAYER


# A judgement: for weights of 4 bits the estimate was off by as much before it counted the layers'
# calls, and torchao's layers of 8 bits, of which no pass in transformers was published, make some.
UNSEEN = Unpacking(
    layers=0, weights=0, width=0.7,
    reason="no published pass of transformers with weights of 8 bits by torchao is known",
)  # fmt: skip
