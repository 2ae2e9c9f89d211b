"""The simulated device, as the training step sees it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from memorymark.records.config import OptimizerImpl, Precision, TrainingConfig
from memorymark.simulator.cuda.adamw8bit import SimulatedAdamW8bit
from memorymark.simulator.cuda.autocast import autocast_kernels
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.session import current
from memorymark.training.runtime import AUTOCAST_DTYPES, attention_kernels


class SimulatedRuntime:
    """The simulated device's part of a training step, on tensors without data.

    Args:
        rules: The simulated device.
    """

    device = torch.device("meta")

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        # torch.optim takes foreach on CUDA by itself, and the loop on the CPU, on MPS and on meta.
        self.default_optimizer_impl = (
            OptimizerImpl.FOREACH if rules.platform is Platform.CUDA else OptimizerImpl.FOR_LOOP
        )

    @contextlib.contextmanager
    def settings(self, config: TrainingConfig) -> Iterator[None]:
        """Hold autocast's kernels, once a region begins, and the choice of attention kernels."""
        with contextlib.ExitStack() as stack:
            session = current()
            if session is not None:
                session.on_autocast = _once(lambda: stack.enter_context(autocast_kernels()))
            stack.enter_context(attention_kernels(config))
            yield

    def autocast(self, precision: Precision) -> AbstractContextManager[Any]:
        """Return torch.autocast over the simulated device's state."""
        if not precision.is_amp:
            return contextlib.nullcontext()
        return torch.autocast("meta", dtype=AUTOCAST_DTYPES[precision])

    def grad_scaler(self, precision: Precision) -> torch.amp.GradScaler:
        """Return torch's gradient scaler, enabled for amp-fp16."""
        return torch.amp.GradScaler("meta", enabled=precision is Precision.AMP_FP16)

    def adamw_8bit(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return an optimizer with the states of bitsandbytes' AdamW8bit."""
        return SimulatedAdamW8bit(parameters)


def _once(work: Callable[[], object]) -> Callable[[], None]:
    """Return what does the work when it is called first."""
    done: list[object] = []

    def work_once() -> None:
        if not done:
            done.append(work())

    return work_once
