"""One generation for real: predicted, loaded, run, and measured."""

from __future__ import annotations

import dataclasses
import gc
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import torch
from torch import Tensor, nn

from memorymark.errors import UnsupportedOperation, one_sentence, quoted
from memorymark.inference.blended_step import BlendedGeneration, BlendedStep, step_for
from memorymark.inference.generate import classify, generate
from memorymark.inference.generation_tensors import tensors_of
from memorymark.inference.inference_step import Generation, InferenceStep
from memorymark.inference.words import TokenNumbers, TokenWords, Words
from memorymark.memory.oom import is_out_of_memory
from memorymark.placement.collector import collector_off
from memorymark.probes.common import forget_frames, software
from memorymark.probes.generation_meters import GenerationMeter, meter_of
from memorymark.probes.probe import Probe
from memorymark.probes.written_so_far import Clock, Written
from memorymark.records.event import CancelToken
from memorymark.records.generation_run import Ending, GenerationRun, Label, WeightsFrom
from memorymark.records.trial import Target
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.predicted_generation import PredictedGeneration, predict_generation
from memorymark.training.runtime import DeviceRuntime
from memorymark.training.tracked import live_bytes_of
from memorymark.units import mib_or_gib
from memorymark.workloads.generation_spec import GenerationSpec
from memorymark.workloads.read_weights import missing_weights
from memorymark.workloads.served_model import serving_models
from memorymark.workloads.serving_spec import encoder_note

RANDOM = "The weights are random: what the model answers means nothing."
_LABELS = 5
_ON_THE_CPU = (
    "On the CPU every storage is followed while the model writes, which makes each token slower."
)
OnText = Callable[[str, Callable[[], GenerationRun]], None]


def generate_on(
    probe: Probe,
    spec: GenerationSpec,
    *,
    on_text: OnText = lambda text, known: None,
    note: Callable[[str], None] = lambda text: None,
    cancel: CancelToken | None = None,
) -> GenerationRun:
    """Predict the memory of a generation, run it, and measure.

    Args:
        probe: The device.
        spec: The generation.
        on_text: Called with each piece of text as it is made, and with what puts together the
            record of what was written so far.
        note: Called with a sentence for who waits.
        cancel: Ends the text within a token; before the first one, the work.

    Raises:
        Cancelled: It was asked for before the first token.
        NotAvailable: The probe is of no real device.
        MemoryMarkError: The model cannot be built or run.
    """
    began, cancel = time.perf_counter(), cancel or CancelToken()
    meter = meter_of(probe)
    note("Simulating what it will hold")
    predicted, why = _predicted(probe, spec)
    run = _empty_run(probe.target, spec, predicted)
    if why:
        run = dataclasses.replace(run, assumptions=(*run.assumptions, why))
    error = _lack(probe.target, predicted)
    if error is not None:
        run = dataclasses.replace(run, stopped_by=Ending.OUT_OF_MEMORY, error=error)
    else:
        with meter.selected():
            run = _Generating(spec, meter, run, predicted, on_text, note, cancel).run()
    return dataclasses.replace(run, elapsed_seconds=time.perf_counter() - began)


def _predicted(probe: Probe, spec: GenerationSpec) -> tuple[PredictedGeneration | None, str | None]:
    """Return what the generation would hold, or why that is not known."""
    kind = probe.target.kind
    if kind == "cpu":
        rules = Rules(Platform.CPU)
    elif kind == "cuda":
        calls: Any = getattr(probe, "device", None)
        rules = Rules(Platform.CUDA, calls.compute_capability)
    else:
        return None, f"Memory on {probe.target.name} is not predicted."
    if spec.config.compiled:
        return None, "The memory of compiled passes is not predicted."
    model = serving_models(spec, torch.device("meta"))
    try:
        return predict_generation(spec, model, rules), None
    except UnsupportedOperation as error:
        return None, f"Memory could not be predicted: {one_sentence(error)}"


def _lack(target: Target, predicted: PredictedGeneration | None) -> str | None:
    """Say why a generation is not begun: it would end before the first token; None: it may.

    What is predicted for the CPU is exact; of another device, that its weights have no room.
    """
    if predicted is None or target.capacity_bytes is None:
        return None
    needed = predicted.peaks[0] if target.kind == "cpu" else predicted.weights_bytes
    if needed <= target.capacity_bytes:
        return None
    usable = mib_or_gib(target.capacity_bytes)
    return f"It needs {mib_or_gib(needed)} before the first token, and {usable} can be used."


def _empty_run(
    target: Target, spec: GenerationSpec, predicted: PredictedGeneration | None
) -> GenerationRun:
    """Return the record of a generation that has not begun."""
    writes = encoder_note(spec.workload, spec.config.task)
    told = [spec.checkpoint.note, writes, _random_words(spec), *spec.inputs.notes]
    if spec.blend is not None:
        told.append(spec.blend.checkpoint.note)
    return GenerationRun(
        model=spec.workload.name,
        config=spec.config,
        plan=spec.plan,
        target=target,
        weights_from=spec.checkpoint.comes_from,
        blend_weights_from=spec.blend and spec.blend.checkpoint.comes_from,
        stopped_by=Ending.STOPPED,
        weights_bytes=0 if predicted is None else predicted.weights_bytes,
        prompt_tokens=spec.inputs.prompt_tokens,
        predicted_most_bytes=None if predicted is None else predicted.peaks[-1],
        findings=tuple(filter(None, told)),
        assumptions=() if predicted is None else predicted.assumptions,
        software=software(),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _random_words(spec: GenerationSpec) -> str:
    """Say whose weights are random."""
    random = [each for each in spec.models if each.checkpoint.comes_from is WeightsFrom.RANDOM]
    if not random or len(random) == len(spec.models):
        return RANDOM if random else ""
    name = quoted(random[0].workload.name)
    return f"The weights of {name} are random: its part of the answer means nothing."


class _Generating:
    """One generation while it runs."""

    def __init__(
        self,
        spec: GenerationSpec,
        meter: GenerationMeter,
        run: GenerationRun,
        predicted: PredictedGeneration | None,
        on_text: OnText,
        note: Callable[[str], None],
        cancel: CancelToken,
    ) -> None:
        self._spec, self._meter, self._record = spec, meter, run
        self._predicted, self._on_text, self._note = predicted, on_text, note
        self._cancel = cancel
        self._clock, self._written = Clock(), Written()
        tokenizer = spec.reader.tokenizer
        self._words: Words = TokenNumbers() if tokenizer is None else TokenWords(tokenizer)

    def run(self) -> GenerationRun:
        """Load the model, generate, and return the record."""
        try:
            self._run()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            self._written.ending, self._written.error = Ending.OUT_OF_MEMORY, one_sentence(error)
            forget_frames(error)
        record = self._result()
        gc.collect()
        self._meter.release()
        return record

    def _run(self) -> None:
        model, load_seconds = self._loaded()
        models = [model] if self._spec.blend is None else list(model.children())
        told = filter(None, map(missing_weights, models))
        self._record = dataclasses.replace(
            self._record,
            load_seconds=load_seconds,
            weights_bytes=live_bytes_of(model),
            findings=(*self._record.findings, *told),
        )
        self._generate(model)

    def _loaded(self) -> tuple[nn.Module, float]:
        spec = self._spec
        self._note("Loading the model")
        began = time.perf_counter()
        folders = [
            None if each.comes_from is WeightsFrom.RANDOM else each.folder
            for each in (model.checkpoint for model in spec.models)
        ]
        with collector_off():
            model = serving_models(spec, self._meter.device, folders)
        self._meter.synchronize()
        return model, time.perf_counter() - began

    def _generate(self, model: nn.Module) -> None:
        spec, device = self._spec, self._meter.device
        tensors = tensors_of(spec).on(device)
        generator = torch.Generator(device=device).manual_seed(spec.plan.seed)
        runtime = DeviceRuntime(device)
        self._note("Reading" if spec.answers else "Reading, then writing")
        watching = self._meter.watching(
            model, tensors, self._check, is_predicted=self._predicted is not None
        )
        with collector_off(), runtime.settings(spec.built_as), watching:
            self._clock = Clock()
            if spec.answers:
                self._answer(classify(model, tensors.inputs))
            else:
                self._write(step_for(spec, model, tensors, generator), tensors.inputs)
        self._say(self._words.rest())

    def _check(self) -> None:
        """Raise where somebody has cancelled before anything was written."""
        if not self._written.tokens:
            self._cancel.check()

    def _write(self, step: InferenceStep | BlendedStep, inputs: dict[str, Tensor]) -> None:
        form, written = self._spec.form, self._written
        written.ending = generate(
            step, inputs, most=self._spec.plan.max_new_tokens, read=self._read,
            on_token=self._take, opening=len(form.opening), ends=form.ends,
            is_stopped=self._is_stopped,
        )  # fmt: skip
        if written.error is not None:
            written.ending = Ending.OUT_OF_MEMORY
        if written.state is not None:
            written.cache_bytes, written.state = written.cache_now, None

    def _is_stopped(self) -> bool:
        """Return whether the next token is not to be made: nobody waits, or it has no room."""
        capacity, count = self._record.target.capacity_bytes, len(self._written.tokens)
        if count and self._predicted and capacity and self._meter.device.type == "cpu":
            needed = self._predicted.peaks[len(self._spec.form.opening) + count]
            if needed > capacity:
                self._written.error = (
                    f"out of memory: the next token needs {mib_or_gib(needed)}, and "
                    f"{mib_or_gib(capacity)} can be used."
                )
        return self._cancel.cancelled or self._written.error is not None

    def _read(self, token: Tensor) -> int:
        number = int(token)  # waits for the device
        self._clock.read = self._clock.read or self._clock.now()
        return number

    def _take(self, token: int, generation: Generation) -> None:
        clock = self._clock
        clock.last = clock.now()
        clock.first = clock.first or clock.last
        self._written.tokens.append(token)
        if isinstance(generation, BlendedGeneration) and generation.share is not None:
            self._written.shares.append(float(generation.share))
        self._written.state = generation
        if token not in self._spec.form.ends:
            self._say(self._words.add(token))

    def _say(self, piece: str) -> None:
        if piece:
            self._written.pieces.append(piece)
            with self._clock.stopped():
                self._on_text(piece, self._result)

    def _answer(self, shares: Tensor) -> None:
        named = getattr(self._spec.workload.hf_config, "id2label", None) or {}
        found = shares[0].topk(min(_LABELS, shares.shape[-1]))
        values = found.values.tolist()
        self._clock.first = self._clock.now()
        self._written.labels = tuple(
            Label(str(named.get(index, index)), share)
            for index, share in zip(found.indices.tolist(), values, strict=True)
        )
        self._written.ending = Ending.ANSWERED

    def _result(self) -> GenerationRun:
        written, clock, run = self._written, self._clock, self._record
        allocated, reserved = self._meter.peak_bytes()
        count, read = len(written.tokens), run.prompt_tokens
        decoding = clock.last - clock.first if clock.last and clock.first else None
        findings = (*run.findings, *([_ON_THE_CPU] if self._meter.device.type == "cpu" else []))
        return dataclasses.replace(
            run,
            text=None if self._spec.answers else "".join(written.pieces),
            tokens=tuple(written.tokens),
            blend_shares=tuple(written.shares),
            labels=written.labels,
            stopped_by=written.ending or Ending.STOPPED,
            error=written.error,
            first_token_seconds=clock.first,
            prefill_tokens_per_second=read / clock.read if read and clock.read else None,
            decode_seconds=decoding,
            decode_tokens_per_second=(count - 1) / decoding if decoding and count > 1 else None,
            cache_bytes=written.cache_now,
            predicted_peak_bytes=self._predicted_bytes(count),
            peak_allocated_bytes=allocated or None,
            peak_reserved_bytes=reserved,
            findings=findings,
        )

    def _predicted_bytes(self, count: int) -> int | None:
        """Return what was predicted for what was written."""
        if self._predicted is None or not (count or self._spec.answers):
            return None
        if self._spec.answers:
            return self._predicted.peaks[0]
        return self._predicted.peaks[len(self._spec.form.opening) + count - 1]
