"""What people call an operation of PyTorch that no module runs."""

from __future__ import annotations

import re

# Names with a backward operation of their own end in one of these (torch's native_functions.yaml).
_BACKWARD = re.compile(r"_?backward(_data|_input|_overrideable)?$")
_DEVICE = re.compile(r"^(cudnn|miopen|mps|mkldnn|native|foreach|fused|amp_foreach)_")
_ATTENTION = re.compile(r"(scaled_dot_product|flash|efficient|cudnn)_.*attention|attention_forward")
_LOSS = re.compile(r"log_softmax|nll_loss|_loss\b|_loss_|cross_entropy|kl_div")
_WORDS = {
    **dict.fromkeys(("mm", "addmm", "bmm", "baddbmm", "matmul", "linear"), "matrix product"),
    "batch_norm_with_update": "batch norm", "rms_norm": "RMS norm", "threshold": "ReLU",
    "relu": "ReLU", "gelu": "GELU", "silu": "SiLU", "clone": "copy",
    "to_copy": "copy in another number format", "cat": "concatenation",
    "embedding_dense": "embedding", "nll_loss": "negative log-likelihood",
    "nll_loss2d": "negative log-likelihood", "log_softmax": "log-softmax",
}  # fmt: skip


def plain_operation(name: str, *, backward: bool = False) -> str:
    """Name an operation as an engineer would.

    Args:
        name: The operation as torch writes it, with or without namespace and overload.
        backward: Whether it is run by the backward pass, whatever its name.

    Example:
        >>> plain_operation("aten._softmax.default"), plain_operation("aten.mm.default")
        ('softmax', 'matrix product')
        >>> plain_operation("aten.convolution_backward.default")
        'convolution, backward'
        >>> plain_operation("aten.nll_loss_forward.default")
        'loss: negative log-likelihood'
    """
    parts = name.split(".")
    whole = parts[1] if len(parts) > 1 else name
    base = _BACKWARD.sub("", whole).strip("_")
    ending = ", backward" if backward or base != whole.strip("_") else ""
    base = base.removesuffix("_forward")
    words = _named(_DEVICE.sub("", base))
    return f"{'loss: ' if _LOSS.search(base) else ''}{words}{ending}"


def is_operation(name: str) -> bool:
    """Say whether a holder's name is one of torch's operations as torch writes it."""
    return name.startswith("aten.")


def _named(base: str) -> str:
    if _ATTENTION.search(base):
        return "attention"
    return _WORDS.get(base) or base.removesuffix("_loss").replace("_", " ")
