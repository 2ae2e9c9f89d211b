"""The commands that run trials."""

from __future__ import annotations

from typing import Annotated, Any

from typer import Option

from memorymark.analysis.analyze import Analysis, AnalysisStopped
from memorymark.cli import options, printed
from memorymark.cli.keep import keep
from memorymark.cli.live import partial_sentence, work
from memorymark.cli.output import show
from memorymark.errors import Cancelled
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.option import changed
from memorymark.records.request import Request, RequestKind
from memorymark.units import parse_bytes


@options.with_options
def analyze(
    model: options.Model,
    config: TrainingConfig,
    gpu: options.Gpu = None,
    device: options.Device = None,
    memory_budget: options.MemoryBudget = None,
    *,
    asked: AnalysisOptions,
    as_json: options.AsJson = False,
) -> None:
    """Find the largest batch, the optimal batch, and what the current one wastes.

    Measured with a CUDA device or --device, simulated with --gpu. With neither, simulated for
    the catalogue's default GPU.
    """
    try:
        with work() as progress:
            from memorymark import api

            analysis = api.analyze(
                model,
                config,
                device=device,
                gpu=gpu,
                memory_budget=memory_budget,
                **vars(asked),
                on_event=progress,
            )
    except AnalysisStopped as stop:
        _show_if_known(stop.partial, as_json)
        raise Cancelled(partial_sentence(stop.partial.trials)) from stop
    _show_if_known(analysis, as_json)
    printed.check_analysis(analysis)
    wanted = changed(asked)
    keep(_request("analysis", model, config, device, gpu, memory_budget, options=wanted), analysis)


def _request(
    kind: str,
    model: str,
    config: TrainingConfig,
    device: str | None,
    gpu: str | None,
    memory_budget: str | None,
    batch_size: int | None = None,
    options: dict[str, Any] | None = None,
) -> Request:
    budget = None if memory_budget is None else parse_bytes(memory_budget)
    asked = {name: value for name, value in (options or {}).items() if value is not None}
    return Request(RequestKind(kind), model, config, device, gpu, budget, batch_size, options=asked)


def _show_if_known(analysis: Analysis, as_json: bool) -> None:
    """Print an analysis unless its first trial already failed: then its error says it all."""
    if analysis.nothing_fits or any(trial.fits for trial in analysis.trials):
        show(analysis, as_json, printed.show_analysis)


@options.with_options
def estimate(
    model: options.Model,
    config: TrainingConfig,
    batch_size: options.BatchSize,
    gpu: Annotated[str, Option(help="Simulate this GPU; `memorymark gpus` lists the names.")],
    as_json: options.AsJson = False,
) -> None:
    """Simulate one batch size on one GPU of the catalogue."""
    with work():
        from memorymark import api

        trial = api.estimate(model, config, batch_size=batch_size, gpu=gpu)
    printed.check_trial(trial)
    show(trial, as_json, printed.show_trial)


@options.with_options
def measure(
    model: options.Model,
    config: TrainingConfig,
    batch_size: options.BatchSize,
    device: options.Device = None,
    memory_budget: options.MemoryBudget = None,
    as_json: options.AsJson = False,
) -> None:
    """Run real training steps at one batch size."""
    with work() as progress:
        from memorymark import api

        trial = api.measure(
            model,
            config,
            batch_size=batch_size,
            device=device,
            memory_budget=memory_budget,
            on_event=progress,
        )
    printed.check_trial(trial)
    show(trial, as_json, printed.show_trial)


@options.with_options
def validate_backward(
    model: options.Model,
    config: TrainingConfig,
    batch_size: options.BatchSize = 8,
    device: options.Device = None,
    gpu: options.Gpu = None,
    memory_budget: options.MemoryBudget = None,
    as_json: options.AsJson = False,
) -> None:
    """Compare forward passes with the whole training step; check every gradient."""
    with work() as progress:
        from memorymark import api

        result = api.validate_backward_pass(
            model,
            config,
            batch_size=batch_size,
            device=device,
            gpu=gpu,
            memory_budget=memory_budget,
            on_event=progress,
        )
    show(result, as_json, printed.show_backward)
    keep(_request("backward", model, config, device, gpu, memory_budget, batch_size), result)
    printed.check_validation(result)


@options.with_options
def validate_compile(
    model: options.Model,
    config: TrainingConfig,
    batch_size: options.BatchSize = 8,
    device: options.Device = None,
    memory_budget: options.MemoryBudget = None,
    as_json: options.AsJson = False,
) -> None:
    """Compare eager steps with torch.compile: time, memory, when compiling pays."""
    with work() as progress:
        from memorymark import api

        result = api.validate_compilation_benefit(
            model,
            config,
            batch_size=batch_size,
            device=device,
            memory_budget=memory_budget,
            on_event=progress,
        )
    show(result, as_json, printed.show_compile)
    keep(_request("compile", model, config, device, None, memory_budget, batch_size), result)
    printed.check_validation(result)


@options.with_options
def compare(
    model: options.Model,
    config: TrainingConfig,
    gpus: Annotated[
        str | None, Option(help="Names with commas between, as in a10,a100-40gb; default: all.")
    ] = None,
    *,
    asked: Annotated[AnalysisOptions, ("dataset_size", "epochs", "runs_per_year")],
    as_json: options.AsJson = False,
) -> None:
    """Compare what the same training costs on several GPUs."""
    names = [name.strip() for name in gpus.split(",") if name.strip()] if gpus else None
    with work() as progress:
        from memorymark import api

        result = api.compare_costs(
            model,
            config,
            gpus=names,
            dataset_size=asked.dataset_size,
            epochs=asked.epochs,
            runs_per_year=asked.runs_per_year,
            on_event=progress,
        )
    show(result, as_json, printed.show_comparison)
    wanted = {"gpus": ",".join(names) if names else None, **changed(asked)}
    keep(_request("comparison", model, config, None, None, None, options=wanted), result)
