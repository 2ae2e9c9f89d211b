"""One call of the engine: a request with what came along with it, and what its work needs."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memorymark.analysis.analyze import analyze_on
from memorymark.analysis.fit_check import check_fit
from memorymark.analysis.prediction import predict_max_batch
from memorymark.analysis.serve_sessions import serve_on
from memorymark.errors import NotAvailable, UsageError
from memorymark.gpus.abilities import cannot_do
from memorymark.gpus.catalogue import DEFAULT_GPU, find_gpu, load_catalogue
from memorymark.gpus.live_prices import live_prices
from memorymark.gpus.price_book import PriceBook
from memorymark.probes.choose import (
    has_cuda,
    measuring_probe,
    probe_of_process,
    resolve_probe,
    simulated_probe,
)
from memorymark.records.analysis import Analysis
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.event import CancelToken, Event, EventKind, OnEvent
from memorymark.records.fit import Fit
from memorymark.records.generation_run import GenerationRun, WeightsFrom
from memorymark.records.request import MEASURED_ONLY, Request, RequestKind
from memorymark.records.session_run import SessionRun
from memorymark.records.training_comparison import TrainingComparison
from memorymark.records.training_run import TrainingRun
from memorymark.records.trial import Source
from memorymark.service.probe_factory import probe_from
from memorymark.settings import Settings
from memorymark.units import usd

if TYPE_CHECKING:
    from torch import Tensor

    from memorymark.probes.probe import Probe
    from memorymark.workloads.base import Workload
    from memorymark.workloads.generation_spec import GenerationSpec


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
        processes: How many processes may work on it at a time.
        media: What the files hold that a generation names: image, audio. None reads the files.
        steer: What reads or changes the hidden state of sessions at their pause.
    """

    request: Request
    settings: Settings
    given: Workload | None
    find_workload: Callable[[str], Workload] | None
    on_event: OnEvent
    cancel: CancelToken
    processes: int = 1
    media: Mapping[str, bytes] | None = None
    steer: Callable[[Tensor], Tensor] | None = None

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
        if self.request.kind is RequestKind.FITS:
            return self._probe_of_process(device, gpu)
        return resolve_probe(device, gpu, self.request.memory_budget)

    def _probe_of_process(self, device: str | None, gpu: str | None) -> Probe:
        """Return what simulates the device that this process would use, or another GPU."""
        live, budget = self.given, self.request.memory_budget
        if gpu is None and (device is not None or has_cuda()):
            own_bytes = live.bytes_on if live is not None else lambda device: 0
            return probe_of_process(device or "cuda", own_bytes, budget)
        row = find_gpu(DEFAULT_GPU if gpu is None else gpu)
        if live is not None and live.beside_bytes:
            usable = min(budget or row.usable_bytes, row.usable_bytes)
            budget = max(1, usable - live.beside_bytes)
        return simulated_probe(row, budget)

    def fit(self, probe: Probe, workload: Workload) -> Fit:
        """Try the request's batch on a probe, and search the largest that fits where it must."""
        found = check_fit(
            probe, workload, self.request.config, self.request.batch_size or 1,
            self.request.options, largest=bool(self.request.largest), grows=workload.grows,
            check=self.cancel.check,
        )  # fmt: skip
        return dataclasses.replace(found, held_bytes=probe.held_bytes)

    def serve(self, probe: Probe, workload: Workload) -> SessionRun:
        """Let the request's sessions take their turns on a probe."""
        request = self.request
        assert request.serving is not None and request.plan is not None
        return serve_on(
            probe, workload, request.serving, request.plan,
            host_bytes=request.host_memory,
            price_per_hour=self.with_price(request.options, probe).price_per_hour,
            steer=self.steer, on_event=self.on_event, cancel=self.cancel,
        )  # fmt: skip

    def generate(self, probe: Probe, workload: Workload) -> GenerationRun:
        """Run the request's generation on a probe's device.

        In the app no file is read but the model's own, and the hub is not asked.
        """
        from memorymark.probes.generation import generate_on
        from memorymark.workloads.blended_spec import blended_spec

        spec = self._generation_of(workload, is_given=self.given is not None)
        assert self.request.generation is not None
        if self.request.generation.blend is not None:
            make = self.find_workload or _resolve
            spec = blended_spec(spec, self._generation_of(make(self.request.generation.blend)))
        pieces = itertools.count(1)

        def tell(piece: str, known: Callable[[], GenerationRun]) -> None:
            share = min(next(pieces) / spec.plan.max_new_tokens, 1.0)
            self.on_event(Event(EventKind.TEXT, piece, progress=share, known=known))

        return generate_on(probe, spec, note=self.note, cancel=self.cancel, on_text=tell)

    def _generation_of(self, workload: Workload, *, is_given: bool = False) -> GenerationSpec:
        """Return what one model reads and writes, with its weights unless it was handed over."""
        from memorymark.workloads.checkpoint import Checkpoint, find_checkpoint
        from memorymark.workloads.generation_spec import generation_spec

        request, in_app = self.request, self.find_workload is not None
        assert request.serving is not None and request.generation is not None
        media = {} if self.media is None and in_app else self.media
        checkpoint = Checkpoint(None, WeightsFrom.RANDOM)
        if not is_given:
            random_weights = request.generation.random_weights
            checkpoint = find_checkpoint(
                workload.name, random_weights=random_weights, from_hub=not in_app
            )
        return generation_spec(workload, request.serving, request.generation, checkpoint, media)

    def train(self, probe: Probe, workload: Workload) -> TrainingRun:
        """Run the request's training on a probe's device, with the batch of an analysis if none.

        In the app no file is read but the model's own and the data, and the hub is not asked.
        """
        from memorymark.service.training_call import train

        return train(self, probe, workload)

    def compare_training(self, probe: Probe, workload: Workload) -> TrainingComparison:
        """Train two models on the same data within the same budget."""
        from memorymark.service.training_call import compare_training

        return compare_training(self, probe, workload)

    def workload(self, probe: Probe) -> Workload:
        """Return the workload that the request names, or what the user's own probe makes of it.

        Raises:
            UsageError: It cannot be trained with the request's options.
        """
        from memorymark.workloads.own_code import check_described

        self._check_able(probe)
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
        with pretended_gpu(name=gpu.name, capability=gpu.capability, total_bytes=gpu.total_bytes):
            return make(self.request.model)

    def _check_able(self, probe: Probe) -> None:
        """Refuse what software of the simulated GPU's maker does not do."""
        gpu = load_catalogue().get(probe.target.gpu_key or "")
        asked = self.request.serving or self.request.config
        reasons = cannot_do(asked, probe.target.kind, gpu)
        if gpu is not None and reasons:
            raise UsageError(
                f"{gpu.name}: {' '.join(reasons)} Leave that out, or name another GPU with --gpu."
            )

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
        options = self.with_price(options, probe)
        if guess is None:
            guess = predict_max_batch(probe, workload, config, options, on_event, self.cancel)
        return analyze_on(
            probe, workload, config, options, on_event=on_event, cancel=self.cancel, guess=guess
        )

    @functools.cached_property
    def prices(self) -> PriceBook:
        """The prices of this call; live ones are fetched once, when they are first needed."""
        request = self.request
        given = {find_gpu(name).key: price for name, price in request.prices}
        book = PriceBook(given, request.price_kind and str(request.price_kind))
        if not request.live_prices:
            return book
        self.note("Fetching the providers' prices")
        try:
            return dataclasses.replace(book, live=live_prices())
        except NotAvailable as error:
            problem = f"{error} Prices are those of MemoryMark's list, with the day of each."
            return dataclasses.replace(book, live=(), problem=problem)

    def notes_on_price(self, probe: Probe) -> tuple[str, ...]:
        """Say whose price an analysis takes, where one was asked for in any way but as a number."""
        gpu = load_catalogue().get(probe.target.gpu_key or "")
        asked = self.request.live_prices or self.request.price_kind is not None
        if gpu is None or not asked or self.request.options.price_per_hour is not None:
            return ()
        priced = self.prices.priced(gpu)
        said = [*self.prices.told([gpu])]
        if priced.usd_per_hour is not None:
            seen = f" ({priced.price_observed_at})" if priced.price_observed_at else ""
            said.append(f"Price: {usd(priced.usd_per_hour)} per hour, {priced.price_source}{seen}.")
        return tuple(said)

    def with_price(self, options: AnalysisOptions, probe: Probe) -> AnalysisOptions:
        """Take the price of the target where none is given."""
        gpu = load_catalogue().get(probe.target.gpu_key or "")
        if options.price_per_hour is not None or gpu is None:
            return options
        return dataclasses.replace(options, price_per_hour=self.prices.priced(gpu).usd_per_hour)


def _resolve(model: str) -> Workload:
    from memorymark.workloads import resolve  # loads torch, which a user's own probe may not need

    return resolve(model)
