"""The border to the user's code: what it raises there is an error of that code, whatever it is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from memorymark.errors import Cancelled, MemoryMarkError, WorkloadError, quoted
from memorymark.records.config import TrainingConfig


class Ended(Exception):
    """What ends a program, as sys.exit() does, was raised by the user's code.

    Args:
        end: What was raised.
    """

    def __init__(self, end: BaseException) -> None:
        self._end = end
        super().__init__(f"the code raised {end!r}, which ends a program")

    def __repr__(self) -> str:
        return repr(self._end)


@contextlib.contextmanager
def ends_as_errors() -> Iterator[None]:
    """Let what would end the program be an error like others; Ctrl-C passes.

    Raises:
        Ended: The code inside raised it.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt, Cancelled, GeneratorExit):
        raise
    except BaseException as end:
        raise Ended(end).with_traceback(end.__traceback__) from end


@contextlib.contextmanager
def own_code(what: str) -> Iterator[None]:
    """Say whose error it is that the user's code raises.

    Args:
        what: What runs, as in "build of 'package.module:factory'".

    Raises:
        WorkloadError: The code inside raised.
    """
    try:
        with ends_as_errors():
            yield
    except MemoryMarkError:
        raise
    except Exception as error:
        from memorymark.memory.oom import is_out_of_memory  # loads torch

        if is_out_of_memory(error):
            raise
        raise WorkloadError(f"{what} raised {quoted(error)}.") from error


def check_described(workload: Any, config: TrainingConfig) -> None:
    """Ask a workload once what it makes of a config, before anything is built.

    Raises:
        UsageError: It cannot be trained in this way.
        WorkloadError: It raises something else, or returns no config.
    """
    what = f"describe of {workload.name!r}"
    with own_code(what):
        described = workload.describe(config)
    if not isinstance(described, TrainingConfig):
        raise WorkloadError(
            f"{what} returned {type(described).__name__}; accepted: a TrainingConfig."
        )
