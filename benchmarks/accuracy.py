"""Scores the simulator against memory that was measured on real GPUs.

    python benchmarks/accuracy.py [--json FILE] [--measured FILE ...] [--only TEXT]

Prints a table by family: the error of the simulated peak, the peers' errors on the same rows,
and the verdicts on rows that ran out of memory. Where the simulated peak is a range, the error is
that of its best single figure; the share of measured peaks inside the range and its width, the
difference of its ends over their middle, are printed too. The rows of ground_truth/ were measured
with transformers 4.51.3: run it in an environment with requirements-accuracy.txt. Files written by
benchmarks/measured.py are scored with the version that runs here: allocated and reserved by
model, the recorded allocation traces through the simulated allocator, and the seconds of a step.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import step_time
from recording import Replayed, replay_file
from rows import (
    CNN_WORKSPACES,
    Row,
    load_measured,
    load_rows,
    load_traces,
    model_of,
    target_of,
)

import memorymark
from memorymark.errors import MemoryMarkError
from memorymark.probes.common import software
from memorymark.records.config import TrainingConfig
from memorymark.records.trial import Trial
from memorymark.units import MIB

LARGE_ERROR = 0.05


@dataclass(frozen=True)
class Score:
    """One row, simulated.

    Attributes:
        id: The row's name.
        family: What it is reported under.
        model: The workload's name.
        measured_bytes: The reading; None where there is none.
        simulated_bytes: The same reading, simulated at the card's capacity; of reserved memory the
            least capacity that the step needs, where it runs out.
        error: Simulated over measured, less one; None where the row ran out of memory.
        peer_errors: The peers' errors on the row.
        out_of_memory: Whether the run ended out of memory.
        predicted_out_of_memory: Whether the simulation does; None without a capacity.
        reason: Why the row is far off, or cannot be simulated.
        low_bytes: Lower end of the simulated reading, where it is a range.
        high_bytes: Its higher end.
    """

    id: str
    family: str
    model: str
    measured_bytes: int | None
    simulated_bytes: int | None
    error: float | None
    peer_errors: dict[str, float]
    out_of_memory: bool
    predicted_out_of_memory: bool | None
    reason: str | None
    low_bytes: int | None = None
    high_bytes: int | None = None

    @property
    def is_inside(self) -> bool | None:
        """Whether the reading lies in the range; None where there is no reading or no range."""
        if self.error is None or self.low_bytes is None or self.high_bytes is None:
            return None
        return self.low_bytes <= (self.measured_bytes or 0) <= self.high_bytes

    @property
    def width(self) -> float:
        """The difference of the ends over their middle, where there is a range."""
        low, high = self.low_bytes or 0, self.high_bytes or 0
        return 2 * (high - low) / (high + low)


def score(row: Row) -> Score:
    """Simulate a row and compare."""
    try:
        trial = _trial(row.model, row.config, row.batch_size, *target_of(row))
    except MemoryMarkError as error:
        return _scored(row, None, None, str(error))
    out_of_memory = None if row.capacity_bytes is None else not trial.fits
    if row.metric != "reserved":
        return _scored(row, trial.peak_allocated_bytes, out_of_memory, None)
    value = trial.peak_reserved_bytes if trial.fits else trial.minimum_bytes
    return replace(
        _scored(row, value, out_of_memory, None),
        low_bytes=trial.peak_reserved_low_bytes,
        high_bytes=trial.peak_reserved_high_bytes,
    )


@lru_cache(maxsize=1)
def _trial(
    model: str, config: TrainingConfig, batch_size: int, gpu: str, memory_budget: int | None
) -> Trial:
    """Simulate a trial as users do; kept for the next row, which may be its other reading."""
    return memorymark.estimate(
        model_of(model), config, batch_size=batch_size, gpu=gpu, memory_budget=memory_budget
    )


def _scored(row: Row, value: int | None, out_of_memory: bool | None, reason: str | None) -> Score:
    comparable = value is not None and row.value_bytes and not row.out_of_memory
    error = value / row.value_bytes - 1 if comparable else None
    if error is not None and abs(error) > LARGE_ERROR:
        reason = reason_of(row, error)
    return Score(
        id=row.id,
        family=row.family,
        model=row.model,
        measured_bytes=row.value_bytes,
        simulated_bytes=value,
        error=error,
        peer_errors=_peer_errors(row),
        out_of_memory=row.out_of_memory,
        predicted_out_of_memory=out_of_memory,
        reason=reason,
    )


def _peer_errors(row: Row) -> dict[str, float]:
    if row.out_of_memory or not row.value_bytes:
        return {}
    return {name: value / row.value_bytes - 1 for name, value in row.peers.items()}


def reason_of(row: Row, error: float) -> str:
    """Say why a row is more than 5 % off, as far as it is known."""
    if row.family == "cnn":
        return (
            "cuDNN's plans for these shapes on this card are not known: their workspaces decide "
            "which cached blocks later tensors find, and the range for them is one for all cards."
        )
    if row.model.endswith("t5-small") and row.batch_size < 10:
        return "The run's sequences were shorter than 128 below batch 10, and are not recorded."
    if row.family == "rasbt":
        return "A torch 2.1 preview, whose foreach Adam kept more temporaries in bf16."
    return f"Not explained ({error:+.1%})."


def summarize(scores: Iterable[Score]) -> dict[str, dict[str, float | int | None]]:
    """Return the table's rows by family."""
    families: dict[str, list[Score]] = {}
    for item in scores:
        families.setdefault(item.family, []).append(item)
    return {name: _summary(items) for name, items in families.items()}


def _summary(items: list[Score]) -> dict[str, float | int | None]:
    errors = [item.error for item in items if item.error is not None]
    verdicts = [i for i in items if i.predicted_out_of_memory is not None]
    ranged = [item for item in items if item.is_inside is not None]
    return {
        "rows": len(items),
        "not_simulated": sum(item.simulated_bytes is None for item in items),
        "median_error": _median(abs(e) for e in errors),
        "p95_error": _percentile(sorted(abs(e) for e in errors), 0.95),
        "worst_error": max(errors, key=abs, default=None),
        "median_signed_error": _median(errors),
        "xmem_median_error": _median(abs(i.peer_errors["xmem"]) for i in items if i.peer_errors),
        "dnnmem_median_error": _median(
            abs(i.peer_errors["dnnmem"]) for i in items if "dnnmem" in i.peer_errors
        ),
        "ranges": len(ranged),
        "inside": sum(bool(item.is_inside) for item in ranged),
        "median_width": _median(item.width for item in ranged),
        "verdicts": len(verdicts),
        "verdicts_right": sum(i.predicted_out_of_memory == i.out_of_memory for i in verdicts),
    }


def _median(values: Iterable[float]) -> float | None:
    values = list(values)
    return statistics.median(values) if values else None


def _percentile(values: list[float], share: float) -> float | None:
    return values[min(len(values) - 1, int(share * len(values)))] if values else None


def _print_table(summary: dict[str, dict[str, float | int | None]]) -> None:
    print(f"{'family':<16}{'rows':>5}{'median':>9}{'p95':>9}{'worst':>9}{'signed':>9}"
          f"{'xMem':>9}{'DNNMem':>9}  verdicts  inside")  # fmt: skip
    for family, row in summary.items():
        columns = ("median_error", "p95_error", "worst_error", "median_signed_error",
                   "xmem_median_error", "dnnmem_median_error")  # fmt: skip
        cells = "".join(_percent(row[name]) for name in columns)
        verdicts = f"{row['verdicts_right']}/{row['verdicts']}"
        inside = f"{row['inside']}/{row['ranges']}, width {_percent(row['median_width']).strip()}"
        print(f"{family:<16}{row['rows']:>5}{cells}  {verdicts:<9}"
              f"{' ' + inside if row['ranges'] else ''}".rstrip())  # fmt: skip


def _percent(value: float | int | None) -> str:
    return f"{'—':>9}" if value is None else f"{value:>+9.2%}"


def _print_traces(replays: Iterable[Replayed]) -> None:
    for item in replays:
        error = item.replayed_reserved_bytes / item.measured_reserved_bytes - 1
        verdict = "agrees" if item.agrees else f"{error:+.3%}"
        earlier = f", {item.preexisting_blocks} blocks from before" * bool(item.preexisting_blocks)
        print(f"trace {item.name}: {item.events} events, reserved "
              f"{item.measured_reserved_bytes / MIB:,.1f} MiB, replayed "
              f"{item.replayed_reserved_bytes / MIB:,.1f} MiB: {verdict}{earlier}")  # fmt: skip


def _print_times(summary: dict[str, dict[str, float | int]]) -> None:
    if summary:
        print(f"\n{'step seconds':<20}{'steps':>6}{'signed':>9}{'median':>9}{'worst':>9}")
    for model, row in summary.items():
        columns = ("median_signed_error", "median_error", "worst_error")
        cells = "".join(_percent(row[name]) for name in columns)
        print(f"{model:<20}{row['steps']:>6}{cells}")


def main() -> None:
    """Score every usable row and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write all scores to this file")
    parser.add_argument("--measured", type=Path, nargs="*", help="files of benchmarks/measured.py")
    parser.add_argument("--only", default="", help="rows whose name or model holds this text")
    options = parser.parse_args()
    files = options.measured
    if files is None:
        rows = [*load_rows(), *load_rows(CNN_WORKSPACES)]
    else:
        rows = [row for file in files for row in load_measured(file)]
    chosen = [row for row in rows if options.only in f"{row.id} {row.model} {row.family}"]
    document = score_all(
        chosen, [] if files is None else [t for f in files for t in load_traces(f)]
    )
    if options.json:
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def score_all(rows: list[Row], traces: list[Path]) -> dict[str, Any]:
    """Score rows and traces, print the tables, and return all of it."""
    scores = [score(row) for row in rows]
    for item in scores:
        if item.reason:
            print(f"{item.id} {item.model} {_percent(item.error).strip()}: {item.reason}")
    summary, versions = summarize(scores), software()
    print(f"\ntorch {versions['torch']}, transformers {versions['transformers']}, "
          f"python {platform.python_version()}")  # fmt: skip
    _print_table(summary)
    replays = [replay_file(trace) for trace in traces]
    _print_traces(replays)
    times = step_time.step_times(rows)
    time_summary = step_time.summarize(times)
    _print_times(time_summary)
    return {
        "software": versions,
        "summary": summary,
        "scores": [asdict(item) for item in scores],
        "traces": [asdict(item) | {"agrees": item.agrees} for item in replays],
        "step_time_summary": time_summary,
        "step_times": [asdict(item) for item in times],
    }


if __name__ == "__main__":
    main()
