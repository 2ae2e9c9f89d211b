"""A report of levers with made-up figures, for the tests of what is written and drawn of it."""

from __future__ import annotations

from fakes import simulated_target

from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.lever import Card, Lever, LeverReport
from memorymark.units import GIB

LESS = Lever(
    "Checkpointing", {"gradient_checkpointing": True}, True, 8 * GIB, 8 * GIB, 64, 90.0, 1.5,
    "The same gradients.", batch_size=16, memory_bytes=8 * GIB, efficient=True,
    samples_per_second_low=80.0, samples_per_second_high=100.0,
)  # fmt: skip
FASTER = Lever(
    "Half precision", {"precision": "amp-bf16"}, True, 17 * GIB, -GIB, 30, 200.0, 0.5,
    batch_size=16, memory_bytes=17 * GIB, efficient=True,
)  # fmt: skip
BEATEN = Lever(
    "Fused", {"optimizer_impl": "fused"}, True, 18 * GIB, None, 16, 100.0, None,
    batch_size=16, memory_bytes=18 * GIB,
)  # fmt: skip
TOO_LARGE = Lever("SGD", {"optimizer": "sgd"}, False, None, GIB, None, batch_size=16,
                  memory_bytes=50 * GIB)  # fmt: skip
BEFORE = Lever("As it is", {}, True, 16 * GIB, None, 32, 100.0, 1.0, batch_size=16,
               memory_bytes=16 * GIB)  # fmt: skip
SMALL = Card("l4", "NVIDIA L4", 24 * GIB, 0.8, True)
CHEAP = Card("a40", "NVIDIA A40", 48 * GIB, 0.4, True)


def report(**changes) -> LeverReport:
    given = {
        "workload": "bert", "config": TrainingConfig(), "target": simulated_target(),
        "options": AnalysisOptions(), "before": BEFORE,
        "levers": (LESS, FASTER, BEATEN, TOO_LARGE), **changes,
    }  # fmt: skip
    return LeverReport(**given)
