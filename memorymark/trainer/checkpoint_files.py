"""Checkpoints on disk: folders of safetensors and JSON, written beside and renamed.

A folder `step-00000200` is whole or is not there. What each file holds is noted with its size and
hash in `checkpoint.json`, and compared when it is read: of several checkpoints the newest whole one
is taken. Nothing in them is a pickle.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from memorymark.errors import WorkloadError, quoted

STATE = "checkpoint.json"
_VERSION = 1
_NAME = re.compile(r"step-(\d{8,})")
_WRITING = ".writing-"
_CHUNK = 1 << 20
_MOST_STATE_BYTES = 64 << 20

Parts = Mapping[str, Mapping[str, Tensor]]


@dataclass(frozen=True)
class CheckpointFiles:
    """A checkpoint that was read and found whole.

    Attributes:
        folder: Where it lies.
        state: What is no tensor.
        damaged: Newer ones that were passed over, a sentence each.
    """

    folder: Path
    state: dict[str, Any]
    damaged: tuple[str, ...] = ()

    def tensors(self, part: str) -> dict[str, Tensor]:
        """Return the tensors of a part, on the CPU."""
        from safetensors.torch import load_file

        return load_file(self.folder / f"{part}.safetensors")


def write_checkpoint(folder: Path, step: int, parts: Parts, state: Mapping[str, Any]) -> Path:
    """Write a checkpoint and return its folder.

    Args:
        folder: Folder of all of them.
        step: Steps that were done.
        parts: Tensors by file and name; none shares its storage with another.
        state: What is no tensor, as JSON takes it.

    Raises:
        OSError: It cannot be written; nothing of it stays, and older ones are as they were.
    """
    beside = folder / f"{_WRITING}{os.getpid()}-{step}"
    done = folder / _name(step)
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        files = {f"{name}.safetensors": tensors for name, tensors in parts.items()}
        noted = {name: _write_tensors(beside / name, each) for name, each in files.items()}
        written = {"version": _VERSION, "step": step, "files": noted, "state": dict(state)}
        _write_text(beside / STATE, json.dumps(written, allow_nan=False))
        if done.exists():  # of the same step, from before a resume
            shutil.rmtree(done)
        os.rename(beside, done)
        _sync(folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return done


def newest_checkpoint(folder: Path) -> CheckpointFiles | None:
    """Return the newest checkpoint that is whole; None where there is none at all.

    Raises:
        WorkloadError: There are some, and none of them is whole.
    """
    damaged: list[str] = []
    for step in sorted(steps_in(folder), reverse=True):
        path = folder / _name(step)
        try:
            return CheckpointFiles(path, _checked(path, step), tuple(damaged))
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            reason = f"{type(error).__name__}: {error}"
            damaged.append(f"The checkpoint {path.name} is damaged and was passed over: {reason}.")
    if damaged:
        raise WorkloadError(
            f"No checkpoint in {quoted(str(folder))} is whole. {damaged[0]} Begin anew without "
            "--resume, in another folder."
        )
    return None


def steps_in(folder: Path) -> list[int]:
    """Return the steps of the checkpoints in a folder."""
    if not folder.is_dir():
        return []
    found = (_NAME.fullmatch(each.name) for each in folder.iterdir() if each.is_dir())
    return sorted(int(match[1]) for match in found if match)


def drop_older(folder: Path, keep: int) -> None:
    """Delete all checkpoints but the newest ones, and what killed processes left half written."""
    for step in steps_in(folder)[:-keep]:
        shutil.rmtree(folder / _name(step), ignore_errors=True)
    for each in folder.glob(f"{_WRITING}*"):
        if not _is_alive(each.name):
            shutil.rmtree(each, ignore_errors=True)


def _is_alive(name: str) -> bool:
    """Return whether the process that writes a checkpoint is this one or another that runs."""
    number = name.removeprefix(_WRITING).partition("-")[0]
    if not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _name(step: int) -> str:
    return f"step-{step:08d}"


def _checked(path: Path, step: int) -> dict[str, Any]:
    """Return the state of a checkpoint, after comparing its files with what was noted."""
    file = path / STATE
    if file.stat().st_size > _MOST_STATE_BYTES:
        raise ValueError(f"{STATE} is too large")
    written = json.loads(file.read_text(encoding="utf-8"))
    if written["version"] != _VERSION:
        raise ValueError(f"version {quoted(written['version'])}, accepted: {_VERSION}")
    if written["step"] != step:
        raise ValueError(f"it is of step {quoted(written['step'])}")
    for name, noted in written["files"].items():
        if Path(name).name != name:
            raise ValueError(f"it names the file {quoted(name)}")
        if _noted(path / name) != noted:
            raise ValueError(f"{name} is not what was written")
    return written["state"]


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    from safetensors.torch import save_file

    try:
        save_file({name: _own(each) for name, each in tensors.items()}, path)
    except OSError:
        raise
    except Exception as error:  # safetensors has an error of its own for what the system says
        raise OSError(f"{path.name} cannot be written: {error}") from error
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    return _noted(path)


def _own(tensor: Tensor) -> Tensor:
    """Return a tensor with a storage of its own: of a view, safetensors would refuse to tell."""
    tensor = tensor.contiguous()
    is_whole = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
    return tensor if is_whole else tensor.clone()


def _noted(path: Path) -> dict[str, Any]:
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return {"bytes": path.stat().st_size, "blake2b": digest.hexdigest()}


def _write_text(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Have the renaming on disk before anything older is deleted."""
    try:
        number = os.open(folder, os.O_RDONLY)
    except OSError:
        return  # not everywhere a folder can be opened
    try:
        os.fsync(number)
    except OSError:
        return
    finally:
        os.close(number)
