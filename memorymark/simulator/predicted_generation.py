"""Predicts the memory of a generation: its own loop, run on tensors without data.

A few tokens are simulated. Those after them are like the last, but that what grows with the text
is larger by as much again: three tokens tell, and where they do not agree, all are simulated.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from memorymark.bounds import new_meter
from memorymark.errors import quoted
from memorymark.inference.blended_step import step_for
from memorymark.inference.generate import classify, generate
from memorymark.inference.generation_tensors import GenerationTensors, tensors_of
from memorymark.inference.inference_step import Choose
from memorymark.placement.collector import collector_off
from memorymark.records.config import Task
from memorymark.simulator.cuda import replacements  # noqa: F401  (registers CUDA's kernels)
from memorymark.simulator.cuda.rules import Rules
from memorymark.simulator.device import SimulatedDevice
from memorymark.simulator.session import Session, simulating
from memorymark.simulator.simulated_runtime import SimulatedRuntime
from memorymark.simulator.skipped_tokens import may_change
from memorymark.simulator.tensors.shapes import ShapeCache
from memorymark.workloads.generation_spec import GenerationSpec

_META = torch.device("meta")
# The allocator rounds every block: PyTorch, c10/cuda/CUDACachingAllocator.cpp, kMinBlockSize.
_CUDA_BLOCK_BYTES = 512
# Of decoded tokens, the first chooses in another way where the text has an opening.
_UNLIKE, _COMPARED = 2, 3
_ANY_LENGTH = 10**9


@dataclass(frozen=True)
class PredictedGeneration:
    """What a generation would hold.

    Attributes:
        peaks: The most bytes of live tensors up to each token, the opening's included; of a
            classifier one.
        weights_bytes: Bytes of parameters and buffers.
        assumptions: What was answered without knowing, one sentence each.
    """

    peaks: tuple[int, ...]
    weights_bytes: int
    assumptions: tuple[str, ...]


def predict_generation(spec: GenerationSpec, model: nn.Module, rules: Rules) -> PredictedGeneration:
    """Run a generation without data, and return what it would hold.

    Args:
        spec: The generation.
        model: The workload's model without data, in eval mode; the list of both where two write.
        rules: The device that is simulated.

    Raises:
        UnsupportedOperation: An operation cannot be run without data.
        BoundReached: It takes too many operations, or too long.
    """
    most = 0 if spec.answers else len(spec.form.opening) + spec.plan.max_new_tokens
    few = min(most, len(spec.form.opening) + _UNLIKE + _COMPARED)
    tensors = tensors_of(spec)
    if few == most:
        return _run(spec, model, rules, tensors, most).predicted(most)
    found = _run(spec, model, rules, tensors, few)
    if not _changes(spec, most) and found.is_regular():
        return found.predicted(most)
    return _run(spec, model, rules, tensors, most).predicted(most)


def _changes(spec: GenerationSpec, most: int) -> bool:
    """Return whether what a token holds may come to grow in another way than at first."""
    read = spec.inputs.prompt_tokens or 0
    if spec.built_as.task is not Task.CAUSAL_LM:  # what is read besides text counts as well
        read, most = 0, _ANY_LENGTH
    return any(
        may_change(each.workload.hf_config, each.config.cache, read, read + most)
        for each in spec.models
    )


@dataclass(frozen=True)
class _Trace:
    """What was allocated and released, and where each token was chosen.

    Attributes:
        sizes: Bytes as requested; less than 0 where they are released.
        ends: How many of them came up to each token.
        block_bytes: What the allocator rounds each to.
        weights_bytes: Bytes of parameters and buffers.
        assumptions: What was answered without knowing.
    """

    sizes: np.ndarray
    ends: list[int]
    block_bytes: int
    weights_bytes: int
    assumptions: tuple[str, ...]

    def is_regular(self) -> bool:
        """Return whether the last tokens differ by as much from one another."""
        first, second, third = (self._token(at) for at in (-3, -2, -1))
        alike = len(first) == len(second) == len(third)
        return alike and bool(np.array_equal(third - second, second - first))

    def predicted(self, count: int) -> PredictedGeneration:
        """Return the peaks up to each token, those that were not simulated like the last."""
        live = np.cumsum(self._rounded(self.sizes))
        starts = [0, *self.ends[:-1]]
        own = [int(live[a:b].max(initial=0)) for a, b in zip(starts, self.ends, strict=True)]
        held = int(live[self.ends[-1] - 1]) if len(live) else 0
        if count > len(self.ends):
            last, more = self._token(-1), self._token(-1) - self._token(-2)
            for _ in range(count - len(self.ends)):
                last = last + more
                walked = held + np.cumsum(self._rounded(last))
                own.append(int(walked.max()))
                held = int(walked[-1])
        peaks = np.maximum.accumulate(np.asarray(own, dtype=np.int64))
        return PredictedGeneration(
            tuple(int(peak) for peak in peaks), self.weights_bytes, self.assumptions
        )

    def _rounded(self, sizes: np.ndarray) -> np.ndarray:
        return np.sign(sizes) * (-(-np.abs(sizes) // self.block_bytes) * self.block_bytes)

    def _token(self, at: int) -> np.ndarray:
        place = at % len(self.ends)
        return self.sizes[self.ends[place - 1] : self.ends[place]]


def _run(
    spec: GenerationSpec, model: nn.Module, rules: Rules, host: GenerationTensors, most: int
) -> _Trace:
    meter = new_meter(f"The simulation of {quoted(spec.workload.name)}")
    runtime = SimulatedRuntime(rules)
    ends: list[int] = []
    with simulating(rules) as session, collector_off():
        device = SimulatedDevice(session, ShapeCache(), meter=meter)

        def note(*_: Any) -> None:
            ends.append(len(device.trace.events))

        with device, runtime.settings(spec.built_as):
            device.add(model.named_parameters(), "parameters")
            device.add(model.named_buffers(), "temporaries")
            weights_bytes = device.live_bytes
            tensors = host.on(_META)
            device.add(tensors.named(), "inputs")
            if spec.answers:
                classify(model, tensors.inputs)
                note()
            else:
                step = step_for(spec, model, tensors, around=partial(_unsaid, session))
                generate(step, tensors.inputs, most=most, read=_read_nothing, on_token=note)
            sizes = np.array([size for _, size in device.trace.events[: ends[-1]]], dtype=np.int64)
        device.stop()
    block_bytes = _CUDA_BLOCK_BYTES if rules.is_cuda else 1
    return _Trace(sizes, ends, block_bytes, weights_bytes, session.assumptions)


def _unsaid(session: Session, choose: Choose) -> Choose:
    """Return what chooses tokens without a word that their values are not known."""

    def chosen(logits: Tensor) -> Tensor:
        with session.silent():
            return choose(logits)

    return chosen


def _read_nothing(token: Tensor) -> int:
    """Return a number in the place of a token's: none ends the text."""
    return 0
