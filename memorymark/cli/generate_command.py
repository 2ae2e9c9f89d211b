"""The command that generates: text streams to standard output as it is made."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated, Any

from typer import Option

from memorymark.cli import options
from memorymark.cli.commands import keep
from memorymark.cli.live import work
from memorymark.cli.output import print_line, print_table, show
from memorymark.cli.streams import message_stream, result_stream
from memorymark.errors import Cancelled, WorkloadError
from memorymark.records.event import CancelToken, Event, EventKind
from memorymark.records.generation_plan import SERVED, GenerationPlan
from memorymark.records.generation_run import Ending, GenerationRun
from memorymark.records.request import Request, RequestKind
from memorymark.records.serving_config import ServingConfig
from memorymark.report.generation_lines import (
    generation_figures,
    generation_notes,
    generation_sentence,
    label_lines,
)
from memorymark.report.visible import visible_text

Stream = Annotated[bool, Option("--stream", help="Write the text as it is made.")]


@options.with_options
def generate(
    model: options.Model,
    config: Annotated[ServingConfig, SERVED],
    plan: GenerationPlan,
    device: options.Device = None,
    memory_budget: options.MemoryBudget = None,
    stream: Stream = False,
    as_json: options.AsJson = False,
) -> None:
    """Generate for real: text after a prompt, about an image or of a sound, or an image's class.

    What it will hold is simulated before, what it held is measured. Ctrl-C ends the text.
    """
    request = Request(
        RequestKind.GENERATE, model, device=device, memory_budget=memory_budget, serving=config,
        generation=plan,
    )  # fmt: skip
    run = _done(request, _writer(as_json=as_json) if stream else None)
    keep(request, run)
    show(run, as_json, partial(_show, streamed=stream))
    if run.stopped_by is Ending.STOPPED:
        raise Cancelled(f"Stopped after {run.new_tokens:,} tokens.")
    if run.stopped_by is Ending.OUT_OF_MEMORY:
        raise WorkloadError(run.error or "Out of memory.")


def _done(request: Request, write: Callable[[str], None] | None) -> GenerationRun:
    """Generate; Ctrl-C ends the text, and a second one the work."""
    cancel = CancelToken()
    with work() as progress, ending_early(cancel):
        from memorymark.service.execute import execute

        def on_event(event: Event) -> None:
            if event.kind is not EventKind.TEXT:
                progress(event)
            elif write is not None:
                write(visible_text(event.text))

        run: Any = execute(request, on_event=on_event, cancel=cancel)
    if write is not None and run.text:
        write("\n")
    return run


def _writer(*, as_json: bool) -> Callable[[str], None]:
    """Return what writes text at once: to standard error where a document goes to the output."""
    stream = message_stream() if as_json else result_stream()

    def write(text: str) -> None:
        stream.write(text)
        stream.flush()

    return write


@contextlib.contextmanager
def ending_early(cancel: CancelToken) -> Iterator[None]:
    """Let Ctrl-C end the work where it can end well, and a second one at once."""
    before = signal.getsignal(signal.SIGINT)
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or not callable(before):
        yield
        return

    def stop(number: int, frame: Any) -> None:
        if cancel.cancelled:
            before(number, frame)
        cancel.cancel()

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _show(run: GenerationRun, *, streamed: bool) -> None:
    """Print a generation: what was written, and the figures."""
    if run.text and not streamed:
        for line in visible_text(run.text).split("\n"):
            print_line(line)
    for line in label_lines(run):
        print_line(line)
    print_line("")
    print_line(generation_sentence(run), style="bold")
    print_table(["reading", "value"], [list(pair) for pair in generation_figures(run)])
    for note in generation_notes(run):
        print_line(f"Note: {note}")
