"""Files with training scripts beside a result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from memorymark.cli.output import as_text
from memorymark.cli.streams import message_stream
from memorymark.errors import UsageError
from memorymark.report.result_scripts import script_of
from memorymark.report.scripts.trainer_code import check_trainer

_WHICH = {False: "--export", True: "--export-trainer"}
Files = Mapping[bool, Path]


def files_of(model: str, export: str | None, export_trainer: str | None) -> Files:
    """Return where scripts go, by whether the Trainer runs them, before the work begins.

    Raises:
        UsageError: A file cannot stand there, or the Trainer does not take the model.
    """
    if export_trainer:
        check_trainer(model)
    given = {False: export, True: export_trainer}
    files = {trainer: Path(text).expanduser() for trainer, text in given.items() if text}
    for trainer, file in files.items():
        if file.is_dir() or not file.parent.is_dir():
            what = "is a folder" if file.is_dir() else "is in no folder that exists"
            raise UsageError(f"{_WHICH[trainer]} names {str(file)!r}, which {what}. Name a file.")
    if len(files) == 2 and files[False] == files[True]:
        raise UsageError(f"--export and --export-trainer name the same file, {str(files[True])!r}.")
    return files


def write_scripts(result: Any, files: Files) -> None:
    """Write the scripts of a result, and say on standard error where they are.

    Raises:
        UsageError: There is none for this result, or the file cannot be written.
    """
    console = Console(file=message_stream(), highlight=False)
    for trainer, file in files.items():
        text = script_of(result, trainer=trainer)
        try:
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            reason = error.strerror or str(error)
            raise UsageError(f"{str(file)!r} cannot be written: {reason}.") from error
        console.print(as_text(f"The script is in {file}."), soft_wrap=True)
