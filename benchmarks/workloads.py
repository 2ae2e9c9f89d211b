"""Compares simulated with measured peaks on workloads as people write them.

    python benchmarks/workloads.py [--only TEXT] [--json FILE] [--show NAME]

Each workload of the zoo trains two steps on the CPU, measured, and two steps simulated under the
CPU's rules. Parity is the simulated peak over the measured one. The bar: 95 % of all workloads
within 0.1 %, and none too low without saying so; the exit code is 1 where it is missed.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import json
import multiprocessing
import sys
import time
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import torch
from traces import (
    first_difference,
    first_lasting_difference,
    held_at_peaks,
    peak_bytes,
    peak_phase,
    worst_phase,
)
from zoo.cases import Case, Missing, list_cases, workload_of

from memorymark.errors import MemoryMarkError, OutOfMemory
from memorymark.memory.trace import Trace
from memorymark.memory.tracker import MemoryTracker
from memorymark.records.config import TrainingConfig
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.simulate import simulate
from memorymark.training.runtime import DeviceRuntime
from memorymark.training.tracked import run_tracked_steps
from memorymark.units import GIB
from memorymark.workloads.build import build_model
from memorymark.workloads.trial_spec import TrialSpec

TOLERANCE = 0.001
SHARE = 0.95
_BUDGET = 6 * GIB
_TIMEOUT_S = 120
_STEPS = 2


@dataclass(frozen=True)
class Result:
    """What came of one workload.

    Attributes:
        name: The workload's name.
        status: "ok"; "refused" where the simulation said no; "not measured" where the measurement
            did; "failed" where either raised what it does not mean to; "skipped" where a package
            is not installed.
        measured_bytes: Peak of the real steps.
        simulated_bytes: Peak of the simulated steps.
        phase: Phase of the step in which the measured peak lies.
        worst_phase: The phase whose own peaks differ the most, and by how much.
        assumptions: What the simulation said that it assumed.
        reason: Why it was refused, not measured or skipped; where the traces part otherwise.
        seconds: Wall-clock seconds of both.
    """

    name: str
    status: str
    measured_bytes: int | None = None
    simulated_bytes: int | None = None
    phase: str | None = None
    worst_phase: str | None = None
    assumptions: tuple[str, ...] = ()
    reason: str | None = None
    seconds: float = 0.0

    @property
    def parity(self) -> float | None:
        """Simulated over measured peak, None where one of them is not known."""
        if not self.measured_bytes or self.simulated_bytes is None:
            return None
        return self.simulated_bytes / self.measured_bytes

    @property
    def is_within(self) -> bool:
        """Whether both agree within the tolerance."""
        if not self.measured_bytes or self.simulated_bytes is None:
            return False
        return abs(self.simulated_bytes - self.measured_bytes) <= TOLERANCE * self.measured_bytes

    @property
    def is_silently_low(self) -> bool:
        """Whether the simulation is too low and says nothing that could explain it."""
        is_low = self.parity is not None and self.parity < 1 and not self.is_within
        return is_low and not self.assumptions


def run_case(case: Case) -> Result:
    """Measure and simulate one workload."""
    start = time.perf_counter()
    try:
        result = _compared(case)
    except (Missing, ImportError) as error:
        result = Result(case.name, "skipped", reason=" ".join(str(error).split()))
    except Exception as error:  # the others are to be measured all the same
        result = Result(case.name, "failed", reason=f"{type(error).__name__}: {error}")
    return dataclasses.replace(result, seconds=round(time.perf_counter() - start, 2))


def _compared(case: Case) -> Result:
    try:
        measured = measured_trace(case)
    except (MemoryMarkError, OutOfMemory) as error:
        return Result(case.name, "not measured", reason=str(error))
    try:
        simulated, assumptions = simulated_trace(case)
    except MemoryMarkError as error:
        return Result(case.name, "refused", peak_bytes(measured), reason=str(error))
    phase, parity = worst_phase(measured, simulated)
    result = Result(
        case.name, "ok", peak_bytes(measured), peak_bytes(simulated), peak_phase(measured),
        f"{parity:.4f} in {phase}", assumptions,
    )  # fmt: skip
    if result.is_within and abs(parity - 1) <= TOLERANCE:
        return result
    return dataclasses.replace(result, reason=where_they_part(measured, simulated))


def _spec(case: Case) -> TrialSpec:
    torch.manual_seed(0)
    return TrialSpec(workload_of(case), TrainingConfig(**case.config), case.batch_size)


def measured_trace(case: Case) -> Trace:
    """Run a workload's real steps as the CPU's probe does; return what they took and released."""
    spec, tracker = _spec(case), MemoryTracker("cpu", budget_bytes=_BUDGET)
    device = torch.device("cpu")
    model = build_model(spec.workload, spec.config, device)
    run_tracked_steps(spec, model, DeviceRuntime(device), tracker, steps=_STEPS)
    gc.collect()
    return tracker.trace


def simulated_trace(case: Case) -> tuple[Trace, tuple[str, ...]]:
    """Simulate a workload's steps under the CPU's rules; return the trace and what was assumed."""
    spec = _spec(case)
    model = build_model(spec.workload, spec.config, torch.device("meta"))
    steps = simulate(spec, model, Rules(Platform.CPU), steps=_STEPS)
    return steps.trace, steps.assumptions


def where_they_part(measured: Trace, simulated: Trace) -> str:
    """Return in what two traces differ: what lives on first, and most bytes at the peaks."""
    first = first_lasting_difference(measured, simulated) or first_difference(measured, simulated)
    held = held_at_peaks(measured, simulated)[:3]
    return f"first {first}; at the peaks: {'; '.join(map(str, held))}"


def run_apart(case: Case) -> Result:
    """Run a case in a process of its own: if it is aborted or hangs, the others go on."""
    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=lambda: sending.send(run_case(case)), daemon=True)
    process.start()
    sending.close()
    try:
        if receiving.poll(_TIMEOUT_S):
            return receiving.recv()
        reason = f"It took more than {_TIMEOUT_S} s."
    except EOFError:
        process.join()
        reason = f"The process ended with code {process.exitcode}."
    finally:
        process.kill()
        process.join()
    return Result(case.name, "failed", reason=reason)


def summary(results: Iterable[Result]) -> dict[str, Any]:
    """Return the counts, and whether the bar is met; only what was skipped does not count."""
    results = list(results)
    run = [r for r in results if r.status != "skipped"]
    within = sum(r.is_within for r in run)
    silent = [r.name for r in run if r.is_silently_low]
    share = within / len(run) if run else 0.0
    return {
        "workloads": len(run),
        "within": within,
        "share": round(share, 4),
        "refused": sum(r.status == "refused" for r in run),
        "skipped": sum(r.status == "skipped" for r in results),
        "silently_low": silent,
        "met": share >= SHARE and not silent,
    }


def document(results: list[Result]) -> dict[str, Any]:
    """Return the run as it is kept."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "software": _software(),
        "tolerance": TOLERANCE,
        "summary": summary(results),
        "results": [{**asdict(r), "parity": r.parity} for r in results],
    }


def _software() -> dict[str, str]:
    found = {}
    for package in ("torch", "torchvision", "transformers", "timm"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def line(result: Result) -> str:
    """Return a row of the table."""
    if result.parity is None:
        return f"{result.name:44} {result.status:>12}  {result.reason or ''}"
    said = "SILENTLY LOW" if result.is_silently_low else "; ".join(result.assumptions)
    measured = (result.measured_bytes or 0) / 2**20
    text = f"{result.name:44} {measured:8.2f} MiB {result.parity:8.4f} in {result.phase!s:9} {said}"
    if result.reason is None:
        return text.rstrip()
    return f"{text}\n    worst phase {result.worst_phase}; {result.reason}"


def show(case: Case) -> None:
    """Print in what the two traces of a workload differ."""
    measured, (simulated, assumptions) = measured_trace(case), simulated_trace(case)
    print("peaks", peak_bytes(measured), peak_bytes(simulated), *assumptions, sep="\n  ")
    print("first difference:", first_difference(measured, simulated))
    print("first lasting difference:", first_lasting_difference(measured, simulated))
    for held in held_at_peaks(measured, simulated)[:20]:
        print("  ", held)


def main() -> int:
    """Run the benchmark; return 1 where the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="workloads whose name contains this")
    parser.add_argument("--json", type=Path, help="write the results there")
    parser.add_argument("--show", action="store_true", help="print where the traces part")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    cases = [case for case in list_cases() if options.only in case.name]
    if options.show:
        for case in cases:
            show(case)
        return 0
    results = []
    for case in cases:
        results.append(run_apart(case))
        print(line(results[-1]), flush=True)
    counts = summary(results)
    print(json.dumps(counts, indent=1))
    if options.json:
        text = json.dumps(document(results), indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")
    return 0 if counts["met"] else 1


if __name__ == "__main__":
    sys.exit(main())
