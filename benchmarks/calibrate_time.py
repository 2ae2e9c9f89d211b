"""Fits the constants of the estimate of time to published step times.

    python benchmarks/calibrate_time.py [--across] [--limit N]

Prints `Calibration` with the values found. Only rows that benchmarks/step_times.py does not keep
apart are fitted on, each family of models with about the same weight, by least squares of the
logarithm of estimated over published time, robust against rows that are far off. Each constant is
held near its present value, by one part in five for as much as a few hundred rows weigh.

With --across nothing is kept: it prints what the error is where each fifth of the families, and
each card, is left out in turn. ResNet-50's mixed-precision rows of `lambda-*` are left out of the
fit: on the card that both were run on, they are 40 % slower than timm's own plain PyTorch, and
their rates suggest that the images came too slowly.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import numpy as np
import step_times
import torch
from scipy.optimize import least_squares
from step_times import TimedRow, is_family_apart

from memorymark.errors import MemoryMarkError
from memorymark.gpus.catalogue import find_gpu
from memorymark.placement.pretended_gpu import pretended_gpu
from memorymark.records.config import Precision
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.simulate import simulate
from memorymark.simulator.time.calibration import CALIBRATION, Calibration
from memorymark.simulator.time.clock import counted_kernels
from memorymark.simulator.time.kernels import Kernel, Work
from memorymark.simulator.time.pricing import Table, kernel_seconds
from memorymark.simulator.time.speeds import speeds_of
from memorymark.workloads.build import build_model

# What the rows say nothing of: see Calibration.
TAKEN = frozenset((
    "l2_speed", "launch_seconds", "forward_host_seconds", "backward_host_seconds",
    "optimizer_host_seconds", "geforce_clock", "turing_flops_per_joule", "hopper_flops_per_joule",
    "product_bandwidth", "last_wave", "narrow", "inference_host_seconds",
    "blackwell_flops_per_joule", "geforce_blackwell_flops_per_joule", "geforce_blackwell_reach",
))  # fmt: skip
# The card of a generation with a constant of its own; no other is fitted on its rows.
BLACKWELL = "rtx-5090"
FITTED = [f.name for f in dataclasses.fields(Calibration) if f.name not in TAKEN]
# The most that a constant may be; no share of the bandwidth of plain copies is above this.
_BANDWIDTH = 0.93
_MOST = {
    **dict.fromkeys(
        ("elementwise", "layout", "norm", "norm_last", "row_norm", "reduction", "optimizer",
         "transpose"), _BANDWIDTH,
    ),
    **dict.fromkeys(("product", "grouped"), 0.97), "convolution": 1.0,
    "layout_backward": _BANDWIDTH, "flash": 0.8, "odd_product": 0.95, "overlap": 8.0,
}  # fmt: skip
# Errors above it weigh less and less.
_FAR = 0.07
_HELD_WITHIN = 0.2
_AMPERE = (8, 0)


@dataclass(frozen=True)
class Run:
    """One row and the kernels of its step, counted."""

    row: TimedRow
    kernels: tuple[Kernel, ...]
    counts: Any


class Runs:
    """Some runs, priced together."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = list(runs)
        cards: dict[tuple[str, bool], list[int]] = defaultdict(list)
        for place, run in enumerate(self._runs):
            cards[run.row.gpu, run.row.config.precision is Precision.TF32].append(place)
        self._cards = [(*card, places, self._joined(places)) for card, places in cards.items()]

    def _joined(self, places: Sequence[int]) -> tuple[Table, Any, Any]:
        """Return the kernels of some runs, how often each runs, and whose it is."""
        runs = [self._runs[place] for place in places]
        table = Table.of([kernel for run in runs for kernel in run.kernels])
        whose = np.repeat(np.arange(len(runs)), [len(run.kernels) for run in runs])
        return table, np.concatenate([run.counts for run in runs]), whose

    def seconds(self, calibration: Calibration) -> Any:
        """Return the estimates without the host's part, which is none in rows of large batches."""
        found = np.empty(len(self._runs))
        for gpu, tf32, places, (table, counts, whose) in self._cards:
            speeds = speeds_of(find_gpu(gpu), calibration, tf32=tf32)
            each = counts * kernel_seconds(table, speeds, calibration)
            found[places] = np.bincount(whose, each, len(places))
        return found


def runs_of(rows: Iterable[TimedRow], folder: Path) -> list[Run]:
    """Simulate rows; those that cannot be built today are left out."""
    found, alike = [], {}
    for row in sorted(rows, key=lambda row: (row.model, row.id)):
        older = find_gpu(row.gpu).compute_capability < _AMPERE
        training = row.model, row.stage, row.config, row.batch_size, older
        if training not in alike:
            # Rows that are alike stand one after the other.
            alike = {training: _counted(row, folder)}
        if alike[training] is not None:
            found.append(Run(row, *alike[training]))
    return found


def _counted(row: TimedRow, folder: Path) -> tuple[tuple[Kernel, ...], Any] | None:
    try:
        kernels = counted_kernels(_works_of(row, folder))
    except MemoryMarkError:
        return None
    return tuple(kernels), np.array(list(kernels.values()), dtype=float)


def _works_of(row: TimedRow, folder: Path) -> list[Work]:
    gpu, spec = find_gpu(row.gpu), step_times.spec_of(row, folder)
    model = build_model(spec.workload, spec.config, torch.device("meta"))
    with pretended_gpu(name=gpu.name, capability=gpu.compute_capability):
        return simulate(spec, model, Rules(Platform.CUDA, gpu.compute_capability)).works


def fit(runs: Sequence[Run]) -> Calibration:
    """Return the constants that fit some runs."""
    used = [run for run in runs if not _is_starved(run.row) and run.row.gpu != BLACKWELL]
    priced, published = Runs(used), _published(used)
    families = Counter(run.row.family for run in used)
    weights = np.array([families[run.row.family] ** -0.25 for run in used])
    weights /= np.sqrt((weights**2).mean())
    start = np.log([getattr(CALIBRATION, name) for name in FITTED])
    most = np.log([_MOST.get(name, np.inf) for name in FITTED])
    hold = _FAR * np.sqrt(len(used) / 300) / _HELD_WITHIN

    def residuals(values: Any) -> Any:
        errors = np.log(priced.seconds(_with(values)) / published) * weights
        robust = np.sign(errors) * _FAR * np.sqrt(np.log1p((errors / _FAR) ** 2))
        return np.concatenate([robust, hold * (values - start)])

    start = np.minimum(start, most - 1e-6)
    bounds = (np.full(len(start), -np.inf), most)
    found = _with(least_squares(residuals, start, bounds=bounds, diff_step=1e-2, max_nfev=15).x)
    return _with_blackwell(found, [run for run in runs if run.row.gpu == BLACKWELL])


def _with_blackwell(found: Calibration, runs: Sequence[Run]) -> Calibration:
    """Return the constants with what is left of them on the card of the newest generation."""
    plain = dataclasses.replace(found, geforce_blackwell_reach=1.0)
    if not runs:
        return plain
    reach = np.median(Runs(runs).seconds(plain) / _published(runs))
    return dataclasses.replace(found, geforce_blackwell_reach=float(reach))


def _published(runs: Sequence[Run]) -> Any:
    return np.array([run.row.seconds for run in runs])


def _with(values: Any) -> Calibration:
    named = zip(FITTED, np.exp(values).tolist(), strict=True)
    return dataclasses.replace(CALIBRATION, **dict(named))


def _is_starved(row: TimedRow) -> bool:
    return row.model == "torchvision:resnet50" and row.config.precision.is_amp


def report(name: str, runs: Sequence[Run], calibration: Calibration) -> None:
    """Print the errors of some runs, if there are any."""
    if not runs:
        return
    errors = np.abs(Runs(runs).seconds(calibration) / _published(runs) - 1)
    print(
        f"{name:24} {len(errors):5} rows, median error {np.median(errors):.1%}, nine in ten "
        f"within {np.quantile(errors, 0.9):.1%}, {np.mean(errors < 0.3):.0%} within 30 %"
    )


def across(runs: Sequence[Run]) -> None:
    """Print the error of each fifth of the families, and of each card, when it is left out."""
    families = sorted({run.row.family for run in runs})
    for fold in (frozenset(families[n::5]) for n in range(5)):
        apart = [run for run in runs if run.row.family in fold]
        _report_without(f"{min(fold)} and {len(fold) - 1} more", runs, apart)
    for gpu in sorted({run.row.gpu for run in runs}):
        _report_without(gpu, runs, [run for run in runs if run.row.gpu == gpu])


def _report_without(name: str, runs: Sequence[Run], apart: Sequence[Run]) -> None:
    left_out = {id(run) for run in apart}
    found = fit([run for run in runs if id(run) not in left_out])
    report(f"without {name}", apart, found)


def main() -> None:
    """Fit, and print the constants and the errors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--across", action="store_true", help="leave families and cards out")
    parser.add_argument("--limit", type=int, help="take so many rows only")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = runs_of(step_times.load()[: given.limit], Path(folder))
    if given.across:
        across(runs)
        return
    calibration = fit([run for run in runs if not run.row.is_apart])
    for name in [*FITTED, "geforce_blackwell_reach"]:
        print(f"{name} = {getattr(calibration, name):.3g}")
    report("fitted on", [run for run in runs if not run.row.is_apart], calibration)
    report("family apart", [r for r in runs if is_family_apart(r.row.family)], calibration)
    report("card apart", [r for r in runs if r.row.gpu in step_times.CARDS_APART], calibration)


if __name__ == "__main__":
    main()
