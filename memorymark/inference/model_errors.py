"""What is told where a model's own code fails while it generates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from memorymark.errors import MemoryMarkError, UnsupportedOperation, one_sentence, quoted
from memorymark.memory.oom import is_out_of_memory
from memorymark.records.serving_config import CacheKind

# What a device says that is broken for this process: it is the device's error, not the model's.
_OF_THE_DEVICE = re.compile(r"CUDA error|device-side assert")


@contextmanager
def told_errors(model: nn.Module, cache: CacheKind) -> Iterator[None]:
    """Tell in a sentence what a model's own code raises.

    Args:
        model: The model that runs.
        cache: The kind of cache that it is given.

    Raises:
        UnsupportedOperation: Its code raised an error that is neither ours nor of memory.
    """
    try:
        yield
    except Exception as error:
        is_known = isinstance(error, MemoryMarkError) or is_out_of_memory(error)
        if is_known or _OF_THE_DEVICE.search(str(error)):
            raise
        name, reason = quoted(type(model).__name__), one_sentence(error).rstrip(".")
        if cache is CacheKind.DYNAMIC:
            told = f"{name} cannot generate: {reason}. Give another task, or another model."
        else:
            told = (
                f"{name} cannot generate with a {cache} cache: {reason}. Take the cache that it "
                f"is made for, {CacheKind.DYNAMIC}."
            )
        raise UnsupportedOperation(told) from error
