"""Head and cross entropy of a language model in chunks of tokens.

The logits of a batch take tokens times vocabulary numbers, and cross entropy as much again, more
than once: often the most of a step. Here they exist for `TOKENS` tokens at a time. Each chunk is
recomputed in the backward pass (torch.utils.checkpoint), which costs one more product of the head.

The model's own code runs as it is, shift and upcast included: in the place of its logits it gets
`LogitsInChunks`, which notes what is done with each of them, and does it chunk by chunk once cross
entropy asks. What cannot be done so is refused. Loss and gradients are those of the whole, but for
the order in which sums are added up.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from memorymark.errors import InvalidValue, quoted

TOKENS = 1024
"""Tokens of a chunk."""

_Change = Callable[[Tensor], Tensor]


def compute_in_chunks(model: nn.Module, name: str) -> None:
    """Let a language model of transformers compute its head and its loss in chunks.

    Args:
        model: The model, built for a task whose loss is cross entropy over the vocabulary.
        name: Its name, for errors.

    Raises:
        InvalidValue: It has no output layer that is an nn.Linear.
    """
    head, forward = model.get_output_embeddings(), model.forward
    if not isinstance(head, nn.Linear):
        refuse(name, "has no output layer that is an nn.Linear")
    compute, made = head.forward, []

    def deferred(hidden: Tensor) -> LogitsInChunks:
        source = _Source(compute, name)
        made.append(source)
        return LogitsInChunks(source, hidden, head.out_features)

    @functools.wraps(forward)
    def chunked(*args: Any, **kwargs: Any) -> Any:
        made.clear()
        outputs = forward(*args, **kwargs)
        if not any(source.is_used for source in made) or "logits" not in outputs:
            refuse(name, "does not compute its loss from the result of its output layer")
        outputs["logits"] = None  # they do not exist
        return outputs

    head.forward, model.forward = deferred, chunked


def refuse(name: str, why: str) -> NoReturn:
    """Say that a model's head and loss cannot be computed in chunks.

    Raises:
        InvalidValue: Always.
    """
    raise InvalidValue("chunked cross entropy", "on", f"off: the model {quoted(name)} {why}")


@dataclass
class _Source:
    """Where logits come from.

    Attributes:
        head: Computes those of some tokens.
        name: The model's name, for errors.
        is_used: Whether a loss was computed of them.
    """

    head: Callable[[Tensor], Tensor]
    name: str
    is_used: bool = False


@dataclass(frozen=True, eq=False)
class LogitsInChunks:
    """Logits that are not there: what the head would read, and what comes after it.

    Attributes:
        source: Where they come from.
        hidden: What the head reads, (..., features).
        width: Size of the vocabulary, after what was done.
        changes: What is done with the logits of a chunk, one after the other.
    """

    source: _Source
    hidden: Tensor
    width: int
    changes: tuple[_Change, ...] = ()

    @property
    def shape(self) -> torch.Size:
        """The shape that the logits would have."""
        return torch.Size((*self.hidden.shape[:-1], self.width))

    @property
    def ndim(self) -> int:
        """How many dimensions they would have."""
        return self.hidden.dim()

    @property
    def device(self) -> torch.device:
        """Where they would be."""
        return self.hidden.device

    @property
    def dtype(self) -> torch.dtype:
        """The format of what the head reads."""
        return self.hidden.dtype

    def size(self, dim: int | None = None) -> Any:
        """Return the shape, or one of its sizes."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        """Return how many dimensions they would have."""
        return self.ndim

    def float(self) -> LogitsInChunks:
        """Take them in fp32."""
        return self._then(Tensor.float)

    def to(self, *args: Any, **kwargs: Any) -> LogitsInChunks:
        """Take them in another format; they are on one device."""
        return self._then(lambda logits: logits.to(*args, **kwargs))

    def contiguous(self) -> LogitsInChunks:
        """Take them in the order of their indices."""
        return replace(self, hidden=self.hidden.contiguous())

    def view(self, *shape: Any) -> LogitsInChunks:
        """Take them in another shape, the vocabulary last."""
        sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], Sequence) else shape
        if sizes[-1] != self.width:
            self._refuse("takes the logits in a shape without the vocabulary")
        return replace(self, hidden=self.hidden.reshape(*sizes[:-1], self.hidden.size(-1)))

    reshape = view

    def __getitem__(self, index: Any) -> LogitsInChunks:
        """Take some of them: of the tokens, or of the vocabulary from its beginning."""
        parts = index if isinstance(index, tuple) else (index,)
        whole = any(part is Ellipsis for part in parts)
        reaches_last = parts[-1] is not Ellipsis and (whole or len(parts) == self.ndim)
        if not reaches_last or parts[-1] == slice(None):
            return replace(self, hidden=self.hidden[index])
        if not isinstance(parts[-1], slice) or parts[-1].start or parts[-1].step:
            self._refuse("takes a part of the vocabulary")
        width = range(self.width)[parts[-1]].stop
        taken = replace(self, hidden=self.hidden[(*parts[:-1], slice(None))], width=width)
        return taken._then(lambda logits: logits[..., :width])

    def _calculated(self, calculate: Callable[..., Tensor], other: Any) -> LogitsInChunks:
        """Note arithmetic with a number, or with a tensor that is the same for each token."""
        if isinstance(other, LogitsInChunks) or (
            isinstance(other, Tensor) and other.numel() not in (1, self.width)
        ):
            self._refuse("computes with the logits of several tokens")
        return self._then(lambda logits: calculate(logits, other))

    def __add__(self, other: Any) -> LogitsInChunks:
        return self._calculated(operator.add, other)

    def __mul__(self, other: Any) -> LogitsInChunks:
        return self._calculated(operator.mul, other)

    def __truediv__(self, other: Any) -> LogitsInChunks:
        return self._calculated(operator.truediv, other)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or not hasattr(Tensor, name):
            raise AttributeError(name)
        self._refuse(f"calls {name}() of its logits")

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Do what PyTorch's functions are asked to do with logits that are not there."""
        logits = next(arg for arg in args if isinstance(arg, LogitsInChunks))
        if func is functional.cross_entropy and logits is args[0]:
            return logits._loss(*args[1:], **(kwargs or {}))
        if func in (torch.tanh, Tensor.tanh):
            return logits._then(torch.tanh)
        logits._refuse(f"calls {getattr(func, '__name__', func)}() on its logits")

    def _loss(
        self,
        target: Tensor,
        weight: Tensor | None = None,
        size_average: None = None,
        ignore_index: int = -100,
        reduce: None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> Tensor:
        """Return the cross entropy, from sums over chunks."""
        is_plain = weight is None and size_average is None and reduce is None
        if not is_plain or reduction not in ("mean", "sum") or self.ndim != 2 or target.dim() != 1:
            self._refuse("weighs the losses of its tokens")
        self.source.is_used = True
        options = {"ignore_index": ignore_index, "label_smoothing": label_smoothing}

        def loss_of_chunk(hidden: Tensor, target: Tensor) -> Tensor:
            logits = self.source.head(hidden)
            for change in self.changes:
                logits = change(logits)
            return functional.cross_entropy(logits.float(), target, reduction="sum", **options)

        chunks = zip(self.hidden.split(TOKENS), target.split(TOKENS), strict=True)
        run = functools.partial(checkpoint, use_reentrant=False, preserve_rng_state=False)
        total = functools.reduce(operator.add, (run(loss_of_chunk, *chunk) for chunk in chunks))
        return total if reduction == "sum" else total / (target != ignore_index).sum()

    def _then(self, change: _Change) -> LogitsInChunks:
        return replace(self, changes=(*self.changes, change))

    def _refuse(self, why: str) -> NoReturn:
        refuse(self.source.name, why)
