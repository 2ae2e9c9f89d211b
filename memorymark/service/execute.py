"""Executes a request and returns its record.

The library, the command line and the background jobs of the app all come here. Arguments are
validated before anything heavy is loaded. A measurement holds its device for its whole length; a
simulation holds nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from memorymark.analysis.validate import validate_backward_on, validate_compile_on
from memorymark.bounds import ON_ONES_OWN, Bounds, working_within
from memorymark.errors import WorkloadError, quoted
from memorymark.gpus.catalogue import find_gpu, rentable_gpus
from memorymark.placement.collector import collector_off
from memorymark.probes.choose import share_simulations
from memorymark.records.analysis import Analysis
from memorymark.records.arc_report import ArcReport
from memorymark.records.comparison import Comparison
from memorymark.records.event import CancelToken, OnEvent, ignore
from memorymark.records.fit import Fit
from memorymark.records.generation_run import GenerationRun
from memorymark.records.lever import LeverReport
from memorymark.records.request import DEFAULT_BATCH_SIZE, Request, RequestKind
from memorymark.records.session_run import SessionRun
from memorymark.records.training_comparison import TrainingComparison
from memorymark.records.training_run import TrainingRun
from memorymark.records.trial import Source, Trial
from memorymark.records.validation import BackwardValidation, CompileValidation
from memorymark.service.arc_call import arc_on
from memorymark.service.call import Call
from memorymark.service.pulled_levers import levers_on
from memorymark.service.several_gpus import SeveralGpus
from memorymark.settings import Settings, load_settings
from memorymark.workloads.naming import form_of
from memorymark.workloads.sample_lengths import lengths_left_out
from memorymark.workloads.trial_spec import TrialSpec

if TYPE_CHECKING:
    from torch import Tensor

    from memorymark.probes.probe import Probe
    from memorymark.workloads.base import Workload

Record = (
    Trial
    | Analysis
    | BackwardValidation
    | CompileValidation
    | Comparison
    | LeverReport
    | Fit
    | SessionRun
    | GenerationRun
    | TrainingRun
    | ArcReport
    | TrainingComparison
)


# What is run for real, with notes of its own.
_RUN: dict[RequestKind, Callable[[Call, Probe, Workload], Record]] = {
    RequestKind.GENERATE: Call.generate,
    RequestKind.TRAIN: Call.train,
    RequestKind.ARC: arc_on,
    RequestKind.COMPARE_TRAINING: Call.compare_training,
}


def execute(
    request: Request,
    *,
    settings: Settings | None = None,
    workload: Workload | None = None,
    find_workload: Callable[[str], Workload] | None = None,
    on_event: OnEvent = ignore,
    cancel: CancelToken | None = None,
    processes: int = 1,
    media: Mapping[str, bytes] | None = None,
    steer: Callable[[Tensor], Tensor] | None = None,
) -> Record:
    """Do what a request asks for and return its record.

    Args:
        request: What is asked for.
        settings: The owner's settings: where the history and the locks are, and a probe factory
            that takes the engine's place; None reads the environment.
        workload: An object in place of the model's name.
        find_workload: Returns the workload of a model's name; None takes any form of name.
        on_event: Called with each event.
        media: What the files hold that a generation names: image, audio. None reads the files.
        steer: What reads or changes the hidden state of sessions at their pause.
        cancel: Checked before each trial, and at each module and operation of a simulation.
        processes: How many processes may try levers at a time, forked from this one; more than
            one only where no other thread of this process works with torch. On Linux without a
            CUDA device; one elsewhere.

    Raises:
        UsageError: An argument is invalid.
        BoundReached: A model or its simulation takes more work than the settings allow.
        MemoryMarkError: The work could not be done; carries a sentence for the user.
        Cancelled: The work was stopped.
    """
    settings, cancel = settings or load_settings(), cancel or CancelToken()
    try:
        bounds = Bounds().multiplied(settings.bounds_times or ON_ONES_OWN)
        with working_within(bounds, cancel.check):
            about = workload, find_workload, on_event, cancel, processes, media, steer
            return _done(Call(request, settings, *about))
    except SystemExit as end:  # of the user's code: it would end whatever program called us
        sentence = f"The code of {quoted(request.model)} called sys.exit({quoted(end.code)})."
        raise WorkloadError(sentence) from end


def _done(call: Call) -> Record:
    """Do the work and return its record."""
    if call.given is None and call.find_workload is None and not call.settings.probe_factory:
        for model in call.request.models:
            form_of(model)
    with _clean_state():  # what a probe loads is not to be made under the caller's modes
        with collector_off():  # while a probe loads what it needs
            work = _work(call)
        with _clean_state():  # a probe has loaded torch, if it needs it
            return work()


def _work(call: Call) -> Callable[[], Record]:
    """Choose the probes and return what works with them."""
    request = call.request
    if request.kind is not RequestKind.COMPARISON:
        probe = call.probe(request.gpu)
        return lambda: _on_one(call, probe)
    found = [find_gpu(name) for name in request.gpus or rentable_gpus()]
    gpus = {gpu.key: call.prices.priced(gpu) for gpu in found}
    probes = [(gpu, call.probe(gpu.key)) for gpu in gpus.values()]
    share_simulations(probe for _, probe in probes)
    return SeveralGpus(call, probes).record


def _on_one(call: Call, probe: Probe) -> Record:
    """Do the work on one device or simulated GPU."""
    with collector_off():
        workload = call.workload(probe)
    request = call.request
    notes = (*_notes_on_choice(request, probe), *_notes_on_lengths(request, workload))
    for note in notes:
        call.note(note)
    with call.held(probe):
        if request.kind is RequestKind.ANALYSIS:
            notes = (*notes, *call.notes_on_price(probe))
            found = call.analyze(probe, workload, request.options)
            return dataclasses.replace(found, findings=(*notes, *found.findings))
        if request.kind is RequestKind.LEVERS:
            report = levers_on(call, probe, workload)
            notes = (*notes, *call.notes_on_price(probe))
            return dataclasses.replace(report, findings=(*notes, *report.findings))
        if request.kind is RequestKind.SESSIONS:
            run = call.serve(probe, workload)
            return dataclasses.replace(run, findings=(*notes, *run.findings))
        if request.kind in _RUN:
            return _RUN[request.kind](call, probe, workload)
        if request.kind in (RequestKind.BACKWARD, RequestKind.COMPILE):
            return _validate(call, probe, workload)
        if request.kind is RequestKind.FITS:
            fit = call.fit(probe, workload)
            return dataclasses.replace(fit, findings=(*notes, *fit.findings))
        call.cancel.check()
        return probe.run_trial(TrialSpec(workload, request.config, request.batch_size))


def _validate(
    call: Call, probe: Probe, workload: Workload
) -> BackwardValidation | CompileValidation:
    """Check the backward pass, or what compiling gains."""
    backward, request = call.request.kind is RequestKind.BACKWARD, call.request
    return (validate_backward_on if backward else validate_compile_on)(
        probe, workload, request.config, request.batch_size or DEFAULT_BATCH_SIZE,
        on_event=call.on_event, cancel=call.cancel,
    )  # fmt: skip


def _notes_on_choice(asked: Request, probe: Probe) -> tuple[str, ...]:
    """Say which GPU is simulated where none was named."""
    target = probe.target
    if asked.device or asked.gpu or target.source is not Source.SIMULATED:
        return ()
    return (
        f"No CUDA device is available and no GPU was given: simulated for the catalogue's "
        f"default, {target.name}.",
    )


def _notes_on_lengths(asked: Request, workload: Workload) -> tuple[str, ...]:
    """Say which lengths were given to a model that does not take them."""
    left_out = lengths_left_out(asked.config, workload.describe(asked.config))
    return tuple(f"{quoted(asked.model)} takes {words}." for words in left_out)


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
