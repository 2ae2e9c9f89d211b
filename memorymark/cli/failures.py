"""Errors of the command line: one sentence and an exit code for each."""

from __future__ import annotations

import traceback
from typing import Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from memorymark.cli.output import as_text
from memorymark.cli.streams import message_stream
from memorymark.errors import Cancelled, MemoryMarkError, UnknownChoice

WORK_FAILED = 1
INVALID_ARGUMENTS = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells count it

# Newer typers carry their own copy of click; this name leads to the right UsageError in both.
CallError = typer.BadParameter.__base__


class Commands(TyperGroup):
    """A group of commands that suggests the nearest where one is unknown."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """Find the command that the first word names."""
        if args[0] not in self.commands:
            raise UnknownChoice("command", args[0], self.commands)
        return super().resolve_command(ctx, args)


def report_error(error: BaseException, *, debug: bool) -> int:
    """Write an error to standard error and return the exit code."""
    if debug:
        traceback.print_exception(error, file=message_stream())
    sentence, code = _describe(error)
    console = Console(file=message_stream(), highlight=False)
    console.print("[bold red]Error:[/] ", end="")
    console.print(as_text(sentence), soft_wrap=True)
    return code


def _describe(error: BaseException) -> tuple[str, int]:
    if isinstance(error, Cancelled):
        return str(error), INTERRUPTED
    if isinstance(error, MemoryMarkError):
        return str(error), error.exit_code
    if isinstance(error, CallError):
        return _call_sentence(error), INVALID_ARGUMENTS
    return (
        f"This is a bug in MemoryMark: {type(error).__name__}: {error}. "
        "Run the command with --debug for the traceback, and please report it.",
        WORK_FAILED,
    )


def _call_sentence(error: Exception) -> str:
    given = getattr(error, "option_name", None)
    possibilities = getattr(error, "possibilities", None)
    sentence = error.format_message().strip().replace("\n", " ").rstrip(".") + "."
    if given and possibilities is not None:
        sentence = f"Unknown option {given!r}."
        if possibilities:
            sentence += f" Did you mean {possibilities[0]!r}?"
    context = getattr(error, "ctx", None)
    if context is not None:
        sentence += f" `{context.command_path} --help` lists the options."
    return sentence
