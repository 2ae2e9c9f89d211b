"""The options that commands share, and flags for the options of records.

Names of choices stay plain strings here: the records read them and suggest the nearest.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_args

from typer import Argument, Option

from memorymark.records import option as records

Model = Annotated[
    str,
    Argument(
        help="bert, gpt2, resnet, hf:ID, hf:FOLDER, torchvision:NAME, timm:NAME "
        "or package.module:factory.",
        show_default=False,
    ),
]
BatchSize = Annotated[int, Option("--batch-size", help="Samples per forward pass.")]
Gpu = Annotated[str | None, Option("--gpu", help="GPU to simulate; `memorymark gpus` lists them.")]
Device = Annotated[str | None, Option("--device", help="Device to measure on: cuda, mps, cpu.")]
MemoryBudget = Annotated[
    str | None,
    Option("--memory-budget", help="Memory limit for a trial, e.g. 4GiB or 512MiB."),
]
Library = Annotated[
    str | None, Option(help="List the models of this library instead: torchvision or timm.")
]
AsJson = Annotated[
    bool, Option("--json", help="Print the result as one JSON document on standard output.")
]


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the flags of the records among its parameters.

    A parameter whose annotation is a record with options becomes one flag for each of them; the
    command receives the record that they make. `Annotated[Record, ("name", …)]` takes only the
    options that it names.
    """
    own = inspect.signature(command, eval_str=True).parameters
    made = {name: _record(each.annotation) for name, each in own.items()}
    records = {name: record for name, record in made.items() if record[1]}
    everything = []
    for name, each in own.items():
        kind, options = records.get(name, (None, ()))
        everything += [_parameter(kind, option) for option in options] or [each]

    @functools.wraps(command)
    def run(**values: Any) -> None:
        for name, (kind, options) in records.items():
            given = {option.name: _value(option, values.pop(_name(option))) for option in options}
            values[name] = kind(**given)
        command(**values)

    run.__signature__ = inspect.Signature(
        [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in everything]
    )
    return run


def _record(annotation: Any) -> tuple[Any, tuple[records.Option, ...]]:
    """Return the record of an annotation with the options that the command takes of it."""
    kind, *names = get_args(annotation) or (annotation,)
    if not dataclasses.is_dataclass(kind):
        return kind, ()
    options = records.options_of(kind)
    return kind, tuple(options[name] for name in (names[0] if names else options))


def _parameter(kind: type[Any], option: records.Option) -> inspect.Parameter:
    entered = str if option.choices or _is_any_number(option) else option.kind
    default = False if option.kind is bool else option.default
    words = f"{option.help.rstrip('.')}: {', '.join(option.choices)}."
    shown = Option(
        option.flag,
        help=words if option.choices else option.help,
        metavar="NUMBER" if _is_any_number(option) else None,
        rich_help_panel=getattr(kind, "options_panel", None),
    )
    return inspect.Parameter(
        _name(option),
        inspect.Parameter.KEYWORD_ONLY,
        default=str(default) if option.choices and default else default,
        annotation=Annotated[entered if default is not None else entered | None, shown],
    )


def _name(option: records.Option) -> str:
    return option.flag.removeprefix("--").replace("-", "_")


def _value(option: records.Option, given: Any) -> Any:
    """Return the option's value: the flag of a switch turns it from its default."""
    if _is_any_number(option) and given is not None:
        return option.parse(given)
    return given != option.default if option.kind is bool else given


def _is_any_number(option: records.Option) -> bool:
    """Say whether it takes whole numbers and others: it reads them, so that 12 stays 12."""
    return option.types == (int, float)
