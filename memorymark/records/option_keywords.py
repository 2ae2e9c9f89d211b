"""Options as keyword arguments: help() names them, and an unknown one is refused by its name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from memorymark.errors import UnknownChoice
from memorymark.records.option import options_of

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Kind = TypeVar("_Kind")


def naming_options(
    kind: type[Any], names: Iterable[str] | None = None
) -> Callable[[_Function], _Function]:
    """Let help() and editors see a record's options in place of a function's `**options`.

    Args:
        kind: The record's class.
        names: Those of its options that the function takes; None takes all.
    """
    options = options_of(kind)
    named = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=options[name].default)
        for name in names or options
    ]

    def naming(function: _Function) -> _Function:
        signature = inspect.signature(function)
        *own, _ = signature.parameters.values()
        function.__signature__ = signature.replace(parameters=[*own, *named])
        return function

    return naming


def options_from(
    kind: type[_Kind], given: Mapping[str, Any], names: Iterable[str] | None = None
) -> _Kind:
    """Make a record of the options that were given by name.

    Args:
        kind: The record's class.
        given: The options' values by their names.
        names: Those of its options that are taken; None takes all.

    Raises:
        UnknownChoice: An option is none of these; the nearest name is suggested.
        UsageError: A value is not accepted.
    """
    taken = tuple(names or options_of(kind))
    for name in given:
        if name not in taken:
            raise UnknownChoice("option", name, taken)
    return kind(**given)
