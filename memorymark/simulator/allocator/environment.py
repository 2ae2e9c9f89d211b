"""Whether the simulated allocator's segments grow: as asked for, or as PyTorch's variable says.

PyTorch reads PYTORCH_ALLOC_CONF, and the older PYTORCH_CUDA_ALLOC_CONF where that is not set
(c10/core/AllocatorConfig.cpp), as in "expandable_segments:True,max_split_size_mb:128". A measured
run follows it, and so does a simulated one as far as expandable segments go.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_VARIABLES = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
_EXPANDABLE = "expandable_segments"
_asked: ContextVar[bool] = ContextVar("whether a training asks for it", default=False)


@contextmanager
def asked_for(expandable_segments: bool) -> Iterator[None]:
    """Let segments grow inside where a training asks for it, whatever the variable says."""
    outer = _asked.set(expandable_segments)
    try:
        yield
    finally:
        _asked.reset(outer)


def expandable_segments() -> bool:
    """Return whether segments are to grow page by page."""
    return _asked.get() or is_set()


def is_set() -> bool:
    """Return whether the variable says so, which PyTorch's own allocator follows."""
    return _settings()[1].get(_EXPANDABLE) == "True"


def assumptions() -> list[str]:
    """Return what a result has to say of the variable: what was followed, and what was not."""
    variable, settings = _settings()
    noted = []
    if is_set():
        noted.append(f"The simulated allocator uses expandable segments, as {variable} sets.")
    others = [name for name in settings if name != _EXPANDABLE]
    if others:
        noted.append(f"The simulated allocator does not follow {', '.join(others)} of {variable}.")
    return noted


def _settings() -> tuple[str, dict[str, str]]:
    """Return the variable that is set, and its values by name."""
    variable = next((name for name in _VARIABLES if name in os.environ), _VARIABLES[0])
    text = re.sub(r"\s|\[.*?\]", "", os.environ.get(variable, ""))
    pairs = (pair.partition(":") for pair in text.split(",") if pair)
    return variable, {name: value for name, _, value in pairs}
