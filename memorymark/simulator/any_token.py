"""The next token of a simulation: which one it is changes neither memory nor seconds."""

from __future__ import annotations

from torch import Tensor

from memorymark.inference.inference_step import Choose, likeliest
from memorymark.simulator.session import Session


def any_token(session: Session) -> Choose:
    """Return what takes the likeliest token, without a word on its being unknown."""

    def choose(logits: Tensor) -> Tensor:
        with session.silent():
            return likeliest(logits)

    return choose
