"""The user's own workload: package.module:factory. Runs the user's code."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from memorymark.errors import ModelNotFound, UnknownChoice, WorkloadError
from memorymark.records.config import TrainingConfig
from memorymark.workloads.base import Batch, Workload

_ACCEPTED = (
    "a memorymark.workloads.Workload, or a tuple (model, make_batch, loss) with "
    "make_batch(batch_size) -> batch and loss(model, batch) -> tensor"
)


class CustomWorkload(Workload):
    """A workload from a factory that returns (model, make_batch, loss)."""

    runs_own_code = True

    def __init__(self, name: str, factory: Callable[[], Any], first: Any) -> None:
        self.name = name
        self._factory = factory
        self._first: Any = first
        self._make_batch, self._loss = first[1], first[2]

    def build(self, config: TrainingConfig) -> nn.Module:
        """Call the factory for a new model."""
        parts, self._first = self._first or _call(self.name, self._factory), None
        self._make_batch, self._loss = parts[1], parts[2]
        return parts[0]

    def batch(self, batch_size: int, config: TrainingConfig) -> Batch:
        """Call the user's make_batch."""
        try:
            return self._make_batch(batch_size)
        except Exception as error:
            raise WorkloadError(
                f"make_batch({batch_size}) of {self.name!r} raised {error!r}."
            ) from error

    def forward(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Any]:
        """Call the user's loss, which may return the model's outputs beside the loss."""
        made = self._loss(model, batch)
        loss, outputs = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            raise WorkloadError(
                f"The loss of {self.name!r} returned {_describe(loss)}; "
                "accepted: a tensor with one element, or (loss, outputs)."
            )
        return loss, outputs


def load_custom(name: str) -> Workload:
    """Return the workload that the factory `package.module:factory` makes.

    Raises:
        ModelNotFound: There is no such module.
        UnknownChoice: The module has no such factory.
        WorkloadError: The factory raises or returns something else.
    """
    module_name, _, factory_name = name.partition(":")
    module = _import_module(module_name)
    factory = getattr(module, factory_name, None)
    if not callable(factory):
        callables = [key for key, value in vars(module).items() if callable(value)]
        public = [key for key in callables if not key.startswith("_")]
        raise UnknownChoice(f"factory in {module_name}", factory_name, public)
    made = _call(name, factory)
    if isinstance(made, Workload):
        made.name = getattr(made, "name", None) or name
        made.runs_own_code = True
        return made
    return CustomWorkload(name, factory, made)


def _import_module(module_name: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ModelNotFound(
            f"The module {error.name!r} of the workload was not found. Run from the folder that "
            "holds it, or install it; the form is package.module:factory."
        ) from error
    except Exception as error:
        raise WorkloadError(f"Importing {module_name!r} raised {error!r}.") from error


def _call(name: str, factory: Callable[[], Any]) -> Any:
    try:
        made = factory()
    except Exception as error:
        raise WorkloadError(f"The factory {name!r} raised {error!r}.") from error
    if isinstance(made, Workload) or _is_triple(made):
        return made
    raise WorkloadError(f"The factory {name!r} returned {_describe(made)}; accepted: {_ACCEPTED}.")


def _is_triple(made: Any) -> bool:
    return (
        isinstance(made, tuple)
        and len(made) == 3
        and isinstance(made[0], nn.Module)
        and callable(made[1])
        and callable(made[2])
    )


def _describe(value: Any) -> str:
    if isinstance(value, tuple):
        return "a tuple of " + ", ".join(type(part).__name__ for part in value)
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return f"a {type(value).__name__}"
