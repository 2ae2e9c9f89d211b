"""Helpers that the probes share: records of trials, software versions, error sentences."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from functools import cache
from importlib import metadata
from typing import Any

import torch

from memorymark.errors import InvalidValue, one_sentence
from memorymark.memory.ambient import staying_ambient
from memorymark.memory.oom import is_out_of_memory
from memorymark.probes.model_keeper import ModelKeeper
from memorymark.records.config import Optimizer, TrainingConfig
from memorymark.records.trial import ALLOCATOR_SETTINGS, Outcome, Stage, Target, Trial
from memorymark.simulator.allocator.environment import is_set
from memorymark.simulator.torch_compat import untested_version
from memorymark.workloads.trial_spec import TrialSpec

_PACKAGES = ("torch", "transformers", "torchvision", "timm", "bitsandbytes", "memorymark")


def software() -> dict[str, str]:
    """Return the versions of what takes part in a trial, and the allocator's settings if any."""
    versions = {"python": platform.python_version(), "torch": torch.__version__, **_installed()}
    if torch.version.cuda:
        versions["cuda"] = torch.version.cuda
    settings = os.environ.get(ALLOCATOR_SETTINGS) or os.environ.get("PYTORCH_CUDA_ALLOC_CONF")
    return {**versions, ALLOCATOR_SETTINGS: settings} if settings else versions


@cache
def _installed() -> dict[str, str]:
    """Return the versions of the packages beside torch; they stay as long as the process does."""
    versions = {}
    for package in _PACKAGES[1:]:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions


def failed_trial(target: Target, spec: TrialSpec, error: BaseException) -> Trial:
    """Return the record of a trial that raised, and let go of the tensors that it held."""
    outcome = Outcome.OOM if is_out_of_memory(error) else Outcome.ERROR
    sentence = one_sentence(error)
    forget_frames(error)
    return new_trial(target, spec, outcome, error=sentence)


def forget_frames(error: BaseException) -> None:
    """Drop the frames of an error and of those that led to it: their variables keep tensors."""
    seen: set[int] = set()
    chain: list[BaseException | None] = [error]
    while chain:
        each = chain.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            each.__traceback__ = None
            chain += [each.__cause__, each.__context__]


def new_trial(target: Target, spec: TrialSpec, outcome: Outcome, **readings: Any) -> Trial:
    """Return the record of a trial.

    Args:
        target: What it ran on.
        spec: What it ran.
        outcome: How it ended.
        readings: The other fields of the record.
    """
    return Trial(
        model=spec.workload.name,
        batch_size=spec.batch_size,
        config=spec.config,
        source=target.source,
        device=target.name,
        outcome=outcome,
        capacity_bytes=target.capacity_bytes,
        stage=spec.stage,
        software=software(),
        **readings,
    )


def check_segments(config: TrainingConfig, target: Target) -> None:
    """Check that a device's allocator has the segments that a training asks for.

    PyTorch reads its allocator's settings when CUDA starts; it has no public call to change them.

    Raises:
        InvalidValue: It has not.
    """
    if not config.expandable_segments or (target.kind == "cuda" and is_set()):
        return
    accepted = (
        f"off, unless {ALLOCATOR_SETTINGS}=expandable_segments:True is set in the environment "
        "before the program starts"
        if target.kind == "cuda"
        else "off: only CUDA's allocator has them"
    )
    raise InvalidValue("expandable segments", "on", accepted)


def timed_trial(run: Callable[[TrialSpec], Trial], spec: TrialSpec, models: ModelKeeper) -> Trial:
    """Run a trial and note the seconds that it took, all included.

    What is to be said of the model and of an untested torch is noted too.
    """
    start = time.perf_counter()
    trial = run(spec)
    seconds = time.perf_counter() - start
    noted = (
        *models.notes,
        *trial.assumptions,
        _standing_alone(spec),
        untested_version(),
        staying_ambient(),
    )
    assumed = dict.fromkeys(noted)
    assumptions = tuple(text for text in assumed if text is not None)
    findings = (*models.findings, *trial.findings)
    return dataclasses.replace(
        trial, elapsed_seconds=seconds, assumptions=assumptions, findings=findings
    )


def _standing_alone(spec: TrialSpec) -> str | None:
    """Say what a step without an optimizer leaves out of a plain loop."""
    trains = spec.config.optimizer is not Optimizer.NONE or spec.stage is not Stage.STEP
    if trains or not spec.config.keeps_outputs:
        return None
    return (
        "Without an optimizer nothing is trained: loss and outputs end with their step, where a "
        "training loop keeps them until the next step's replace them."
    )


def spread_of(seconds: Sequence[float]) -> float | None:
    """Return what timed steps differ by: their interquartile range over their median.

    None where there are fewer than four.
    """
    if len(seconds) < 4:
        return None
    first, middle, third = statistics.quantiles(seconds, n=4, method="inclusive")
    return (third - first) / middle if middle > 0 else None
