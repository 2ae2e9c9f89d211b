"""Options: what is known of one stands with its field, and everything else is made from it.

A record's checks, the command line's flags, the page's widgets, the address of the page and
the exported command all read the same declaration:

    seq_len: int = option(128, "Sequence length", "Tokens per sample.", largest=10_000_000)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from memorymark.errors import InvalidValue, UnknownChoice, UsageError

REQUIRED = dataclasses.MISSING

_T = TypeVar("_T")
_SWITCH = {"true": True, "false": False}


@dataclass(frozen=True)
class Option:
    """One option of a record.

    Attributes:
        name: Name of its field.
        types: What its values are: a StrEnum, bool, int, float, int and float, str or tuple.
        default: Its default; None where it may be left open, REQUIRED where it may not.
        label: Its name on the page.
        help: What it does, in a sentence; the names of choices are left out.
        largest: The largest number accepted, so large that no product of what is accepted
            overflows; None where it is no number, or is read from text.
        flag: Its flag on the command line.
        flag_help: What its flag does, where that is another sentence, as of one that switches off.
        read: Reads and checks what people write, where it is text of another form: "4GiB".
        described: Whether it is only described: its record and the codec check it themselves.
        from_zero: Whether a whole number may be 0: of what is numbered, not counted.

    Raises:
        TypeError: A number is declared without an end.
    """

    name: str
    types: tuple[type, ...]
    default: Any
    label: str
    help: str
    largest: float | None
    flag: str
    read: Callable[[Any], Any] | None = None
    described: bool = False
    from_zero: bool = False
    flag_help: str | None = None

    def __post_init__(self) -> None:
        is_number = int in self.types or float in self.types
        if is_number and self.largest is None and self.read is None:
            raise TypeError(f"The option {self.name!r} has no end: give the largest.")

    @property
    def kind(self) -> type:
        """What people enter: where whole numbers and others are accepted, any number."""
        if self.read is not None:
            return str
        return float if float in self.types else self.types[0]

    @property
    def smallest(self) -> int:
        """The smallest number accepted: counts begin at 1, all else at 0."""
        return int(self.types == (int,) and not self.from_zero)

    @property
    def choices(self) -> list[str]:
        """Names to choose from; empty where it is no choice."""
        return [str(member) for member in self.kind] if issubclass(self.kind, StrEnum) else []

    @property
    def is_share(self) -> bool:
        """Whether it is a share of one, which people enter in percent."""
        return self.kind is float and self.largest is not None and self.largest <= 1

    @property
    def accepted(self) -> str:
        """What is accepted, in words."""
        if self.kind is bool:
            return "true or false"
        if self.kind is str:
            return "text"
        if self.is_share:
            return f"a share from {self.smallest} to {self.largest}, such as 0.05"
        return f"a number from {self.smallest} to {self.largest:,}"

    def check(self, value: Any) -> Any:
        """Return a value as the record keeps it.

        Raises:
            UnknownChoice: It is none of the choices.
            InvalidValue: It is of a wrong type or out of range.
        """
        words = self.name.replace("_", " ")
        if value is None and self.default is None:
            return None
        if self.read is not None:
            return self.read(value)
        if self.choices:
            return self._member(words, str(value))
        if self.types == (int,):
            return check_count(words, value, int(self.largest), self.smallest)
        if not self._is_within(value):
            raise InvalidValue(words, value, self.accepted)
        return self._whole(value)

    def parse(self, text: str) -> Any:
        """Read a value from text, as in the address of a page.

        Raises:
            UsageError: It is not accepted.
        """
        for kind in () if self.read else self.types:
            try:
                return self.check(_SWITCH[text] if kind is bool else kind(text))
            except (KeyError, ValueError):
                continue
        return self.check(text)

    def _member(self, words: str, name: str) -> Any:
        try:
            return self.kind(name)
        except ValueError:
            raise UnknownChoice(words, name, self.choices) from None

    def _whole(self, value: Any) -> Any:
        """Return 12.0 as 12 where whole numbers are accepted: a widget only gives the first.

        And -0.0 as 0.0: nobody writes the first.
        """
        if int in self.types and isinstance(value, float) and value.is_integer():
            return int(value)
        return abs(value) if isinstance(value, float) and value == 0 else value

    def _is_within(self, value: Any) -> bool:
        if self.kind in (str, bool):
            return isinstance(value, self.kind)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and self.smallest <= value <= self.largest


def option(
    default: Any,
    label: str,
    help: str,
    *,
    largest: float | None = None,
    flag: str | None = None,
    read: Callable[[Any], Any] | None = None,
    from_zero: bool = False,
    flag_help: str | None = None,
) -> Any:
    """Declare a field of a record as an option; see Option for what is given.

    The flag is by default the field's name; for a switch that is on by default, --no- and it.
    """
    given = {
        "label": label, "help": help, "largest": largest, "flag": flag, "read": read,
        "from_zero": from_zero, "flag_help": flag_help,
    }  # fmt: skip
    return dataclasses.field(default=default, metadata={"option": given})


def described(default: Any, label: str, help: str, **more: Any) -> Any:
    """Declare a field as an option that its record, or the codec, checks in its own way.

    check_options leaves it as it is; the rest is as with option.
    """
    field = option(default, label, help, **more)
    return dataclasses.field(default=default, metadata={"described": field.metadata["option"]})


@cache
def options_of(kind: type[Any]) -> dict[str, Option]:
    """Return the options of a record's class by their names, in the order of its fields."""
    hints, found = get_type_hints(kind), {}
    for field in dataclasses.fields(kind):
        given = field.metadata.get("option") or field.metadata.get("described")
        if given:
            hint = hints[field.name]
            types = get_args(hint) if isinstance(hint, UnionType) else (get_origin(hint) or hint,)
            types = tuple(each for each in types if each is not type(None))
            flag = given["flag"] or _flag(field.name, is_on=field.default is True)
            values = {**given, "flag": flag, "default": field.default, "types": types}
            values["described"] = "described" in field.metadata
            found[field.name] = Option(name=field.name, **values)
    return found


def check_options(record: Any) -> None:
    """Check the options of a record that was just made; names of choices become members.

    Raises:
        UsageError: A value is not accepted.
    """
    for name, each in options_of(type(record)).items():
        if not each.described:
            object.__setattr__(record, name, each.check(getattr(record, name)))


def changed(record: Any) -> dict[str, Any]:
    """Return the options of a record that differ from their defaults."""
    values = {
        name: (getattr(record, name), each) for name, each in options_of(type(record)).items()
    }
    return {name: value for name, (value, each) in values.items() if value != each.default}


def changed_words(record: Any, names: Container[str] | None = None) -> list[str]:
    """Return the command line's words for the options that differ from their defaults.

    Args:
        record: The record.
        names: The options that the command takes; None takes all.

    Example:
        >>> from memorymark.records.config import TrainingConfig
        >>> changed_words(TrainingConfig(seq_len=512, dropout=False))
        ['--seq-len', '512', '--no-dropout']
    """
    words: list[str] = []
    for name, value in changed(record).items():
        if names is not None and name not in names:
            continue
        words.append(options_of(type(record))[name].flag)
        if not isinstance(value, bool):
            words.append(str(value))
    return words


def to_query(record: Any) -> dict[str, str]:
    """Return the options that differ from their defaults as parameters of an address."""
    return written_query(options_of(type(record)), changed(record))


def written_query(options: Mapping[str, Option], values: Mapping[str, Any]) -> dict[str, str]:
    """Return those values that differ from the defaults of their options, as parameters."""
    names = {True: "true", False: "false"}
    return {
        name: names[values[name]] if isinstance(values[name], bool) else str(values[name])
        for name, each in options.items()
        if name in values and values[name] != each.default
    }


def from_query(kind: type[_T], query: Mapping[str, str]) -> tuple[_T, list[str]]:
    """Read a record from the parameters of an address.

    Returns:
        The record, and a sentence for each value that is not accepted and was left out.
    """
    taken, refused = read_query(options_of(kind), query)
    return kind(**taken), refused


def read_query(
    options: Mapping[str, Option], query: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """Read the values of options from the parameters of an address.

    Returns:
        The values by name, and a sentence for each that is not accepted and was left out.
    """
    taken, refused = {}, []
    for name, each in options.items():
        if name in query:
            try:
                taken[name] = each.parse(query[name])
            except UsageError as error:
                refused.append(str(error))
    return taken, refused


def check_count(what: str, value: object, largest: int, smallest: int = 1) -> int:
    """Return a whole number within its range.

    Raises:
        InvalidValue: It is not a whole number, or out of range.
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not smallest <= value <= largest:
        raise InvalidValue(what, value, f"a whole number from {smallest} to {largest}")
    return value


def split_names(given: str | Iterable[str]) -> tuple[str, ...]:
    """Return names that are given one by one, or as text with commas between them.

    Example:
        >>> split_names("a10, l4,")
        ('a10', 'l4')
    """
    names = given.split(",") if isinstance(given, str) else given
    return tuple(name.strip() for name in names if name.strip())


def _flag(name: str, is_on: bool) -> str:
    return ("--no-" if is_on else "--") + name.replace("_", "-")
