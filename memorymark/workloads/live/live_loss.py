"""How a live model is called with a batch, and what of its outputs is the loss."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.loss import _Loss

from memorymark.errors import WorkloadError
from memorymark.placement.pretended_gpu import assume
from memorymark.workloads.own_training import describe

_TARGETS = ("labels", "label", "targets", "target", "y")
_LOGITS = ("logits", "prediction_logits", "out", "output", "predictions")


class StepLoss:
    """Calls a model with a batch and finds the loss.

    Args:
        model: The model, for the arguments that it takes.
        loss: `loss(outputs, batch)`, or a loss of torch.nn, which is called with the outputs and
            the targets; None takes the model's own, else a usual one for the targets.
    """

    def __init__(self, model: nn.Module, loss: Callable[..., Any] | None = None) -> None:
        self.loss = loss
        self._signature = _signature_of(model)

    def __call__(self, model: nn.Module, batch: Any) -> tuple[Any, Any]:
        """Return the loss of a batch and the model's outputs.

        Raises:
            WorkloadError: No loss is found.
        """
        outputs, targets = self._called(model, batch)
        if self.loss is None:
            found = _own_loss(outputs)
            return (_usual_loss(outputs, targets) if found is None else found), outputs
        if not _is_criterion(self.loss):
            returned = self.loss(outputs, batch)
        elif targets is None:
            raise WorkloadError(
                f"{_name(self.loss)} needs targets, and the batch has none. Give a batch of "
                "(inputs, targets), or loss=function(outputs, batch)."
            )
        else:
            returned = self.loss(_logits(outputs), targets)
        return returned, outputs

    def _called(self, model: nn.Module, batch: Any) -> tuple[Any, Any]:
        """Return the model's outputs, and the targets that the batch has beside its inputs."""
        if isinstance(batch, Mapping):
            return self._called_by_names(model, batch)
        if type(batch) not in (tuple, list):
            return model(batch), None
        if len(batch) == 1:
            return model(batch[0]), None
        if self._takes_all(batch):
            return model(*batch), batch[-1]
        return model(*batch[:-1]), batch[-1]

    def _called_by_names(self, model: nn.Module, batch: Mapping[Any, Any]) -> tuple[Any, Any]:
        targets = next((batch[name] for name in _TARGETS if name in batch), None)
        parameters = self._signature.parameters if self._signature else {}
        takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
        taken = {name: each for name, each in batch.items() if takes_any or name in parameters}
        if not taken:
            return model(batch), targets
        left = [str(name) for name in batch if name not in taken]
        if left:
            assume(f"The model is called without {', '.join(left)} of the batch: it takes none.")
        return model(**taken), targets

    def _takes_all(self, batch: Any) -> bool:
        """Return whether the model takes the targets too: as many arguments, or one named so."""
        if self._signature is None:
            return False
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        places = [each for each in self._signature.parameters.values() if each.kind in kinds]
        needed = [each for each in places if each.default is each.empty]
        if len(needed) >= len(batch):
            return True
        return len(places) >= len(batch) and places[len(batch) - 1].name in _TARGETS


def _signature_of(model: nn.Module) -> inspect.Signature | None:
    try:
        return inspect.signature(model.forward)
    except (TypeError, ValueError):
        return None


def _is_criterion(loss: Any) -> bool:
    return isinstance(loss, _Loss) or getattr(loss, "__module__", None) == functional.__name__


def _name(loss: Any) -> str:
    return getattr(loss, "__name__", None) or type(loss).__name__


def _own_loss(outputs: Any) -> Tensor | None:
    """Return the loss that is among a model's outputs: by its name, or as the one number."""
    named = outputs.get("loss") if isinstance(outputs, Mapping) else getattr(outputs, "loss", None)
    if isinstance(named, Tensor):
        return named
    members = outputs if isinstance(outputs, tuple | list) else (outputs,)
    single = [x for x in members if isinstance(x, Tensor) and x.numel() == 1 and x.requires_grad]
    if len(single) == 1:
        return single[0]
    losses = list(outputs.values()) if type(outputs) is dict else []
    if losses and all(isinstance(x, Tensor) and x.numel() == 1 for x in losses):
        assume("The model returned several losses; their sum is taken.")  # as detectors do
        return torch.stack([x.reshape(()) for x in losses]).sum()
    return None


def _logits(outputs: Any) -> Any:
    if isinstance(outputs, Tensor):
        return outputs
    if isinstance(outputs, Mapping):
        found = next((outputs[name] for name in _LOGITS if name in outputs), None)
        return next(iter(outputs.values()), None) if found is None else found
    if isinstance(outputs, tuple | list) and outputs:
        return outputs[0]
    return getattr(outputs, "logits", outputs)


def _usual_loss(outputs: Any, targets: Any) -> Tensor:
    """Return cross entropy for classes, and the mean square for numbers of the same shape."""
    logits = _logits(outputs)
    if isinstance(logits, Tensor) and isinstance(targets, Tensor):
        if targets.is_floating_point() or targets.dtype is torch.bool:
            if logits.squeeze(-1).shape == targets.squeeze(-1).shape:
                assume("No loss was given: the mean squared error was taken.")
                return functional.mse_loss(logits.squeeze(-1), targets.squeeze(-1).to(logits.dtype))
        elif logits.dim() > 1:
            assume("No loss was given: cross entropy was taken.")
            if logits.shape[:1] + logits.shape[2:] == targets.shape:
                return functional.cross_entropy(logits, targets)
            if logits.shape[:-1] == targets.shape:
                return functional.cross_entropy(logits.flatten(0, -2), targets.flatten())
    what = "has no targets" if targets is None else f"has {describe(targets)} as targets"
    raise WorkloadError(
        f"No loss is found: the model returned {describe(outputs)}, and the batch {what}. Give "
        "loss=function(outputs, batch), or a batch of (inputs, targets)."
    )
