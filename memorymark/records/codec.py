"""How records become JSON and come back: one codec, which each record tells its own keys.

A record's JSON holds its fields under their names. A record that differs says so beside its
fields: `json_keys` where keys are renamed or worked out, `json_extra` for what follows the
fields, `before_reading` for documents of another shape. cattrs does the rest; it is imported
with the first record that is read or written, so that an import of memorymark stays light.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Self

from memorymark.errors import InvalidRecord, MemoryMarkError, quoted

if TYPE_CHECKING:
    from cattrs import Converter

# Where a key's value comes from: the path of an attribute, or a function of the record.
Origin = str | Callable[[Any], Any]

_PLAIN = {
    str: (str, "text"),
    int: (int, "a whole number"),
    float: ((int, float), "a number"),
    bool: (bool, "true or false"),
}


class Record:
    """Gives a frozen dataclass its way to JSON and back.

    Attributes:
        json_keys: Keys of the document in their order; empty for the fields under their names.
        json_extra: Attributes that follow the fields, where there are no `json_keys`.
        json_optional: Keys that are left out where they hold None or False, added since version
            0.1.0.
    """

    json_keys: ClassVar[Mapping[str, Origin]] = {}
    json_extra: ClassVar[tuple[str, ...]] = ()
    json_optional: ClassVar[tuple[str, ...]] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON takes them; numbers that are not finite are None."""
        return _converter().unstructure(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild a record from `to_dict`; missing keys take their defaults.

        Raises:
            InvalidRecord: A key without a default is missing, or a value is of a wrong type.
            MemoryMarkError: A value is not one that the record accepts.
        """
        from cattrs import BaseValidationError, transform_error

        try:
            return _converter().structure(values, cls)
        except BaseValidationError as group:
            cause = _first(group)
            if isinstance(cause, MemoryMarkError):
                raise cause from None
            reason, _, place = transform_error(group, "", _words)[0].rpartition(" @ ")
            if isinstance(cause, KeyError):  # it names the key, the place may say the field
                place = place.rpartition(".")[0]
            reason = f"{place.lstrip('.')}: {reason}" if place else reason
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            cause, reason = error, _words(error)
        raise InvalidRecord(cls.__name__, reason) from cause

    @classmethod
    def before_reading(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Bring a document into the shape of the fields; here it has it."""
        return values


def same(*names: str) -> dict[str, Origin]:
    """Return `json_keys` for attributes that are written under their own names."""
    return {name: name for name in names}


def parse_json(text: str, what: str) -> Any:
    """Read a JSON document; numbers that are not finite are None.

    Raises:
        InvalidRecord: It is none, or breaks off.
    """
    try:
        return json.loads(text, parse_constant=_no_number, parse_float=_finite_number)
    except (ValueError, RecursionError) as error:
        raise InvalidRecord(what, f"not JSON: {error}") from error


def to_json(record: Record) -> str:
    """Write a record as one JSON document."""
    return json.dumps(record.to_dict(), indent=2, allow_nan=False)


@cache
def _converter() -> Converter:
    from cattrs import Converter

    converter = Converter()
    for kind in _PLAIN:
        converter.register_structure_hook(kind, _read_plain)
    converter.register_structure_hook(StrEnum, lambda value, kind: kind(value))
    converter.register_structure_hook_func(lambda kind: kind == tuple[int, ...], _read_integers)
    converter.register_unstructure_hook(StrEnum, attrgetter("value"))
    converter.register_unstructure_hook(float, _finite)
    converter.register_structure_hook_factory(dataclasses.is_dataclass, _reader)
    converter.register_unstructure_hook_factory(dataclasses.is_dataclass, _writer)
    return converter


def _reader(kind: type[Any], converter: Converter) -> Callable[[Any, Any], Any]:
    from cattrs.gen import make_dict_structure_fn, override

    keys = {origin: key for key, origin in getattr(kind, "json_keys", {}).items()}
    overrides = {}
    for field in dataclasses.fields(kind):
        # What an option accepts is checked by its record, whose error names the nearest choice.
        hook = {"struct_hook": _as_it_is} if "option" in field.metadata else {}
        overrides[field.name] = override(rename=keys.get(field.name), **hook)
    build = make_dict_structure_fn(kind, converter, **overrides)
    prepare = getattr(kind, "before_reading", _as_it_is)

    def read_record(values: Any, _: Any) -> Any:
        if not isinstance(values, Mapping):
            raise TypeError(f"{quoted(values)} is not an object")
        return build(prepare(values), kind)

    return read_record


def _writer(kind: type[Any], converter: Converter) -> Callable[[Any], dict[str, Any]]:
    names = [field.name for field in dataclasses.fields(kind)]
    origins = getattr(kind, "json_keys", {}) or same(*names, *getattr(kind, "json_extra", ()))
    parts = [
        (key, attrgetter(origin) if isinstance(origin, str) else origin)
        for key, origin in origins.items()
    ]
    optional = getattr(kind, "json_optional", ())

    def write_record(record: Any) -> dict[str, Any]:
        written = {key: converter.unstructure(get(record)) for key, get in parts}
        for key in optional:
            if written[key] is None or written[key] is False:
                del written[key]
        return written

    return write_record


def _read_plain(value: Any, kind: type[Any]) -> Any:
    """Take a value as it is where it is of its kind: 12 stays 12 where a float may stand."""
    accepted, words = _PLAIN[kind]
    if isinstance(value, int):
        _check_size(value)
    if isinstance(value, accepted) and (kind is bool or not isinstance(value, bool)):
        return value
    raise TypeError(f"{quoted(value)} is not {words}")


def _read_integers(values: Any, _: Any) -> tuple[int, ...]:
    """Read a timeline's numbers at once: it has thousands of them."""
    if not isinstance(values, list | tuple) or not set(map(type, values)) <= {int}:
        raise TypeError("this is not a list of whole numbers")
    for extreme in (min(values, default=0), max(values, default=0)):
        _check_size(extreme)
    return tuple(values)


def _check_size(value: int) -> None:
    """Refuse what no table of a page can hold."""
    if not -(2**63) <= value < 2**63:
        raise TypeError("this is a whole number beyond 64 bits")


def _as_it_is(value: Any, _: Any = None) -> Any:
    return value


def _no_number(name: str) -> None:
    """Read NaN and Infinity, which are no JSON."""


def _finite_number(digits: str) -> float | None:
    return _finite(float(digits))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _words(error: BaseException, kind: type | None = None) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
