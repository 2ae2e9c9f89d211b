"""The engine's events, printed line by line on standard error."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.status import Status

from memorymark import units
from memorymark.cli.one_process import end_if_forked, one_process
from memorymark.cli.output import as_text
from memorymark.cli.streams import diverted, message_stream
from memorymark.errors import Cancelled, NotAvailable, WorkloadError
from memorymark.records.event import Event, EventKind
from memorymark.records.trial import Outcome, Stage, Trial

_STEPS_EVERY = 10.0  # seconds, where lines cannot be written over
_WORDS = {
    Outcome.OK: "[green]ok[/]",
    Outcome.OOM: "[yellow]out of memory[/]",
    Outcome.ERROR: "[red]error[/]",
}


class Progress:
    """Prints events and keeps the finished trials, for the partial result after Ctrl-C.

    Attributes:
        trials: The trials that have finished.
        interrupted: Whether Ctrl-C was pressed.
    """

    def __init__(self) -> None:
        self.trials: list[Trial] = []
        self.interrupted = False
        self._owner = os.getpid()
        self._console = Console(file=message_stream(), highlight=False)
        self._status: Status | None = None
        self._step_at = 0.0

    def __call__(self, event: Event) -> None:
        """Print one event.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed before, and Python dropped it.
        """
        end_if_forked(self._owner)
        self._stop_status()
        finished = event.kind is EventKind.TRIAL_FINISHED and event.trial is not None
        if finished:
            self.trials.append(event.trial)
        if self.interrupted:
            raise KeyboardInterrupt
        if finished:
            self._console.print(trial_row(event.trial), soft_wrap=True)
        elif event.kind is EventKind.TRIAL_STARTED:
            self._start_status(event.text)
        elif event.kind is EventKind.STEP:
            self._show_step(event)
        else:
            style = "bold" if event.kind is EventKind.PHASE else "dim"
            self._console.print(as_text(event.text), style=style, soft_wrap=True)

    def close(self) -> None:
        """Take the moving status line away."""
        self._stop_status()

    def _show_step(self, event: Event) -> None:
        """Show how a training stands: on a terminal in one line, elsewhere now and then."""
        if self._console.is_terminal:
            self._start_status(event.text)
        elif event.at - self._step_at >= _STEPS_EVERY:
            self._step_at = event.at
            self._console.print(as_text(event.text), style="dim", soft_wrap=True)

    def _start_status(self, text: str) -> None:
        if self._console.is_terminal:
            self._status = self._console.status(as_text(text))
            self._status.start()

    def _stop_status(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def trial_row(trial: Trial) -> str:
    """Write a finished trial as one line: batch, memory, samples per second, outcome."""
    memory = units.gib(trial.memory_bytes)
    words = _WORDS[trial.outcome]
    if trial.thrashing:
        words += ", allocator retries"
    if trial.stage is not Stage.STEP:
        words += f", {trial.stage}"
    if trial.config.compile:
        words += ", compiled"
    speed = trial.samples_per_second
    rate = " " * 18 if speed is None else f"{units.rate(speed):>8} samples/s"
    words = f"{words}{units.likely_rate(trial.speed_band)}"
    return f"  batch {trial.batch_size:>5}  {memory:>11}  {rate}  {words}"


def partial_sentence(trials: Sequence[Trial]) -> str:
    """Say what is known when the work is stopped before its end."""
    if not trials:
        return "Stopped before the first trial finished; there is no result."
    ran = [trial.batch_size for trial in trials if trial.outcome is Outcome.OK]
    failed = [trial.batch_size for trial in trials if trial.outcome is Outcome.OOM]
    count = f"{len(trials)} trial{'s' if len(trials) > 1 else ''}"
    largest = f"batch size {max(ran)} fits" if ran else "no batch size fits"
    smallest = f", batch size {min(failed)} is out of memory" if failed else ""
    return f"Stopped after {count}. Partial result: {largest}{smallest}."


@contextlib.contextmanager
def work() -> Iterator[Progress]:
    """Run a command's work: events go to standard error, and so does all that is printed.

    Standard output is for the result alone, so that --json stays one document whatever a
    library or the user's own model prints.

    Raises:
        NotAvailable: The working directory is gone.
        Cancelled: Ctrl-C; the sentence says what was found until then, which it may carry.
    """
    check_working_directory()
    progress = Progress()
    try:
        with one_process(), diverted(), _noting_interrupts(progress):
            yield progress
    except SystemExit as end:
        raise WorkloadError(f"The model's code called sys.exit({end.code!r}).") from end
    except KeyboardInterrupt as stop:
        raise Cancelled(partial_sentence(progress.trials)) from stop
    finally:
        progress.close()


def check_working_directory() -> None:
    """Refuse to work in a folder that does not exist any more: libraries end the process there.

    Raises:
        NotAvailable: It is gone, or may not be read.
    """
    try:
        os.getcwd()
    except OSError as error:
        raise NotAvailable(
            f"The working directory cannot be read: {error.strerror}. Change to another folder "
            "and run the command again."
        ) from error


@contextlib.contextmanager
def _noting_interrupts(progress: Progress) -> Iterator[None]:
    """Remember Ctrl-C: Python drops what is raised within a weak reference's callback.

    Such callbacks run whenever a tensor that is followed is released.
    """
    before = signal.getsignal(signal.SIGINT)
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or before is not signal.default_int_handler:
        yield
        return

    def interrupt(number: int, frame: Any) -> None:
        progress.interrupted = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
