"""Follows every storage from allocation to release, on real tensors and on ones without data.

How it works: a dispatch mode sees the outputs of each operation. A storage that was not seen
before is an allocation; a weak reference to it tells when it is released. What a kernel
allocates and frees within itself is not seen.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from memorymark.errors import OutOfMemory
from memorymark.memory.modules import ModulePaths
from memorymark.memory.sizing import output_bytes
from memorymark.memory.storage import parts_of, storage_key, storage_of
from memorymark.memory.torch_parts import OperationMode, check, key_of
from memorymark.memory.trace import SETUP, Block, Trace


class MemoryTracker(OperationMode):
    """Counts the bytes of live storages on one type of device.

    Args:
        device_types: Storages on other types of device are left out.
        budget_bytes: The most that may be live; None for no limit.
        on_operation: Called before each operation; raises where somebody has cancelled.
        looks_ahead: Whether the budget holds before an operation allocates, which takes as long
            as the operation where that is small; else it ends what has gone beyond it.

    Attributes:
        trace: Every allocation and release so far.
        live_bytes: Bytes that are live now.
        peak_bytes: The most that were live since the last `reset_peak`.

    Raises:
        IncompatibleTorch: This torch lacks private parts by which storages are told apart.

    Example:
        >>> with MemoryTracker("cpu") as tracker:
        ...     x = torch.zeros(1000)
        >>> tracker.live_bytes
        4000
    """

    def __init__(
        self,
        *device_types: str,
        budget_bytes: int | None = None,
        on_operation: Callable[[], None] = lambda: None,
        looks_ahead: bool = True,
    ) -> None:
        check()
        super().__init__()
        self.trace = Trace()
        self.live_bytes = 0
        self.peak_bytes = 0
        self._device_types = device_types
        self._budget_bytes = budget_bytes
        self._on_operation = on_operation
        self._looks_ahead = looks_ahead and budget_bytes is not None
        self._live: dict[int, tuple[int, weakref.ref[Any]]] = {}
        self._shared: Counter[int] = Counter()  # blocks that more than one storage stands for
        self._paths = ModulePaths()
        self._phase = SETUP

    def handle(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the operation and note what it allocated."""
        self._on_operation()
        if self._looks_ahead:
            self._check_budget(output_bytes(func, args, kwargs))
        output = func(*args, **kwargs)
        self.see(output, func)
        return output

    def see(self, output: Any, func: Any) -> None:
        """Note the storages of an operation's output that were not seen before."""
        if isinstance(output, Tensor):
            self._see_tensor(output, func)
        elif isinstance(output, tuple | list):
            for item in output:
                self.see(item, func)

    def watch(self, module: nn.Module) -> None:
        """Follow which part of the module is running, for the paths of blocks."""
        self._paths.watch(module)

    def unwatch(self) -> None:
        """Stop following modules."""
        self._paths.unwatch()

    def stop(self) -> None:
        """Leave out of the trace what is released from here on, whenever that may be."""
        self._live.clear()

    def begin_phase(self, phase: str) -> None:
        """Note that a phase of the step begins."""
        self._phase = phase
        self._paths.reset()
        self.trace.mark(phase)

    def reset_peak(self) -> None:
        """Forget the peak so far."""
        self.peak_bytes = self.live_bytes

    def add(self, tensors: Iterable[tuple[str, Tensor]], category: str) -> None:
        """Note tensors that exist already and what they are for.

        A storage that several share is for what the first one is for.

        Args:
            tensors: Pairs of name and tensor.
            category: One of trial.CATEGORIES.
        """
        for name, tensor in tensors:
            for part in parts_of(tensor):
                known = storage_key(part) in self._live
                self._see_part(part, category)
                if not known:
                    self.label(part, category, name)

    def label(self, tensor: Tensor, category: str, owner: str | None = None) -> None:
        """Say what a live tensor is for."""
        for part in parts_of(tensor):
            entry = self._live.get(storage_key(part))
            if entry is not None:
                block = self.trace.blocks[entry[0]]
                block.category, block.owner = category, owner

    def block_of(self, tensor: Tensor) -> int | None:
        """Return the number of the block that a tensor lies in; None where it is not followed."""
        entry = self._live.get(key_of(tensor.untyped_storage()))
        return None if entry is None else entry[0]

    def share(self, tensor: Tensor, other: Tensor) -> None:
        """Let another tensor's storage stand for the block of one too, if that is followed.

        The block is there as long as one of them is.
        """
        entry = self._live.get(key_of(tensor.untyped_storage()))
        if entry is not None:
            self._shared[entry[0]] += 1
            self._keep(other.untyped_storage(), entry[0])

    def borrow(self, size_bytes: int, category: str, operation: str) -> Callable[[], None]:
        """Note scratch memory that no tensor holds; call what is returned to release it."""
        block = Block(size_bytes, self._phase, self._paths.current, operation, category)
        block_id = self._allocate(block)
        return lambda: self._release(block_id)

    def follow_new(self, tensor: Tensor, func: Any) -> None:
        """Note a tensor of which it is known that its storage is new, and on the device."""
        storage = tensor.untyped_storage()
        size = storage.nbytes()
        if size:
            self._follow(storage, Block(size, self._phase, self._paths.current, func))

    def _see_tensor(self, tensor: Tensor, func: Any) -> None:
        if type(tensor) is Tensor and tensor.layout is torch.strided:
            if key_of(tensor.untyped_storage()) not in self._live:
                self._see_part(tensor, func)
            return
        for part in parts_of(tensor):
            self._see_part(part, func)

    def _see_part(self, tensor: Tensor, func: Any) -> None:
        storage = storage_of(tensor)
        if storage is None or key_of(storage) in self._live:
            return
        if storage.device.type not in self._device_types:
            return
        size = storage.nbytes()
        if size:
            self._follow(storage, Block(size, self._phase, self._paths.current, func))

    def _follow(self, storage: Any, block: Block) -> None:
        self._keep(storage, self._allocate(block))

    def _keep(self, storage: Any, block_id: int) -> None:
        """Release a block with its storage."""
        key = key_of(storage)
        live, release, shared = self._live, self.trace.release, self._shared

        def released(_: Any) -> None:
            block_id = live.pop(key)[0]
            if shared and shared[block_id]:
                shared[block_id] -= 1
            else:
                self.live_bytes -= release(block_id)

        live[key] = (block_id, weakref.ref(storage, released))

    def _allocate(self, block: Block) -> int:
        block_id = self.trace.allocate(block)
        live_bytes = self.live_bytes = self.live_bytes + block.size_bytes
        if live_bytes > self.peak_bytes:
            self.peak_bytes = live_bytes
        if self._budget_bytes is not None:
            self._check_budget(0)
        return block_id

    def _release(self, block_id: int) -> None:
        self.live_bytes -= self.trace.release(block_id)

    def _check_budget(self, wanted_bytes: int) -> None:
        budget = self._budget_bytes
        if budget is not None and self.live_bytes + wanted_bytes > budget:
            raise OutOfMemory(wanted_bytes, self.live_bytes, budget)
