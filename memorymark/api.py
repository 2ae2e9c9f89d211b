"""MemoryMark as a library: the functions that the command line and the app call too.

Words and numbers are checked here, before anything heavy is loaded. A measurement holds its
device for its whole length; a simulation holds nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from memorymark.analysis.analyze import Analysis, AnalysisOptions, analyze_on
from memorymark.analysis.prediction import expected_max_batch, gpu_of, predict_max_batch
from memorymark.errors import UsageError
from memorymark.gpus.catalogue import find_gpu, load_catalogue
from memorymark.probes.choose import measuring_probe, resolve_probe, simulated_probe
from memorymark.probes.lease import device_lock
from memorymark.records.comparison import Comparison, comparison_of
from memorymark.records.config import MAX_BATCH_SIZE, TrainingConfig, check_batch_size
from memorymark.records.event import CancelToken, Event, EventKind, OnEvent, ignore
from memorymark.records.trial import Source, Trial

if TYPE_CHECKING:
    from memorymark.analysis.validate import BackwardValidation, CompileValidation
    from memorymark.probes.probe import Probe
    from memorymark.workloads.base import Workload

__all__ = [
    "analyze",
    "compare_costs",
    "estimate",
    "find_optimal_batch_size",
    "measure",
    "resolve_probe",
    "validate_backward_pass",
    "validate_compilation_benefit",
]


def analyze(
    model: str | Workload,
    config: TrainingConfig | None = None,
    *,
    device: str | None = None,
    gpu: str | None = None,
    memory_budget: str | int | None = None,
    current_batch_size: int = 16,
    price_per_hour: float | None = None,
    dataset_size: int | None = None,
    epochs: int | None = None,
    runs_per_year: float | None = None,
    objective: str = "throughput",
    granularity: int = 8,
    headroom: float = 0.05,
    max_batch_size: int = MAX_BATCH_SIZE,
    on_event: OnEvent = ignore,
    cancel: CancelToken | None = None,
) -> Analysis:
    """Find the largest batch, the optimal batch, and what the current one wastes.

    Args:
        model: A model's name in a form of the interface, or a Workload.
        config: How it is trained; None takes the defaults.
        device: Measure on this device: cuda, cuda:N, mps or cpu.
        gpu: Simulate this GPU of the catalogue. With neither: the CUDA device if there is one,
            else a simulation of the catalogue's default GPU.
        memory_budget: The most that a trial may use, as in "4GiB" or in bytes.
        current_batch_size: The batch that is trained today.
        price_per_hour: Dollars for an hour of the GPU; None takes the catalogue's.
        dataset_size: Samples in the data set.
        epochs: Passes over the data set in one run.
        runs_per_year: Training runs in a year.
        objective: What the optimal batch is chosen for: throughput or memory.
        granularity: The largest batch is exact to this many samples.
        headroom: Share of the capacity that the optimal batch leaves free, from 0 to 0.9.
        max_batch_size: The largest batch to try.
        on_event: Is told of each phase and each trial.
        cancel: Looked at before each trial.

    Raises:
        UsageError: A word or a number is off.
        MemoryMarkError: The model, the device or the simulation cannot do it.

    Example:
        >>> analysis = analyze("bert", device="cpu", memory_budget="2GiB")  # doctest: +SKIP
        >>> analysis.max_batch_size  # doctest: +SKIP
        8
    """
    options = AnalysisOptions(
        current_batch_size=current_batch_size,
        price_per_hour=price_per_hour,
        dataset_size=dataset_size,
        epochs=epochs,
        runs_per_year=runs_per_year,
        objective=objective,
        granularity=granularity,
        headroom=headroom,
        max_batch_size=max_batch_size,
    )
    probe = resolve_probe(device, gpu, memory_budget)
    workload = _workload(model)
    notes = _notes_on_choice(device, gpu, probe)
    for note in notes:
        on_event(Event(EventKind.NOTE, note))
    analysis = analyze_with(probe, workload, config, options, on_event=on_event, cancel=cancel)
    return dataclasses.replace(analysis, findings=(*notes, *analysis.findings))


def analyze_with(
    probe: Probe,
    workload: Workload,
    config: TrainingConfig | None,
    options: AnalysisOptions,
    *,
    on_event: OnEvent = ignore,
    cancel: CancelToken | None = None,
    guess: int | None = None,
) -> Analysis:
    """Run an analysis on a probe: price from the catalogue, device held, start predicted."""
    config, cancel = config or TrainingConfig(), cancel or CancelToken()
    options = _with_price(options, probe)
    with _held(probe, on_event, cancel):
        guess = guess or _predicted(probe, workload, config, options, on_event, cancel)
        return analyze_on(
            probe, workload, config, options,
            on_event=on_event, cancel=cancel, guess=guess,
            advisor=lambda: _advisor(probe, workload, config),
        )  # fmt: skip


def estimate(
    model: str | Workload, config: TrainingConfig | None = None, *, batch_size: int, gpu: str
) -> Trial:
    """Simulate one batch size on one GPU of the catalogue.

    Raises:
        UsageError: A word or a number is off.
        NotAvailable: The simulation does not exist in this version.
    """
    check_batch_size(batch_size)
    probe = simulated_probe(find_gpu(gpu))
    return probe.run(_workload(model), config or TrainingConfig(), batch_size)


def measure(
    model: str | Workload,
    config: TrainingConfig | None = None,
    *,
    batch_size: int,
    device: str | None = None,
    memory_budget: str | int | None = None,
    on_event: OnEvent = ignore,
) -> Trial:
    """Run real training steps at one batch size.

    Without a device: CUDA, else MPS, else the CPU.

    Raises:
        UsageError: A word or a number is off.
        MemoryMarkError: The model or the device cannot do it.
    """
    check_batch_size(batch_size)
    probe = measuring_probe(device, memory_budget)
    workload = _workload(model)
    with _held(probe, on_event, CancelToken()):
        return probe.run(workload, config or TrainingConfig(), batch_size)


def validate_backward_pass(
    model: str | Workload,
    config: TrainingConfig | None = None,
    *,
    batch_size: int = 8,
    device: str | None = None,
    gpu: str | None = None,
    memory_budget: str | int | None = None,
    on_event: OnEvent = ignore,
    cancel: CancelToken | None = None,
) -> BackwardValidation:
    """Compare forward passes with the whole training step, and check every gradient.

    Raises:
        UsageError: A word or a number is off.
        MemoryMarkError: The model, the device or the simulation cannot do it.
    """
    from memorymark.analysis.validate import validate_backward_on

    check_batch_size(batch_size)
    probe = resolve_probe(device, gpu, memory_budget)
    workload, cancel = _workload(model), cancel or CancelToken()
    for note in _notes_on_choice(device, gpu, probe):
        on_event(Event(EventKind.NOTE, note))
    with _held(probe, on_event, cancel):
        return validate_backward_on(
            probe, workload, config or TrainingConfig(), batch_size,
            on_event=on_event, cancel=cancel,
        )  # fmt: skip


def validate_compilation_benefit(
    model: str | Workload,
    config: TrainingConfig | None = None,
    *,
    batch_size: int = 8,
    device: str | None = None,
    memory_budget: str | int | None = None,
    on_event: OnEvent = ignore,
    cancel: CancelToken | None = None,
) -> CompileValidation:
    """Compare eager steps with torch.compile on a real device.

    Raises:
        UsageError: A word or a number is off.
        MemoryMarkError: The model or the device cannot do it.
    """
    from memorymark.analysis.validate import validate_compile_on

    check_batch_size(batch_size)
    probe = measuring_probe(device, memory_budget)
    workload, cancel = _workload(model), cancel or CancelToken()
    with _held(probe, on_event, cancel):
        return validate_compile_on(
            probe, workload, config or TrainingConfig(), batch_size,
            on_event=on_event, cancel=cancel,
        )  # fmt: skip


def compare_costs(
    model: str | Workload,
    config: TrainingConfig | None = None,
    *,
    gpus: Sequence[str] | None = None,
    dataset_size: int | None = None,
    epochs: int | None = None,
    runs_per_year: float | None = None,
    on_event: OnEvent = ignore,
    cancel: CancelToken | None = None,
) -> Comparison:
    """Compare what the same training costs on several GPUs, each simulated at its optimal batch.

    Args:
        model: A model's name in a form of the interface, or a Workload.
        config: How it is trained; None takes the defaults.
        gpus: Keys of the GPU catalogue; None takes all.
        dataset_size: Samples in the data set.
        epochs: Passes over the data set in one run.
        runs_per_year: Training runs in a year.
        on_event: Is told of each phase and each trial.
        cancel: Looked at before each trial.

    Raises:
        UsageError: A word or a number is off.
        NotAvailable: The simulation does not exist in this version.
    """
    options = AnalysisOptions(dataset_size=dataset_size, epochs=epochs, runs_per_year=runs_per_year)
    names = list(load_catalogue()) if gpus is None else list(gpus)
    if not names:
        raise UsageError("There is no GPU to compare. Name at least one, as in a10,a100-40gb.")
    rows = {gpu.key: gpu for gpu in map(find_gpu, names)}
    probes = [simulated_probe(gpu) for gpu in rows.values()]
    workload = _workload(model)
    analyses: list[Analysis] = []
    for probe in probes:
        guess = expected_max_batch(analyses, probe.target, options)
        analyses.append(
            analyze_with(
                probe, workload, config, options, on_event=on_event, cancel=cancel, guess=guess
            )
        )
    return comparison_of(analyses, options.plan)


def find_optimal_batch_size(model_name: str, device: Any = None) -> Analysis:
    """Analyze a model with all defaults: the first version's entry point.

    Args:
        model_name: A model's name in a form of the interface.
        device: cuda, cuda:N, mps or cpu; a torch.device will do.
    """
    return analyze(model_name, device=None if device is None else str(device))


def _workload(model: str | Workload) -> Workload:
    if not isinstance(model, str):
        return model
    from memorymark.workloads import resolve

    return resolve(model)


@contextlib.contextmanager
def _held(probe: Probe, on_event: OnEvent, cancel: CancelToken) -> Iterator[None]:
    """Hold the device of a measuring probe."""
    target = probe.target
    if target.source is Source.SIMULATED:
        yield
        return
    wait = Event(EventKind.NOTE, f"Another measurement holds {target.lock_name}; waiting for it.")
    with device_lock(target.lock_name, on_wait=lambda: on_event(wait), check=cancel.check):
        yield


def _with_price(options: AnalysisOptions, probe: Probe) -> AnalysisOptions:
    key = probe.target.gpu_key
    if options.price_per_hour is not None or key is None:
        return options
    gpu = load_catalogue().get(key)
    return dataclasses.replace(options, price_per_hour=gpu.usd_per_hour if gpu else None)


def _predicted(
    probe: Probe,
    workload: Workload,
    config: TrainingConfig,
    options: AnalysisOptions,
    on_event: OnEvent,
    cancel: CancelToken,
) -> int | None:
    if probe.target.kind != "cuda":
        return None
    capability = getattr(probe, "compute_capability", None)
    guess = predict_max_batch(probe.target, workload, config, options, cancel, capability)
    if guess is not None:
        text = f"A simulation expects the largest batch near {guess}; the search starts there."
        on_event(Event(EventKind.NOTE, text))
    return guess


def _advisor(probe: Probe, workload: Workload, config: TrainingConfig) -> Probe | None:
    """Return a simulation of a measured CUDA device, for what would make room on it."""
    gpu = gpu_of(probe.target, getattr(probe, "compute_capability", None))
    if gpu is None or workload.runs_own_code or config.compile:
        return None
    return simulated_probe(gpu, probe.target.capacity_bytes)


def _notes_on_choice(device: str | None, gpu: str | None, probe: Probe) -> tuple[str, ...]:
    if device is None and gpu is None and probe.target.source is Source.SIMULATED:
        return (
            f"No CUDA device is here and no GPU was named: simulated for the catalogue's "
            f"default, {probe.target.name}.",
        )
    return ()
