"""What a factory of the user's returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from memorymark.errors import WorkloadError
from memorymark.workloads.own_code import ends_as_errors

ACCEPTED = (
    "a memorymark.Training, a memorymark.workloads.Workload, or a tuple (model, make_batch, loss) "
    "with make_batch(batch_size) -> batch and loss(model, batch) -> tensor, followed by an "
    "optimizer factory and a step function where there are any"
)


@dataclass(frozen=True)
class Training:
    """A model and how it is trained, in the user's own code.

    Attributes:
        model: What is trained. What else takes part (a teacher, a second network, an average of
            the weights) is found in what the functions below refer to.
        make_batch: `make_batch(batch_size)` returns a batch.
        loss: `loss(model, batch)` returns the loss, or the loss and outputs that stay alive.
        optimizer: `optimizer(model)` returns an optimizer, or several in a tuple, list or
            dictionary; None takes the optimizer of the training options.
        step: `step(model, batch, optimizer)` takes the place of the whole step: forward pass,
            backward pass and update. What it returns stays alive until the next step's.

    Example:
        >>> training = Training(nn.Linear(4, 1), lambda n: None, lambda model, batch: None)
        >>> training.step is None
        True
    """

    model: nn.Module
    make_batch: Callable[[int], Any]
    loss: Callable[[nn.Module, Any], Any] | None = None
    optimizer: Callable[[nn.Module], Any] | None = None
    step: Callable[[nn.Module, Any, Any], Any] | None = None

    @property
    def functions(self) -> tuple[Any, ...]:
        """What is called on the device in each step."""
        return tuple(each for each in (self.loss, self.optimizer, self.step) if each is not None)


def as_training(made: Any) -> Training | None:
    """Return what a factory returned as a Training; None where it is none."""
    if isinstance(made, tuple) and 3 <= len(made) <= 5:
        made = Training(*made)
    if not isinstance(made, Training):
        return None
    is_whole = isinstance(made.model, nn.Module) and callable(made.make_batch)
    rest = (made.loss, made.optimizer, made.step)
    callables = all(each is None or callable(each) for each in rest)
    has_work = made.loss is not None or made.step is not None
    return made if is_whole and callables and has_work else None


def describe(value: Any) -> str:
    """Say what a value is, for a sentence."""
    if isinstance(value, tuple):
        return "a tuple of " + ", ".join(type(part).__name__ for part in value)
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if value is None:
        return "None"
    if isinstance(value, Training):
        if value.loss is None and value.step is None:
            return "a Training with neither a loss nor a step"
        return "a Training whose parts are not a module and functions"
    if isinstance(value, nn.Module):
        return f"a module ({type(value).__name__}) alone"
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def call_factory(name: str, factory: Callable[..., Any], *arguments: Any) -> Any:
    """Return the Training or the workload that a factory makes.

    Raises:
        WorkloadError: It raises, or returns something else.
    """
    from memorymark.workloads.base import Workload

    try:
        with ends_as_errors():
            made = factory(*arguments)
    except Exception as error:
        raise WorkloadError(f"The factory {name!r} raised {error!r}.") from error
    if isinstance(made, Workload):
        return made
    training = as_training(made)
    if training is None:
        raise WorkloadError(
            f"The factory {name!r} returned {describe(made)}; accepted: {ACCEPTED}."
        )
    return training
