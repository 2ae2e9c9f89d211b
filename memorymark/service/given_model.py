"""What stands for a model in the library: its name, a workload, or a factory of the user's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from memorymark.errors import UsageError

if TYPE_CHECKING:
    from memorymark.workloads.base import Workload

Model = "str | Workload | Callable[..., Any]"

_ACCEPTED = (
    "a model's name, a Workload, or a function that returns (model, make_batch, loss), all made "
    "anew at each call."
)


def named(model: Any) -> tuple[str, dict[str, Any]]:
    """Return a model's name, and where it is no name what `execute` takes in its place.

    Raises:
        UsageError: It is neither a name, a workload nor a factory.
    """
    if isinstance(model, str):
        return model, {}
    if all(hasattr(model, name) for name in ("build", "batch", "forward", "describe")):
        if not isinstance(model, type):
            return model.name, {"workload": model}
    elif hasattr(model, "named_parameters") and not isinstance(model, type):
        raise UsageError(
            f"The model is a module ({type(model).__name__}) alone; accepted: {_ACCEPTED} "
            "A module says nothing of its batches and its loss."
        )
    if not callable(model):
        raise UsageError(f"The model is a {type(model).__name__}; accepted: {_ACCEPTED}")
    own = getattr(model, "__qualname__", type(model).__qualname__)
    name = f"{getattr(model, '__module__', None) or '__main__'}:{own}"
    return name, {"find_workload": lambda name: _workload_of(name, model)}


def _workload_of(name: str, factory: Callable[..., Any]) -> Workload:
    from memorymark.workloads.custom import workload_of

    return workload_of(name, factory)
