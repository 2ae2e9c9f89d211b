"""The line of the model's code that is running, as told where a simulation has to guess."""

from __future__ import annotations

import linecache
import os
import sys
from types import FrameType

import torch

_TORCH = os.path.dirname(torch.__file__) + os.sep
_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
# Whoever called the training step or the inference step is not the model.
_STEPS = tuple(os.path.join(_OURS, room) + os.sep for room in ("training", "inference"))
_HOOKS = os.path.join(_TORCH, "autograd", "graph.py")
_MOST_CHARACTERS = 80


def running_line() -> str | None:
    """Return the file, number and text of the innermost line outside of libraries.

    Libraries are torch, transformers and MemoryMark. Where all lines are theirs, the line of
    transformers is returned; None where there is none either.

    Example:
        "mine.py:12 (`if mask.any():`)"
    """
    transformers = getattr(sys.modules.get("transformers"), "__file__", None)
    library = os.path.dirname(transformers) + os.sep if transformers else None
    frame: FrameType | None = sys._getframe(1)
    fallback: FrameType | None = None
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(_STEPS):
            break
        if not is_library(file):
            if library is None or not file.startswith(library):
                return _text(frame)
            fallback = fallback or frame
        frame = frame.f_back
    return _text(fallback) if fallback is not None else None


def failed_line(error: BaseException) -> str | None:
    """Return the innermost line outside of torch and MemoryMark through which an error came."""
    found, trace = None, error.__traceback__
    while trace is not None:
        if not is_library(trace.tb_frame.f_code.co_filename):
            found = trace
        trace = trace.tb_next
    return None if found is None else _text(found.tb_frame, found.tb_lineno)


def is_packing() -> bool:
    """Return whether autograd puts away a tensor for the backward pass (`save_on_cpu`)."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith((_TORCH, _OURS)):
        if frame.f_code.co_filename == _HOOKS:
            return True
        frame = frame.f_back
    return False


def is_library(file: str) -> bool:
    """Return whether a file is of torch or MemoryMark."""
    return file.startswith((_TORCH, _OURS, "<"))


def text_of_line(frame: FrameType, number: int | None = None) -> str:
    """Return the text of the line at which a frame is, or of another of its file."""
    line = number or frame.f_lineno
    return linecache.getline(frame.f_code.co_filename, line, frame.f_globals).strip()


def _text(frame: FrameType, number: int | None = None) -> str:
    file, number = frame.f_code.co_filename, number or frame.f_lineno
    place = f"{os.path.basename(file)}:{number}"
    source = text_of_line(frame, number)
    if len(source) > _MOST_CHARACTERS:
        source = source[:_MOST_CHARACTERS] + "…"
    return f"{place} (`{source}`)" if source else place
