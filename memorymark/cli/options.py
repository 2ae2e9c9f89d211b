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

from memorymark.errors import UsageError
from memorymark.records import option as records
from memorymark.records.length_distribution import lengths_in
from memorymark.records.request import Request

_REQUEST = records.options_of(Request)


def _flag(name: str) -> Any:
    """Return the flag of an option of a request."""
    return Option(_REQUEST[name].flag, help=_REQUEST[name].help)


Model = Annotated[str, Argument(help=_REQUEST["model"].help, show_default=False)]
BatchSize = Annotated[int, _flag("batch_size")]
Gpu = Annotated[str | None, _flag("gpu")]
SimulatedGpu = Annotated[str, _flag("gpu")]
ComparedGpus = Annotated[str | None, _flag("gpus")]
GivenPrices = Annotated[str | None, _flag("prices")]
PriceKind = Annotated[str | None, _flag("price_kind")]
Device = Annotated[str | None, _flag("device")]
SimulatedDevice = Annotated[
    str | None,
    Option("--device", help="CUDA device of this machine, which is simulated: cuda or cuda:N."),
]
MemoryBudget = Annotated[str | None, _flag("memory_budget")]
HostMemory = Annotated[str | None, _flag("host_memory")]
Library = Annotated[
    str | None, Option(help="List the models of this library instead: torchvision or timm.")
]
WithLevers = Annotated[
    bool, Option("--levers", help="Then simulate what would make room, as `levers` does.")
]
AsJson = Annotated[
    bool, Option("--json", help="Print the result as one JSON document on standard output.")
]
Export = Annotated[
    str | None,
    Option(metavar="FILE.py", help="Write a script in plain PyTorch that trains with the result."),
]
ExportTrainer = Annotated[
    str | None,
    Option(metavar="FILE.py", help="Write one that trains with transformers' Trainer."),
]


def compared(gpus: str | None) -> tuple[str, ...]:
    """Return the names of the GPUs to compare; none of them, for all rented ones, without any.

    Raises:
        UsageError: There is no name between the commas.
    """
    names = _REQUEST["gpus"].parse(gpus or "")
    if gpus is not None and not names:
        raise UsageError("There is no GPU to compare. Name at least one, as in a10,a100-40gb.")
    return names


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
    words = option.flag_help or option.help
    if option.choices:
        words = f"{words.rstrip('.')}: {', '.join(option.choices)}."
    shown = Option(
        option.flag,
        help=words,
        metavar="<number>" if _is_any_number(option) else None,
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
    if option.name == "lengths" and given is not None:
        return lengths_in(given)  # only here a name may be a file's: of this machine's user
    if _is_any_number(option) and given is not None:
        return option.parse(given)
    return given != option.default if option.kind is bool else given


def _is_any_number(option: records.Option) -> bool:
    """Say whether it takes whole numbers and others: it reads them, so that 12 stays 12."""
    return option.types == (int, float)
