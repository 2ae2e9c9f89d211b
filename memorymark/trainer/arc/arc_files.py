"""What a run leaves in its folder: adapters, the pretrained model, and the report so far."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from memorymark.errors import NotAvailable, quoted
from memorymark.records.arc_report import ArcReport
from memorymark.records.codec import to_json
from memorymark.trainer.saved_model import save_model

REPORT, ADAPTERS = "arc-report.json", "adapters"


class ArcFiles:
    """The folder of a run; each file is written beside and renamed.

    A file that cannot be written ends nothing: a sentence says so.

    Args:
        folder: The folder; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = None if folder is None else folder.expanduser()

    def begin(self) -> None:
        """Make the folder.

        Raises:
            NotAvailable: It cannot be made.
        """
        if self._folder is None:
            return
        try:
            (self._folder / ADAPTERS).mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError) as error:
            raise NotAvailable(
                f"The folder {quoted(str(self._folder))} cannot be made: "
                f"{getattr(error, 'strerror', None) or error}. Name another one with --checkpoint."
            ) from error

    def save_base(self, model: nn.Module) -> str | None:
        """Keep the pretrained model, as hf:FOLDER/model opens it; return what went wrong."""
        if self._folder is None:
            return None
        try:
            save_model(model, self._folder)
        except OSError as error:
            return _not_saved("The pretrained model", error)
        return None

    def save_adapter(self, name: str, tensors: Mapping[str, Tensor]) -> str | None:
        """Keep what was trained on a task; return what went wrong."""
        from safetensors.torch import save

        if self._folder is None:
            return None
        held = {each: x.cpu().contiguous().clone() for each, x in tensors.items()}
        path = self._folder / ADAPTERS / f"{name}.safetensors"
        return self._written(path, save(held), f"The adapter of {name}")

    def save_report(self, report: ArcReport) -> str | None:
        """Keep the report so far; return what went wrong."""
        if self._folder is None:
            return None
        return self._written(self._folder / REPORT, to_json(report).encode(), "The report")

    def _written(self, path: Path, content: bytes, what: str) -> str | None:
        beside = path.with_name(f".writing-{os.getpid()}-{path.name}")
        try:
            with beside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        except OSError as error:
            beside.unlink(missing_ok=True)
            return _not_saved(what, error)
        return None


def _not_saved(what: str, error: OSError) -> str:
    return f"{what} could not be saved: {error.strerror or error}."
