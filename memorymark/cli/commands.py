"""The commands that run trials."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from rich.console import Console

from memorymark.cli import options, printed
from memorymark.cli.cuda_settings import ask_for_expandable_segments, may_be_measured_on_cuda
from memorymark.cli.exported import Files, files_of, write_scripts
from memorymark.cli.live import partial_sentence, work
from memorymark.cli.output import as_text, print_json, print_line, show
from memorymark.cli.streams import message_stream
from memorymark.errors import Cancelled, HistoryUnusable
from memorymark.placement.forks import processors
from memorymark.records.analysis import Analysis
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.codec import Record
from memorymark.records.config import TrainingConfig
from memorymark.records.prices import PriceKind, read_prices, without_live
from memorymark.records.request import (
    COMPARED,
    DEFAULT_BATCH_SIZE,
    LEVERED,
    SERVED,
    Request,
    RequestKind,
    check_levered,
)
from memorymark.records.serving_config import ServingConfig
from memorymark.records.session_run import SessionPlan
from memorymark.service.history import RunHistory


@options.with_options
def analyze(
    model: options.Model,
    config: TrainingConfig,
    gpu: options.Gpu = None,
    device: options.Device = None,
    memory_budget: options.MemoryBudget = None,
    prices: options.GivenPrices = None,
    price_kind: options.PriceKind = None,
    *,
    asked: AnalysisOptions,
    export: options.Export = None,
    export_trainer: options.ExportTrainer = None,
    with_levers: options.WithLevers = False,
    as_json: options.AsJson = False,
) -> None:
    """Find the largest batch that fits, the recommended one, and the memory that stays idle.

    Measured on a CUDA device or with --device, simulated with --gpu. With none of them,
    simulated for the catalogue's default GPU.
    """
    request = Request(
        RequestKind.ANALYSIS, model, config, device, gpu, memory_budget, options=asked,
        **_priced(prices, price_kind),
    )  # fmt: skip
    if with_levers:
        check_levered(device)
    files = files_of(model, export, export_trainer)
    try:
        analysis = _done(request)
    except Cancelled as stop:
        partial = getattr(stop, "partial", None)
        if partial is None:
            raise
        _show_if_known(partial, as_json)
        raise Cancelled(partial_sentence(partial.trials)) from stop
    if not analysis.nothing_fits and analysis.complete:
        _keep(request, analysis)
    _show_analysis(analysis, request, as_json, with_levers=with_levers)
    printed.check_analysis(analysis)
    write_scripts(analysis, files)


def _show_analysis(
    analysis: Analysis, request: Request, as_json: bool, *, with_levers: bool
) -> None:
    """Print an analysis, and what would make room where that is asked for.

    In words the answer stands before the levers are tried, which takes several times as long; one
    JSON document holds both.
    """
    if not with_levers:
        _show_if_known(analysis, as_json)
        return
    if not as_json:
        _show_if_known(analysis, as_json)
    asked = dataclasses.replace(request, kind=RequestKind.LEVERS)
    report = _done(asked)
    if as_json:
        print_json({**analysis.to_dict(), "levers": report.to_dict()})
    else:
        print_line("")
        printed.show_levers(report, asked)


def _done(request: Request) -> Any:
    """Execute a request and return its record; events go to standard error."""
    with work() as progress:
        from memorymark.service.execute import execute

        try:
            return execute(request, on_event=progress, processes=processors())
        except Cancelled as stop:
            if request.kind is RequestKind.ANALYSIS:
                raise
            raise Cancelled(partial_sentence(progress.trials)) from stop


def _show_if_known(analysis: Analysis, as_json: bool) -> None:
    """Print an analysis unless its first trial already failed: then its error says it all."""
    if analysis.nothing_fits or any(trial.fits for trial in analysis.trials):
        show(analysis, as_json, printed.show_analysis)


def _show_trial(request: Request, as_json: bool, files: Files) -> None:
    trial = _done(request)
    printed.check_trial(trial)
    budget = request.memory_budget
    show(trial, as_json, partial(printed.show_trial, memory_budget_bytes=budget))
    write_scripts(trial, files)


def _show_kept(request: Request, as_json: bool, in_words: Callable[[Any], None]) -> Any:
    """Execute a request, keep its record in the history and print it."""
    result = _done(request)
    _keep(request, result)
    show(result, as_json, in_words)
    return result


def _priced(prices: str | None, price_kind: PriceKind | None) -> dict[str, Any]:
    """Return what a request is told of prices."""
    given, live = without_live(prices or "")
    return {"prices": read_prices(given), "price_kind": price_kind, "live_prices": live}


@options.with_options
def estimate(
    model: options.Model,
    config: TrainingConfig,
    batch_size: options.BatchSize,
    gpu: options.SimulatedGpu,
    memory_budget: options.MemoryBudget = None,
    export: options.Export = None,
    export_trainer: options.ExportTrainer = None,
    as_json: options.AsJson = False,
) -> None:
    """Simulate one batch size on one GPU of the catalogue."""
    request = Request(RequestKind.ESTIMATE, model, config, None, gpu, memory_budget, batch_size)
    _show_trial(request, as_json, files_of(model, export, export_trainer))


@options.with_options
def measure(
    model: options.Model,
    config: TrainingConfig,
    batch_size: options.BatchSize,
    device: options.Device = None,
    memory_budget: options.MemoryBudget = None,
    export: options.Export = None,
    export_trainer: options.ExportTrainer = None,
    as_json: options.AsJson = False,
) -> None:
    """Run real training steps at one batch size."""
    request = Request(RequestKind.MEASURE, model, config, device, None, memory_budget, batch_size)
    _show_trial(request, as_json, files_of(model, export, export_trainer))


@options.with_options
def validate_backward(
    model: options.Model,
    config: TrainingConfig,
    batch_size: options.BatchSize = DEFAULT_BATCH_SIZE,
    device: options.Device = None,
    gpu: options.Gpu = None,
    memory_budget: options.MemoryBudget = None,
    as_json: options.AsJson = False,
) -> None:
    """Compare forward-only memory with the whole training step, and check every gradient."""
    request = Request(RequestKind.BACKWARD, model, config, device, gpu, memory_budget, batch_size)
    printed.check_validation(_show_kept(request, as_json, printed.show_backward))


@options.with_options
def validate_compile(
    model: options.Model,
    config: TrainingConfig,
    batch_size: options.BatchSize = DEFAULT_BATCH_SIZE,
    device: options.Device = None,
    memory_budget: options.MemoryBudget = None,
    as_json: options.AsJson = False,
) -> None:
    """Compare eager and compiled training steps: time, memory, break-even."""
    request = Request(RequestKind.COMPILE, model, config, device, None, memory_budget, batch_size)
    printed.check_validation(_show_kept(request, as_json, printed.show_compile))


@options.with_options
def compare(
    model: options.Model,
    config: TrainingConfig,
    gpus: options.ComparedGpus = None,
    prices: options.GivenPrices = None,
    price_kind: options.PriceKind = None,
    memory_budget: options.MemoryBudget = None,
    *,
    asked: Annotated[AnalysisOptions, COMPARED],
    as_json: options.AsJson = False,
) -> None:
    """Compare the cost of the same training run on several GPUs."""
    request = Request(
        RequestKind.COMPARISON, model, config, memory_budget=memory_budget, options=asked,
        gpus=options.compared(gpus), **_priced(prices, price_kind),
    )  # fmt: skip
    _show_kept(request, as_json, partial(printed.show_comparison, asked=request))


@options.with_options
def levers(
    model: options.Model,
    config: TrainingConfig,
    gpu: options.Gpu = None,
    device: options.SimulatedDevice = None,
    memory_budget: options.MemoryBudget = None,
    prices: options.GivenPrices = None,
    price_kind: options.PriceKind = None,
    *,
    asked: Annotated[AnalysisOptions, LEVERED],
    as_json: options.AsJson = False,
) -> None:
    """Find what would make room: every change, alone and combined, ranked.

    Everything is simulated, for a GPU of the catalogue or for a CUDA device of this machine.
    """
    request = Request(
        RequestKind.LEVERS, model, config, device, gpu, memory_budget, options=asked,
        **_priced(prices, price_kind),
    )  # fmt: skip
    check_levered(device)
    _show_kept(request, as_json, partial(printed.show_levers, asked=request))


@options.with_options
def sessions(
    model: options.Model,
    config: ServingConfig,
    plan: SessionPlan,
    gpu: options.Gpu = None,
    device: options.Device = None,
    memory_budget: options.MemoryBudget = None,
    host_memory: options.HostMemory = None,
    prices: options.GivenPrices = None,
    price_kind: options.PriceKind = None,
    *,
    asked: Annotated[AnalysisOptions, SERVED],
    as_json: options.AsJson = False,
) -> None:
    """Let inference sessions take turns: how many fit, and what swapping their caches does.

    Measured on a CUDA device or with --device, simulated with --gpu. With none of them,
    simulated for the catalogue's default GPU.
    """
    request = Request(
        RequestKind.SESSIONS, model, device=device, gpu=gpu, memory_budget=memory_budget,
        options=asked, serving=config, plan=plan, host_memory=host_memory,
        **_priced(prices, price_kind),
    )  # fmt: skip
    if config.expandable_segments and may_be_measured_on_cuda(gpu, device):
        ask_for_expandable_segments()
    _show_kept(request, as_json, partial(printed.show_sessions, asked=request))


def _keep(request: Request, record: Record) -> None:
    """Save a result before it is shown; where the history cannot be written, warn and go on."""
    try:
        RunHistory().save(str(request.kind), record.to_dict(), request=request.to_dict())
    except HistoryUnusable as error:
        sentence = f"Warning: this run was not saved. {error}"
        console = Console(file=message_stream(), highlight=False)
        console.print(as_text(sentence), soft_wrap=True)
