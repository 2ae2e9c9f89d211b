"""The program: `memorymark …` and `python -m memorymark …`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer import Option

from memorymark import __version__
from memorymark.cli import (
    arc_command,
    commands,
    generate_command,
    lists,
    serve,
    tokenize_command,
    train_command,
)
from memorymark.cli.failures import INTERRUPTED, Commands, report_error
from memorymark.cli.streams import own_streams
from memorymark.errors import Cancelled

DEBUG = "--debug"
PROGRAM = "memorymark"

app = typer.Typer(
    cls=Commands,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Find the largest training batch for a GPU, where the memory goes, and what it costs.",
)
validate = typer.Typer(
    cls=Commands, help="Validate the backward pass, or the benefit of torch.compile."
)
app.add_typer(validate, name="validate")
app.command()(commands.analyze)
app.command()(commands.estimate)
app.command()(commands.measure)
validate.command("backward")(commands.validate_backward)
validate.command("compile")(commands.validate_compile)
app.command()(commands.compare)
app.command()(commands.levers)
app.command()(commands.sessions)
app.command()(generate_command.generate)
app.command()(train_command.train)
app.command()(train_command.compare_training)
app.command()(tokenize_command.tokenize)
app.command()(arc_command.arc)
app.command()(lists.models)
app.command()(lists.gpus)
app.command()(lists.doctor)
app.command()(lists.runs)
app.command("app")(serve.app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[
        bool, Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[
        bool, Option(DEBUG, help="Show the traceback of an error; at any place in the command.")
    ] = False,
) -> None:
    """Handle the options before the command."""
    # transformers warns of what a user of this program cannot change; errors still come through.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code.

    Args:
        arguments: The words after the program's name; None takes this process's own, and its
            standard streams until it ends.
    """
    if arguments is None:
        own_streams()
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = DEBUG in words
    words = [word for word in words if word != DEBUG]
    try:
        return app(words, prog_name=PROGRAM, standalone_mode=False) or 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except typer.Abort:
        return INTERRUPTED
    except BrokenPipeError:
        return 1
    except (Exception, Cancelled) as error:
        return report_error(error, debug=debug)
