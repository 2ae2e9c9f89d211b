"""Tells the user's code from that of libraries, and which names code uses."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Iterator


def names_in(code: types.CodeType) -> Iterator[str]:
    """Yield the global names and attributes that code uses, that of functions in it too."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from names_in(constant)


@functools.cache
def is_of_a_library(module: str | None) -> bool:
    """Return whether a module is installed or Python's own, and not the user's."""
    first = (module or "").partition(".")[0]
    if first in ("__main__", "__mp_main__"):
        return False
    if first in sys.stdlib_module_names or first in ("torch", "memorymark"):
        return True
    file = getattr(sys.modules.get(first), "__file__", None) or ""
    return "site-packages" in file or "dist-packages" in file
