"""Lets torch.optim.LBFGS go on where it asks values that a simulation does not have.

Its steps end early by the loss and the gradients, and it keeps up to `history_size` earlier ones.
What it may need is what it takes when it goes on to `max_iter` with a full history.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.optim import LBFGS
from torch.optim.optimizer import register_optimizer_step_post_hook

from memorymark.simulator.session import Session
from memorymark.simulator.source_lines import is_library, text_of_line

_FILE = os.path.join(os.path.dirname(torch.__file__), "optim", "lbfgs.py")
# The conditions under which it keeps a step in its history, and under which a line search ends.
_TRUE_AT = ("if ys >", "<= -c2 * gtd")
_TOLD = (
    "torch.optim.LBFGS decides by values that a simulation does not have; it is assumed to go on "
    "to max_iter in each step, with a full history (history_size)."
)


class SearchValues:
    """Answers LBFGS. Each loss that it reads differs from the last one: the search goes on."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._losses = count(1.0)

    def answer(self, tensor: Tensor) -> float | bool | None:
        """Return what an element is that LBFGS itself reads; None where somebody else reads it."""
        line = _line_of_lbfgs()
        if line is None:
            return None
        self._session.assume(_TOLD)
        if tensor.dtype is torch.bool:
            return any(condition in line for condition in _TRUE_AT)
        return next(self._losses)


@contextmanager
def full_histories() -> Iterator[None]:
    """Fill the history of each LBFGS after its first step, as many steps would."""
    hook = register_optimizer_step_post_hook(lambda optimizer, *_: _fill_history(optimizer))
    try:
        yield
    finally:
        hook.remove()


def _fill_history(optimizer: Any) -> None:
    if not isinstance(optimizer, LBFGS):
        return
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            if not isinstance(state.get("d"), Tensor) or not state["d"].is_meta:
                continue
            for name, like in (("old_dirs", state["d"]), ("old_stps", state["d"])):
                _fill(state.get(name), like, group["history_size"])
            _fill(state.get("ro"), state["d"].new_empty(()), group["history_size"])


def _fill(kept: Any, like: Tensor, length: int) -> None:
    if isinstance(kept, list):
        kept[:0] = [torch.empty_like(like) for _ in range(length - len(kept))]


def _line_of_lbfgs() -> str | None:
    """Return the text of the line of LBFGS that is running, None where it is not the innermost."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and is_library(frame.f_code.co_filename):
        if frame.f_code.co_filename == _FILE:
            return text_of_line(frame)
        frame = frame.f_back
    return None
