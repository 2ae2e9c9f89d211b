"""The precision of fp32 arithmetic, under the two sets of names that PyTorch has for it.

Where the newer names (`fp32_precision`) were used, PyTorch refuses to read some of the older ones,
such as `torch.get_float32_matmul_precision`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.backends import cuda, cudnn, mkldnn

# One that holds others comes first: setting it sets them too.
_NEWER = (
    torch.backends, cudnn, mkldnn,
    cuda.matmul, cudnn.conv, cudnn.rnn, mkldnn.matmul, mkldnn.conv, mkldnn.rnn,
)  # fmt: skip


def precision_restorer() -> Callable[[], None]:
    """Return what puts the precision of fp32 arithmetic back as it is now."""
    matmul, convolutions = _older()
    newer = [owner.fp32_precision for owner in _NEWER]

    def restore() -> None:
        matmul_now, convolutions_now = _older()
        if matmul is not None and matmul_now != matmul:
            torch.set_float32_matmul_precision(matmul)
        if convolutions is not None and convolutions_now != convolutions:
            cudnn.allow_tf32 = convolutions
        for owner, value in zip(_NEWER, newer, strict=True):
            if owner.fp32_precision != value:
                owner.fp32_precision = value

    return restore


def set_full_precision() -> None:
    """Compute fp32 in fp32 where code around has chosen less; convolutions as torch starts."""
    matmul, convolutions = _older()
    if matmul is None or convolutions is None:
        for owner in _NEWER:
            if owner.fp32_precision != "none":
                owner.fp32_precision = "none"
        return
    if matmul != "highest":
        torch.set_float32_matmul_precision("highest")
    if not convolutions:
        cudnn.allow_tf32 = True


def _older() -> tuple[str | None, bool | None]:
    """Return what the older names say; None for what PyTorch refuses to read."""
    return (
        _readable(torch.get_float32_matmul_precision),
        _readable(lambda: cudnn.allow_tf32),
    )


def _readable(get: Callable[[], Any]) -> Any:
    try:
        return get()
    except RuntimeError:
        return None
