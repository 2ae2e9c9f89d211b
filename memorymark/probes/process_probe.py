"""Simulates a step on a CUDA device of this machine, in the memory that this process can have."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch

from memorymark.errors import NotAvailable
from memorymark.gpus.catalogue import find_gpu
from memorymark.probes.cuda import CudaDevice, catalogue_row, gpu_like
from memorymark.probes.simulated import SimulatedProbe
from memorymark.records.trial import Source, Target


class ProcessProbe(SimulatedProbe):
    """Simulates trials for a device on which this process may hold memory already.

    What a training can have is the memory that is free, what the allocator's cache holds unused,
    and what the training itself holds already. The rest is held by others: other models of this
    process, its CUDA context, other processes. That the cache may be fragmented is not counted.

    Args:
        device: The device's calls.
        own_bytes: What the training holds on a device already.
        budget_bytes: The most that a trial may use.

    Attributes:
        held_bytes: What is held by others.

    Raises:
        NotAvailable: The catalogue knows no card of its generation.
    """

    def __init__(
        self,
        device: CudaDevice,
        own_bytes: Callable[[torch.device], int],
        budget_bytes: int | None = None,
    ) -> None:
        row = catalogue_row(device.name, device.total_bytes)
        target = Target(device.name, "cuda", Source.MEASURED, device.total_bytes,
                        device.total_bytes, row and row.key)  # fmt: skip
        gpu = gpu_like(target, device.compute_capability)
        if gpu is None:
            major, minor = device.compute_capability
            raise NotAvailable(
                f"The catalogue has no GPU of the generation of {device.name} (compute capability "
                f"{major}.{minor}). Name one like it, as in gpu='{find_gpu('l4').key}'."
            )
        own = own_bytes(device.device)
        others = max(0, device.allocated_bytes() - own)
        available = max(0, device.free_bytes() + device.reserved_bytes() - others)
        self.held_bytes = max(0, device.total_bytes - available)
        # The context is among what is not free: what is left is all the allocator's.
        gpu = dataclasses.replace(gpu, name=device.name, total_bytes=device.total_bytes,
                                  context_bytes=0)  # fmt: skip
        super().__init__(gpu, budget_bytes=min(available, budget_bytes or available))
        self.target = dataclasses.replace(self.target, index=device.index)


def process_probe(
    index: int, own_bytes: Callable[[torch.device], int], budget_bytes: int | None = None
) -> ProcessProbe:
    """Return the probe for a CUDA device of this machine, by its number."""
    return ProcessProbe(CudaDevice(index), own_bytes, budget_bytes)
