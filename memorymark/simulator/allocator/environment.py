"""What the simulated allocator takes from the environment variable that PyTorch's own reads.

PyTorch reads PYTORCH_ALLOC_CONF, and the older PYTORCH_CUDA_ALLOC_CONF where that is not set
(c10/core/AllocatorConfig.cpp), as in "expandable_segments:True,max_split_size_mb:128". A measured
run follows it, and so does a simulated one as far as expandable segments go.
"""

from __future__ import annotations

import os
import re

_VARIABLES = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
_EXPANDABLE = "expandable_segments"


def expandable_segments() -> bool:
    """Return whether segments are to grow page by page."""
    return _settings()[1].get(_EXPANDABLE) == "True"


def assumptions() -> list[str]:
    """Return what a result has to say of the variable: what was followed, and what was not."""
    variable, settings = _settings()
    noted = []
    if expandable_segments():
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
