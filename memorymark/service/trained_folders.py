"""Folders of the app's own trainings: which are there, and what may be opened of them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from memorymark.settings import Settings

MODEL, STEPS = "model", "steps.csv"
_PREFIX = "hf:"
_STEP = "step-*/checkpoint.json"
_ENDINGS = (".safetensors", ".json", ".jinja", ".txt")


def new_folder(model: str, settings: Settings) -> Path:
    """Return the name of a folder for a new training of a model; it is not made."""
    now = datetime.now(UTC).strftime("%Y-%m-%d-%H%M%S-%f")
    return settings.trained_folder / f"{now}-{as_name(model)}"


def as_name(model: str) -> str:
    """Return a model's name as that of a folder."""
    last = model.rstrip("/").rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9.-]+", "-", last).strip("-.")[:60] or MODEL


def own_folder(name: str | None, settings: Settings) -> Path | None:
    """Return the folder of a training where it really lies among the app's own; else None."""
    if not name:
        return None
    try:
        path, root = Path(name).resolve(), settings.trained_folder.resolve()
    except (OSError, ValueError, RuntimeError):
        return None
    is_own = path != root and path.is_relative_to(root)
    return path if is_own and path.is_dir() else None


def has_checkpoint(folder: Path) -> bool:
    """Say whether a folder has a checkpoint to go on from."""
    return any(True for _ in folder.glob(_STEP))


def is_trained_here(model: str, settings: Settings) -> bool:
    """Say whether a name is that of a model which a training of the app's own home wrote.

    It is the folder itself, without detours, and holds nothing but safetensors, JSON and text.
    """
    if not model.startswith(_PREFIX):
        return False
    given = model.removeprefix(_PREFIX)
    folder = own_folder(given, settings)
    if folder is None or folder.name != MODEL or Path(given).is_symlink():
        return False
    if not Path(given).is_absolute() or ".." in Path(given).parts:
        return False
    try:
        files = list(folder.iterdir())
    except OSError:
        return False
    plain = all(
        file.is_file() and not file.is_symlink() and file.suffix in _ENDINGS for file in files
    )
    return plain and (folder / "config.json").is_file()
