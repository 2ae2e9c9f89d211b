"""What a training step needs from its kind of device."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import nn

from memorymark.errors import MissingPackage
from memorymark.placement.fp32_precision import precision_restorer
from memorymark.records.config import Attention, OptimizerImpl, Precision, TrainingConfig

AUTOCAST_DTYPES = {Precision.AMP_BF16: torch.bfloat16, Precision.AMP_FP16: torch.float16}


class Runtime(Protocol):
    """What the training step asks of the place where it runs."""

    device: torch.device
    default_optimizer_impl: OptimizerImpl

    def settings(self, config: TrainingConfig) -> AbstractContextManager[None]:
        """Hold the process-wide settings that the config asks for while steps run."""

    def autocast(self, precision: Precision) -> AbstractContextManager[Any]:
        """Return the region in which the forward pass runs."""

    def grad_scaler(self, precision: Precision) -> torch.amp.GradScaler:
        """Return the gradient scaler; it does nothing where the precision needs none."""

    def adamw_8bit(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return AdamW with states of eight bits."""


class DeviceRuntime:
    """A real device: torch's own autocast, gradient scaler and kernels.

    Args:
        device: Where the training runs.
    """

    default_optimizer_impl = OptimizerImpl.DEFAULT

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @contextlib.contextmanager
    def settings(self, config: TrainingConfig) -> Iterator[None]:
        """Hold TF32, cuDNN's benchmark and the choice of attention kernels while steps run."""
        restore, benchmark = precision_restorer(), torch.backends.cudnn.benchmark
        torch.backends.cudnn.benchmark = config.cudnn_benchmark
        if config.precision is Precision.TF32:
            torch.set_float32_matmul_precision("high")
        try:
            with attention_kernels(config):
                yield
        finally:
            restore()
            torch.backends.cudnn.benchmark = benchmark

    def autocast(self, precision: Precision) -> AbstractContextManager[Any]:
        """Return torch.autocast for mixed precisions, else a region that does nothing."""
        if not precision.is_amp:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=AUTOCAST_DTYPES[precision])

    def grad_scaler(self, precision: Precision) -> torch.amp.GradScaler:
        """Return torch's gradient scaler, enabled for amp-fp16."""
        return torch.amp.GradScaler(self.device.type, enabled=precision is Precision.AMP_FP16)

    def adamw_8bit(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the optimizer of bitsandbytes.

        Raises:
            MissingPackage: bitsandbytes is not installed.
        """
        try:
            from bitsandbytes.optim import AdamW8bit
        except ImportError as error:
            raise MissingPackage("bitsandbytes", "The optimizer adamw-8bit") from error
        return AdamW8bit(parameters)


def attention_kernels(config: TrainingConfig) -> AbstractContextManager[Any]:
    """Return the region in which attention may use the kernels that the config allows."""
    if config.attention is not Attention.FLASH:
        return contextlib.nullcontext()
    from torch.nn.attention import SDPBackend, sdpa_kernel

    return sdpa_kernel(SDPBackend.FLASH_ATTENTION)
