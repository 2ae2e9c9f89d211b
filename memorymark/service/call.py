"""One call of the engine: a request with what came along with it, and what its work needs."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memorymark.analysis.analyze import analyze_on
from memorymark.analysis.prediction import predict_max_batch
from memorymark.errors import NotAvailable
from memorymark.gpus.catalogue import DEFAULT_GPU, find_gpu, load_catalogue
from memorymark.probes.choose import measuring_probe, resolve_probe
from memorymark.records.analysis import Analysis
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.event import CancelToken, Event, EventKind, OnEvent
from memorymark.records.request import MEASURED_ONLY, Request, RequestKind
from memorymark.records.trial import Source
from memorymark.service.probe_factory import probe_from
from memorymark.settings import Settings

if TYPE_CHECKING:
    from memorymark.probes.probe import Probe
    from memorymark.workloads.base import Workload


@dataclass(frozen=True)
class Call:
    """A request while it is worked on.

    Attributes:
        request: What is asked for.
        settings: The owner's settings.
        given: An object in place of the model's name.
        find_workload: Returns the workload of a model's name; None takes any form of name.
        on_event: Called with each event.
        cancel: Stops the work.
    """

    request: Request
    settings: Settings
    given: Workload | None
    find_workload: Callable[[str], Workload] | None
    on_event: OnEvent
    cancel: CancelToken

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

        workload = self._resolved(probe)
        check_described(workload, self.request.config)
        return workload

    def _resolved(self, probe: Probe) -> Workload:
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

    def held(self, probe: Probe) -> AbstractContextManager[None]:
        """Hold the device of a measuring probe; a simulation holds nothing."""
        target = probe.target
        if target.source is Source.SIMULATED or self.request.kind is RequestKind.LEVERS:
            return contextlib.nullcontext()
        from memorymark.probes.lease import device_lease  # a simulation does without its packages

        folder, check = self.settings.locks_folder, self.cancel.check
        return device_lease(target.lock_name, folder=folder, note=self.note, check=check)

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
        options = with_price(options, probe)
        if guess is None:
            guess = predict_max_batch(probe, workload, config, options, on_event, self.cancel)
        return analyze_on(
            probe, workload, config, options, on_event=on_event, cancel=self.cancel, guess=guess
        )


def _resolve(model: str) -> Workload:
    from memorymark.workloads import resolve  # loads torch, which a user's own probe may not need

    return resolve(model)


def with_price(options: AnalysisOptions, probe: Probe) -> AnalysisOptions:
    """Take the catalogue's price where none is given."""
    gpu = load_catalogue().get(probe.target.gpu_key or "")
    if options.price_per_hour is not None or gpu is None:
        return options
    return dataclasses.replace(options, price_per_hour=gpu.usd_per_hour)
