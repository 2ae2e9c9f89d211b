"""The command that turns texts into tokens."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from memorymark.cli import options
from memorymark.cli.live import work
from memorymark.cli.output import print_line, print_table, show
from memorymark.errors import Cancelled
from memorymark.records.tokenized import Tokenized, TokenizePlan
from memorymark.report.tokenized_lines import (
    tokenized_figures,
    tokenized_notes,
    tokenized_sentence,
)

Files = Annotated[
    list[str], Argument(help="Text files in UTF-8, one after the other.", metavar="FILE...")
]
Output = Annotated[str, Option("--output", "-o", help="The file of tokens to write.")]


@options.with_options
def tokenize(
    files: Files, output: Output, plan: TokenizePlan, as_json: options.AsJson = False
) -> None:
    """Turn text into a file of tokens, which trainings read through a memory map.

    Memory does not grow with the text. The file is there when all is written, and not before.
    """
    done = _done(files, output, plan)
    show(done, as_json, _show)


def _done(files: list[str], output: str, plan: TokenizePlan) -> Tokenized:
    """Turn the files into tokens; how far it is goes to standard error."""
    with work() as progress:
        from memorymark.api import text_calls
        from memorymark.service.given_tokenizer import given_tokenizer

        tokenizer = given_tokenizer(plan.tokenizer, from_hub=True)
        try:
            return text_calls.tokenize(
                files, output, tokenizer, train_tokenizer=plan.train_tokenizer,
                max_tokens=plan.max_tokens, on_event=progress,
            )  # fmt: skip
        except KeyboardInterrupt as stop:
            raise Cancelled("Stopped; no tokens were written.") from stop


def _show(done: Tokenized) -> None:
    """Print what was written."""
    print_line(tokenized_sentence(done), style="bold")
    print_table(["reading", "value"], [list(pair) for pair in tokenized_figures(done)])
    for note in tokenized_notes(done):
        print_line(f"Note: {note}")
