"""The user's own probes, made by the function that MEMORYMARK_PROBE_FACTORY names."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import MethodType
from typing import Any

from memorymark.errors import InvalidValue, MemoryMarkError
from memorymark.probes.probe import Probe

_VARIABLE = "MEMORYMARK_PROBE_FACTORY"
_NAMED = "an importable package.module:function"
_MAKES = "a function that takes device, gpu and memory_budget and returns a probe"
# What a probe need not have: it then answers as a Probe does that says nothing of it.
_OPTIONAL = ("simulation", "quick_look", "span")


def probe_from(name: str, **target: Any) -> Probe:
    """Return what the function of that name makes.

    Args:
        name: package.module:function.
        target: What it is called with: device, gpu and memory_budget.

    Raises:
        InvalidValue: There is no such function, it raises, or it returns no probe.
        MemoryMarkError: The function's own sentence.
    """
    factory = load_factory(name)
    try:
        probe = factory(**target)
    except MemoryMarkError:
        raise
    except Exception as error:
        raise InvalidValue(_VARIABLE, name, f"{_MAKES} (it raised {error!r})") from error
    if not (hasattr(probe, "run_trial") and hasattr(probe, "target")):
        raise InvalidValue(_VARIABLE, name, f"{_MAKES} (it returned {type(probe).__name__})")
    return _completed(probe)


def _completed(probe: Any) -> Probe:
    if not hasattr(probe, "held_bytes"):
        probe.held_bytes = Probe.held_bytes
    for name in _OPTIONAL:
        if not hasattr(probe, name):
            setattr(probe, name, MethodType(getattr(Probe, name), probe))
    return probe


def load_factory(name: str) -> Callable[..., Probe]:
    """Return the function of a name.

    Raises:
        InvalidValue: There is no such function.
    """
    module, _, function = name.partition(":")
    try:
        factory = getattr(importlib.import_module(module), function)
    except Exception as error:  # importing runs the user's code
        raise InvalidValue(_VARIABLE, name, f"{_NAMED} ({error})") from error
    if not callable(factory):
        raise InvalidValue(_VARIABLE, name, f"{_NAMED} ({function} is no function)")
    return factory
