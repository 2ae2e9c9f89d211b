"""Simulates one batch that reads its prompt and generates: memory and seconds on a card."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from memorymark.bounds import new_meter
from memorymark.errors import OutOfMemory, quoted
from memorymark.gpus.catalogue import Gpu
from memorymark.inference.caches import held_bytes
from memorymark.inference.inference_step import Choose, Generation, InferenceStep
from memorymark.memory.trace import Trace
from memorymark.placement.collector import collector_off
from memorymark.records.serving_config import ServingConfig
from memorymark.records.session_run import Act, Reading
from memorymark.simulator.any_token import any_token
from memorymark.simulator.cuda import replacements  # noqa: F401  (registers CUDA's kernels)
from memorymark.simulator.cuda.rules import Rules
from memorymark.simulator.device import SimulatedDevice
from memorymark.simulator.session import simulating
from memorymark.simulator.simulated_runtime import SimulatedRuntime
from memorymark.simulator.simulated_sessions import ALL_COUNT, SimulatedPlace
from memorymark.simulator.skipped_tokens import Sizes, skip
from memorymark.simulator.tensors.shapes import ShapeCache
from memorymark.simulator.time.act_time import ActTime, act_time
from memorymark.workloads.serving_spec import ServingSpec

# Tokens that are simulated of a generation; those between them follow from them.
_LOOKED_AT = 8


@dataclass(frozen=True)
class SimulatedGeneration:
    """One batch that read its prompt and generated.

    Attributes:
        weights_bytes: Bytes of the model.
        cache_bytes: Bytes of the cache after the last token; None where none was reached.
        prefill: The memory of reading the prompt; None where there was no room.
        decode: The memory of the tokens after it, the most of them; None where there are none.
        peak_allocated_bytes: Most bytes of live tensors.
        peak_reserved_bytes: Most bytes that the caching allocator held.
        first_token: Seconds to the first token; None where no card was given, or none came.
        next_token: Mean seconds of those after it; None as well where there are none.
        ended: What ended it early; None where it went to its end.
        trace: Every allocation and release.
        assumptions: What was answered or allowed for, one sentence each.
    """

    weights_bytes: int
    cache_bytes: int | None
    prefill: Reading | None
    decode: Reading | None
    peak_allocated_bytes: int
    peak_reserved_bytes: int
    first_token: ActTime | None
    next_token: ActTime | None
    ended: OutOfMemory | None
    trace: Trace
    assumptions: tuple[str, ...]


def simulate_generation(
    spec: ServingSpec,
    model: nn.Module,
    rules: Rules,
    capacity_bytes: int | None = None,
    gpu: Gpu | None = None,
    make_step: Callable[[nn.Module, ServingConfig, Choose], InferenceStep] = InferenceStep,
) -> SimulatedGeneration:
    """Let one batch read its prompt and generate all of its tokens, without data.

    Args:
        spec: What generates; its plan for sessions plays no part.
        model: The workload's model without data, in eval mode.
        rules: The simulated device.
        capacity_bytes: What may be used of it; None for no limit.
        gpu: The card whose seconds are estimated; None for none.
        make_step: Makes the step of a model, for those that generate in another way.

    Raises:
        UnsupportedOperation: An operation cannot be run without data.
        BoundReached: It takes too many operations, or too long.
    """
    meter = new_meter(f"The simulation of {quoted(spec.workload.name)}")
    runtime = SimulatedRuntime(rules)
    with simulating(rules) as session, collector_off():
        device = SimulatedDevice(session, ShapeCache(), ALL_COUNT, meter=meter, counts_all=True)
        place = SimulatedPlace(device, capacity_bytes)
        eager = dataclasses.replace(spec.config, compiled=False)  # nothing to compile without data
        passes = _Passes(make_step(model, eager, any_token(session)), place)
        ended = None
        with device, runtime.settings(spec.built_as):
            device.add(model.named_parameters(), "parameters")
            device.add(model.named_buffers(), "temporaries")
            weights_bytes = device.live_bytes
            try:
                passes.run(spec, runtime)
            except OutOfMemory as error:
                ended = error
        device.stop()
        cache = None if passes.generation is None else held_bytes(passes.generation.cache)
        works, played = place.works(), place.close()
        compiled = spec.config.compiled
        decodes = [act_time(each, gpu, compiled=compiled) for each in works[1:] if gpu]
        return SimulatedGeneration(
            weights_bytes=weights_bytes,
            cache_bytes=cache,
            prefill=passes.prefill,
            decode=passes.decode,
            peak_allocated_bytes=played.peak_allocated_bytes,
            peak_reserved_bytes=played.peak_reserved_bytes,
            first_token=act_time(works[0], gpu) if gpu and works else None,
            next_token=_mean(decodes, passes.numbers),
            ended=ended,
            trace=device.trace,
            assumptions=session.assumptions,
        )


class _Passes:
    """Runs the passes of one batch, and notes their memory."""

    def __init__(self, step: InferenceStep, place: SimulatedPlace) -> None:
        self._step, self._place = step, place
        self.generation: Generation | None = None
        self.prefill: Reading | None = None
        self.decode: Reading | None = None
        self.numbers: list[int] = []

    def run(self, spec: ServingSpec, runtime: SimulatedRuntime) -> None:
        inputs = spec.make_prompt(runtime.device)

        def read() -> None:
            self.generation = self._step.prefill(inputs)

        self.prefill = self._place.run(Act.PREFILL, read)
        decodes = spec.config.output_tokens - 1
        for start, end in itertools.pairwise(_looked_at(decodes)):
            self._decode(start, end - start - 1)

    def _decode(self, number: int, skipped: int) -> None:
        """Generate a token, and skip those that are like it; where none is, generate them too."""
        generation = self.generation
        assert generation is not None
        before = Sizes(generation) if skipped else None
        found = self._place.run(Act.DECODE, lambda: self._step.decode(generation))
        self.numbers.append(number)
        if self.decode is None or found.peak_bytes >= self.decode.peak_bytes:
            self.decode = found
        growth = before and before.growth(generation)
        if growth is not None:
            skip(generation, growth, skipped)
            return
        for more in range(1, skipped + 1):
            self._decode(number + more, 0)


def _looked_at(decodes: int) -> list[int]:
    """Return the tokens that are simulated, the first, the last and some between, and the end."""
    most = min(decodes, _LOOKED_AT)
    if most < 2:
        return list(range(decodes + 1))
    return [(decodes - 1) * n // (most - 1) for n in range(most)] + [decodes]


def _mean(times: list[ActTime], numbers: list[int]) -> ActTime | None:
    """Return the mean over all tokens, those between two that were simulated on a line."""
    if not times:
        return None
    weights = _weights(numbers)

    def mean(name: str) -> float:
        values = (getattr(each, name) for each in times)
        return sum(w * x for w, x in zip(weights, values, strict=True)) / sum(weights)

    seconds = ("seconds", "low_seconds", "high_seconds", "device_seconds", "host_seconds")
    return ActTime(*(mean(name) for name in seconds), reasons=times[-1].reasons)


def _weights(numbers: list[int]) -> list[float]:
    """Return for how many tokens each one stands that was simulated: half of those beside it."""
    weights = [1.0] * len(numbers)
    for n, (start, end) in enumerate(itertools.pairwise(numbers)):
        weights[n] += (end - start - 1) / 2
        weights[n + 1] += (end - start - 1) / 2
    return weights
