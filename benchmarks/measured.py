"""Measures memory and time of many training settings on the NVIDIA GPU of this machine.

    python benchmarks/measured.py [--seconds 440] [--out FOLDER] [--only TEXT] [--list]

Each trial runs three warm-up steps and a few timed ones. The file is written anew after every
trial, so a run that is stopped keeps what it has; what time did not suffice for is listed under
`left_out`. Score the file with: python benchmarks/accuracy.py --measured FILE

Needs torch and transformers; torchvision, NVML's binding and streamlit may be missing. The time
limit is checked before a trial, with the slowest trial of the same model so far as the guess.
"""

from __future__ import annotations

import argparse
import gc
import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import recording
from card import Card
from workload_set import Setting, benchmark_set, build_workload

from memorymark.errors import MemoryMarkError, PoisonedDevice
from memorymark.probes.common import software
from memorymark.probes.cuda import CudaProbe, catalogue_row
from memorymark.probes.lease import device_lease
from memorymark.probes.probe import Probe
from memorymark.records.config import TrainingConfig
from memorymark.records.trial import Outcome
from memorymark.units import GIB
from memorymark.workloads.trial_spec import TrialSpec

RESULTS = Path(__file__).parent / "results"
TIMED_STEPS = 3
# The guess for a model that has not run yet: its first trial loads kernels and libraries.
_FIRST_TRIAL_SECONDS = 15.0
_TRACED = (
    ("bert", TrainingConfig(precision="amp-bf16"), 16),
    ("resnet", TrainingConfig(optimizer="sgd-momentum"), 32),
)

MakeProbe = Callable[[int | None], Probe]


class Results:
    """The document of one run, kept on disk as it grows.

    Args:
        file: Where it is written.
        machine: Facts of the card.
    """

    def __init__(self, file: Path, machine: dict[str, Any]) -> None:
        self.file = file
        self.document: dict[str, Any] = {
            "machine": machine,
            "software": software(),
            "date": datetime.now(UTC).date().isoformat(),
            "timed_steps": TIMED_STEPS,
            "seconds": None,
            "traces": [],
            "trials": [],
            "not_measured": [],
            "left_out": [],
        }

    def add(self, kind: str, entry: dict[str, Any]) -> None:
        """Append to one of the lists, and write the file."""
        self.document[kind].append(entry)
        self.write()

    def write(self) -> None:
        """Replace the file in one move: it is whole at any time."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.document, indent=1) + "\n"
        beside = self.file.with_suffix(".part")
        beside.write_text(text, encoding="utf-8")
        beside.replace(self.file)


class Watch:
    """Says whether there is time for one more trial.

    Args:
        seconds: What the whole run may take.
        clock: Seconds since some start.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._start = clock()
        self._seconds = seconds
        self._slowest: dict[str, float] = {}

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._start

    def has_time_for(self, model: str) -> bool:
        """Return whether another trial of the model is likely to end in time."""
        expected = self._slowest.get(model, _FIRST_TRIAL_SECONDS)
        return self.elapsed + expected <= self._seconds

    def note(self, model: str, seconds: float) -> None:
        """Remember how long a trial took."""
        self._slowest[model] = max(self._slowest.get(model, 0.0), seconds)


def run_set(
    settings: Iterable[Setting],
    make_probe: MakeProbe,
    results: Results,
    watch: Watch,
    context_bytes: Callable[[], int | None],
    release_cache: Callable[[], None],
) -> None:
    """Run all settings, each on a probe of its own: nothing of another one is left in its way."""
    for setting in settings:
        try:
            _run_setting(setting, make_probe, results, watch, context_bytes)
        except PoisonedDevice as error:
            results.add("not_measured", {"model": setting.model, "reason": str(error)})
            break
        gc.collect()
        release_cache()
    results.document["seconds"] = round(watch.elapsed, 1)
    results.write()


def _run_setting(
    setting: Setting,
    make_probe: MakeProbe,
    results: Results,
    watch: Watch,
    context_bytes: Callable[[], int | None],
) -> None:
    probe, workload = make_probe(setting.budget_bytes), build_workload(setting.model)
    for batch_size in setting.batch_sizes:
        if not watch.has_time_for(setting.model):
            results.add("left_out", _named(setting, batch_size))
            continue
        try:
            start = watch.elapsed
            trial = probe.run_trial(
                TrialSpec(workload, setting.config, batch_size, timed_steps=TIMED_STEPS)
            )
        except PoisonedDevice:
            raise
        except MemoryMarkError as error:
            reason = {"reason": str(error)}
            results.add("not_measured", _named(setting, batch_size) | reason)
            return
        watch.note(setting.model, watch.elapsed - start)
        values = trial.to_dict() | {"timeline": None, "context_bytes": context_bytes()}
        results.add("trials", values)
        _tell(values)
        if trial.outcome is not Outcome.OK:
            return  # a larger batch cannot do better


def _named(setting: Setting, batch_size: int) -> dict[str, Any]:
    return {
        "model": setting.model,
        "config": setting.config.to_dict(),
        "batch_size": batch_size,
        "budget_bytes": setting.budget_bytes,
    }


def _tell(trial: dict[str, Any]) -> None:
    config, reserved_bytes = trial["config"], trial["peak_reserved_bytes"]
    what = f"{trial['model']:<20}{config['precision']:<10}{config['optimizer']:<14}"
    memory = f"{reserved_bytes / GIB:7.2f} GiB reserved" if reserved_bytes else trial["outcome"]
    seconds = f"{trial['elapsed_seconds']:.1f} s"
    print(f"{what}b{trial['batch_size']:<5}{memory}  {seconds}", flush=True)


def record_traces(results: Results, index: int) -> None:
    """Record allocation traces. It comes first: nothing is allocated on the device yet."""
    for model, config, batch_size in _TRACED:
        stem = f"{results.file.stem}.{model}-{config.precision}-b{batch_size}"
        file = results.file.with_name(f"{stem}.trace.json.gz")
        try:
            trace = recording.record(build_workload(model), config, batch_size, index=index)
        except RuntimeError as error:
            results.add("not_measured", {"model": model, "reason": f"No trace: {error}"})
            continue
        finally:
            gc.collect()
        kept = recording.write(file, trace)
        del trace["snapshot"]
        results.add("traces", trace | {"file": file.name if kept else None})
        print(f"trace of {model}: {file.name if kept else 'too large to be kept'}", flush=True)


def slug_of(device_name: str, total_bytes: int) -> str:
    """Return the card's key in the catalogue, or its name as one."""
    gpu = catalogue_row(device_name, total_bytes)
    return gpu.key if gpu else re.sub(r"[^a-z0-9]+", "-", device_name.lower()).strip("-")


def main(words: Sequence[str] | None = None) -> int:
    """Measure and write; 1 where nothing could be measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=440, help="stop cleanly after these")
    parser.add_argument("--device", type=int, default=0, help="number of the CUDA device")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--only", default="", help="models whose name holds this text")
    parser.add_argument("--no-traces", action="store_true", help="record no allocation traces")
    parser.add_argument("--list", action="store_true", help="print the settings and stop")
    options = parser.parse_args(words)
    settings = [s for s in benchmark_set() if options.only in s.model]
    if options.list:
        _list(settings)
        return 0
    return _measure(settings, options)


def _list(settings: list[Setting]) -> None:
    for setting in settings:
        c = setting.config
        checkpointing = "checkpointing" if c.gradient_checkpointing else "-"
        ways = (c.precision, c.optimizer, c.optimizer_impl, c.attention, checkpointing)
        print(setting.model, *ways, *setting.batch_sizes)
    print(sum(len(setting.batch_sizes) for setting in settings), "trials")


def _measure(settings: list[Setting], options: argparse.Namespace) -> int:
    import torch

    watch, index = Watch(options.seconds), options.device
    card = Card(index)
    if not torch.cuda.is_available():
        print("There is no CUDA device here; this benchmark needs one.", file=sys.stderr)
        return 1
    machine = card.facts()
    date = datetime.now(UTC).date().isoformat()
    key = slug_of(machine["gpu"], machine["total_bytes"])
    results = Results(options.out / f"{key}-{date}.json", machine)
    results.write()
    with device_lease(f"cuda:{index}"):
        if not options.no_traces:
            record_traces(results, index)
            card.release_cache()
        run_set(
            settings, lambda budget: CudaProbe(index, budget_bytes=budget), results, watch,
            card.context_bytes, card.release_cache,
        )  # fmt: skip
    return _report(results)


def _report(results: Results) -> int:
    document = results.document
    print(f"\n{len(document['trials'])} trials in {document['seconds']} s: {results.file}")
    for kind, title in (("not_measured", "could not run"), ("left_out", "left out for time")):
        for entry in document[kind]:
            precision = entry.get("config", {}).get("precision", "")
            why = entry.get("reason", "")
            print(f"{title}: {entry['model']} {precision} b{entry.get('batch_size')} {why}")
    return 0 if document["trials"] else 1


if __name__ == "__main__":
    sys.exit(main())
