"""Keeps the code of a step from writing to what is live."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from memorymark.errors import WorkloadError
from memorymark.memory.storage import storage_key
from memorymark.memory.torch_parts import OperationMode, is_mutable, tree_leaves


class Untouched(OperationMode):
    """Refuses operations that would write to what is live.

    Args:
        guarded: The keys of its storages.
    """

    def __init__(self, guarded: set[int | None]) -> None:
        super().__init__()
        self._guarded = guarded

    def handle(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the operation, unless it would write to what is guarded.

        Raises:
            WorkloadError: It would.
        """
        if is_mutable(func):
            for x in tree_leaves((args, kwargs)):
                if isinstance(x, Tensor) and not x.is_meta and storage_key(x) in self._guarded:
                    raise WorkloadError(
                        f"The code of the step would write ({func}) to weights, states or other "
                        "tensors that are live, which are to stay as they are. Let it use what it "
                        "is handed."
                    )
        return func(*args, **kwargs)
