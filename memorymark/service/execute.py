"""Executes a request and returns its record.

The library, the command line and the background jobs of the app all come here. Arguments are
validated before anything heavy is loaded. A measurement holds its device for its whole length; a
simulation holds nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NoReturn

from memorymark.analysis.analyze import analyze_on
from memorymark.analysis.attempt import sentence_of
from memorymark.analysis.compare import comparison_of
from memorymark.analysis.prediction import expected_max_batch, predict_max_batch
from memorymark.analysis.validate import validate_backward_on, validate_compile_on
from memorymark.bounds import Bounds, working_within
from memorymark.errors import (
    Cancelled,
    HistoryUnusable,
    NotAvailable,
    UsageError,
    WorkloadError,
    quoted,
)
from memorymark.gpus.catalogue import DEFAULT_GPU, Gpu, find_gpu, load_catalogue
from memorymark.probes.choose import measuring_probe, resolve_probe, share_simulations
from memorymark.records.analysis import Analysis
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.comparison import Comparison
from memorymark.records.event import CancelToken, Event, EventKind, OnEvent, ignore
from memorymark.records.request import DEFAULT_BATCH_SIZE, MEASURED_ONLY, Request, RequestKind
from memorymark.records.trial import Source, Trial
from memorymark.records.validation import BackwardValidation, CompileValidation
from memorymark.service.measured_runs import measured_analyses, measured_on
from memorymark.service.probe_factory import probe_from
from memorymark.settings import Settings, load_settings
from memorymark.units import mib_or_gib
from memorymark.workloads.naming import form_of, is_folder
from memorymark.workloads.trial_spec import TrialSpec

if TYPE_CHECKING:
    from memorymark.probes.probe import Probe
    from memorymark.workloads.base import Workload

Record = Trial | Analysis | BackwardValidation | CompileValidation | Comparison


def execute(
    request: Request,
    *,
    settings: Settings | None = None,
    workload: Workload | None = None,
    find_workload: Callable[[str], Workload] | None = None,
    on_event: OnEvent = ignore,
    cancel: CancelToken | None = None,
) -> Record:
    """Do what a request asks for and return its record.

    Args:
        request: What is asked for.
        settings: The owner's settings: where the history and the locks are, and a probe factory
            that takes the engine's place; None reads the environment.
        workload: An object in place of the model's name.
        find_workload: Returns the workload of a model's name; None takes any form of name.
        on_event: Called with each event.
        cancel: Checked before each trial, and at each module and operation of a simulation.

    Raises:
        UsageError: An argument is invalid.
        BoundReached: A model or its simulation takes more work than the settings allow.
        MemoryMarkError: The work could not be done; carries a sentence for the user.
        Cancelled: The work was stopped.
    """
    settings, cancel = settings or load_settings(), cancel or CancelToken()
    try:
        with working_within(Bounds().multiplied(settings.bounds_times), cancel.check):
            return _Execution(request, settings, workload, find_workload, on_event, cancel).record()
    except SystemExit as end:  # of the user's code: it would end whatever program called us
        sentence = f"The code of {quoted(request.model)} called sys.exit({quoted(end.code)})."
        raise WorkloadError(sentence) from end


class ComparisonStopped(Cancelled):
    """A comparison was stopped by the user.

    Args:
        partial: The GPUs that were done by then.
    """

    def __init__(self, partial: Comparison) -> None:
        self.partial = partial
        super().__init__("Cancelled by the user.")


class _Execution:
    """One request while it is worked on."""

    def __init__(
        self,
        request: Request,
        settings: Settings,
        given: Workload | None,
        find_workload: Callable[[str], Workload] | None,
        on_event: OnEvent,
        cancel: CancelToken,
    ) -> None:
        self.request, self.settings = request, settings
        self.given, self.find_workload = given, find_workload
        self.on_event, self.cancel = on_event, cancel
        self.failed: Exception | None = None

    def record(self) -> Record:
        """Do the work and return its record."""
        if self.given is None and self.find_workload is None and not self.settings.probe_factory:
            form_of(self.request.model)
        with _clean_state():  # what a probe loads is not to be made under the caller's modes
            work = self.work()
            with _clean_state():  # a probe has loaded torch, if it needs it
                return work()

    def work(self) -> Callable[[], Record]:
        """Choose the probes and return what works with them."""
        if self.request.kind is not RequestKind.COMPARISON:
            probe = self.probe(self.request.gpu)
            return lambda: self.record_of(probe)
        gpus = [find_gpu(name) for name in self.request.gpus or load_catalogue()]
        probes = {gpu.key: (gpu, self.probe(gpu.key)) for gpu in gpus}
        share_simulations(probe for _, probe in probes.values())
        return lambda: self.compare(probes)

    def record_of(self, probe: Probe) -> Record:
        """Do the work on a probe and return its record."""
        workload = self.workload(probe)
        notes = self.notes_on_choice(probe)
        for note in notes:
            self.note(note)
        with self.held(probe):
            if self.request.kind is RequestKind.ANALYSIS:
                found = self.analyze(probe, workload, self.request.options)
                return dataclasses.replace(found, findings=(*notes, *found.findings))
            if self.request.kind in (RequestKind.BACKWARD, RequestKind.COMPILE):
                return self.validate(probe, workload)
            self.cancel.check()
            spec = TrialSpec(workload, self.request.config, self.request.batch_size)
            return probe.run_trial(spec)

    def analyze(
        self,
        probe: Probe,
        workload: Workload,
        options: AnalysisOptions,
        on_event: OnEvent | None = None,
        guess: int | None = None,
    ) -> Analysis:
        """Search the largest batch on a probe, from where it is expected."""
        config, on_event = self.request.config, on_event or self.on_event
        options = _with_price(options, probe)
        if guess is None:
            guess = predict_max_batch(probe, workload, config, options, on_event, self.cancel)
        return analyze_on(
            probe, workload, config, options, on_event=on_event, cancel=self.cancel, guess=guess
        )

    def validate(self, probe: Probe, workload: Workload) -> BackwardValidation | CompileValidation:
        """Check the backward pass, or what compiling gains."""
        backward = self.request.kind is RequestKind.BACKWARD
        return (validate_backward_on if backward else validate_compile_on)(
            probe, workload, self.request.config, self.request.batch_size or DEFAULT_BATCH_SIZE,
            on_event=self.on_event, cancel=self.cancel,
        )  # fmt: skip

    def compare(self, probes: dict[str, tuple[Gpu, Probe]]) -> Comparison:
        """Analyze the same training on several GPUs.

        A whole card that was measured with the same training and the same search is not
        simulated again: its newest run in the history is taken.
        """
        workload = self.workload(next(iter(probes.values()))[1])
        from memorymark.probes.common import software  # loads torch, as the probes did

        measured = self.measured(workload)
        config, options = workload.describe(self.request.config), self.request.options
        analyses: list[tuple[Gpu, Analysis]] = []
        for number, (gpu, probe) in enumerate(probes.values()):
            priced = dataclasses.replace(options, price_per_hour=gpu.usd_per_hour)
            analysis = measured_on(gpu.key, measured, config, priced, software())
            if analysis is None:
                guess = expected_max_batch([a for _, a in analyses], probe.target, options)
                on_event = self.part(number, len(probes))
                try:
                    analysis = self.analyze_or_say(probe, workload, priced, on_event, guess)
                except Cancelled as stop:
                    self.stop_comparing(analyses, len(probes), stop)
            else:
                self.note(f"{gpu.key}: measured in run {analysis.run_id}", number / len(probes))
            analyses.append((gpu, analysis))
            self.told_comparison(analyses, len(probes))
        if not any(analysis.trials for _, analysis in analyses) and self.failed is not None:
            raise self.failed
        return self.comparison(analyses)

    def comparison(self, analyses: list[tuple[Gpu, Analysis]], left: int = 0) -> Comparison:
        """Put together what the analyses say, and how many are missing."""
        comparison = comparison_of(analyses, self.request.options.plan)
        said = []
        if left:
            said.append(f"Stopped early: {left} of {left + len(analyses)} GPUs are missing.")
        if self.request.memory_budget is not None:
            budget = mib_or_gib(self.request.memory_budget)
            said.append(f"Each GPU has a memory budget of {budget}.")
        return dataclasses.replace(comparison, findings=(*said, *comparison.findings))

    def told_comparison(self, analyses: list[tuple[Gpu, Analysis]], of: int) -> None:
        """Say how many GPUs are done, with what is known by then."""
        done = tuple(analyses)
        text = f"{len(done)} of {of} GPUs are done"
        self.on_event(
            Event(
                EventKind.NOTE, text, progress=len(done) / of,
                known=lambda: self.comparison([*done], of - len(done)),
            )
        )  # fmt: skip

    def stop_comparing(
        self, analyses: list[tuple[Gpu, Analysis]], of: int, stop: Cancelled
    ) -> NoReturn:
        """End with the analyses that are done, of which there may be none."""
        if not analyses:
            raise Cancelled(str(stop)) from stop
        raise ComparisonStopped(self.comparison(analyses, of - len(analyses))) from stop

    def analyze_or_say(
        self,
        probe: Probe,
        workload: Workload,
        options: AnalysisOptions,
        on_event: OnEvent,
        guess: int | None,
    ) -> Analysis:
        """Analyze on one GPU of several; what it raises is its analysis' end, not the others'."""
        try:
            return self.analyze(probe, workload, options, on_event, guess)
        except UsageError:
            raise
        except Exception as error:
            self.failed = error
            return Analysis(
                workload.name, probe.target, self.request.config, options, trials=(),
                complete=False, stopped_by=sentence_of(error),
            )  # fmt: skip

    def measured(self, workload: Workload) -> list[Analysis]:
        """Return what the history has measured of a workload, as far as it may be taken again."""
        own = self.given is not None or workload.runs_own_code or is_folder(workload.name)
        if own or self.request.memory_budget is not None:
            return []  # code or a folder may have changed since; a budget is not the whole GPU
        try:
            return measured_analyses(self.settings.history_path, workload.name)
        except HistoryUnusable as error:
            self.note(f"{error} Every GPU is simulated.")
            return []

    def note(self, text: str, progress: float | None = None) -> None:
        """Send a note."""
        self.on_event(Event(EventKind.NOTE, text, progress=progress))

    def probe(self, gpu: str | None) -> Probe:
        """Return the probe for the request's target, or for a GPU to simulate."""
        device = self.request.device
        if self.request.kind in MEASURED_ONLY and gpu is not None:
            raise NotAvailable(
                f"{self.request.kind} is measured, not simulated. Choose a device of this machine "
                "as the target."
            )
        if self.settings.probe_factory:
            target = {"device": device, "gpu": gpu, "memory_budget": self.request.memory_budget}
            return probe_from(self.settings.probe_factory, **target)
        if self.request.kind in MEASURED_ONLY:
            return measuring_probe(device, self.request.memory_budget)
        return resolve_probe(device, gpu, self.request.memory_budget)

    def workload(self, probe: Probe) -> Workload:
        """Return the workload that the request names, or what the user's own probe makes of it.

        Raises:
            UsageError: It cannot be trained with the request's options.
        """
        from memorymark.workloads.own_code import check_described

        workload = self.resolved(probe)
        check_described(workload, self.request.config)
        return workload

    def resolved(self, probe: Probe) -> Workload:
        """Return the workload for a probe, which the user's code may make as for its device."""
        if self.given is not None:
            return self.given
        make = getattr(probe, "workload", None) or self.find_workload or _resolve
        if probe.target.source is not Source.SIMULATED:
            return make(self.request.model)
        from memorymark.placement.pretended_gpu import pretended_gpu

        gpu = find_gpu(probe.target.gpu_key or DEFAULT_GPU)
        with pretended_gpu(
            name=gpu.name, capability=gpu.compute_capability, total_bytes=gpu.total_bytes
        ):
            return make(self.request.model)

    @contextlib.contextmanager
    def held(self, probe: Probe) -> Iterator[None]:
        """Hold the device of a measuring probe."""
        target = probe.target
        if target.source is Source.SIMULATED:
            yield
            return
        from memorymark.probes.lease import device_lease  # a simulation does without its packages

        with device_lease(
            target.lock_name,
            folder=self.settings.locks_folder,
            note=self.note,
            check=self.cancel.check,
        ):
            yield

    def notes_on_choice(self, probe: Probe) -> tuple[str, ...]:
        """Say which GPU is simulated where none was named."""
        asked, target = self.request, probe.target
        if asked.device or asked.gpu or target.source is not Source.SIMULATED:
            return ()
        return (
            f"No CUDA device is available and no GPU was given: simulated for the catalogue's "
            f"default, {target.name}.",
        )

    def part(self, number: int, of: int) -> OnEvent:
        """Pass events of one analysis among several on, its progress as a part of the whole."""

        def on_event(event: Event) -> None:
            share = None if event.progress is None else (number + event.progress) / of
            self.on_event(dataclasses.replace(event, progress=share, known=None))

        return on_event


@contextlib.contextmanager
def _clean_state() -> Iterator[None]:
    """Set aside what the code around has set, where torch is loaded; without it there is nothing.

    Within itself, it does nothing more than keep what the user's code sets.
    """
    if "torch" not in sys.modules:
        yield
        return
    from memorymark.placement.process_state import clean_state

    with clean_state():
        yield


def _resolve(model: str) -> Workload:
    from memorymark.workloads import resolve  # loads torch, which a user's own probe may not need

    return resolve(model)


def _with_price(options: AnalysisOptions, probe: Probe) -> AnalysisOptions:
    """Take the catalogue's price where none is given."""
    gpu = load_catalogue().get(probe.target.gpu_key or "")
    if options.price_per_hour is not None or gpu is None:
        return options
    return dataclasses.replace(options, price_per_hour=gpu.usd_per_hour)
