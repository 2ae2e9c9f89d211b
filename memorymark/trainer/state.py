"""All that a training goes on from: weights, optimizers, scaler and random generators."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from memorymark.errors import WorkloadError, quoted
from memorymark.training.step import TrainingStep

_NAMED = 3


def named_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return a model's parameters and the buffers that are saved with it, each storage once."""
    kept = model.state_dict(keep_vars=True)
    names = dict(model.named_parameters())
    buffers = {name: each for name, each in model.named_buffers() if name in kept}
    return {**names, **buffers}


def state_of(step: TrainingStep) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Return what a training goes on from: tensors by part and name, and what is no tensor."""
    weights = {name: each.detach() for name, each in named_tensors(step.model).items()}
    training, values = dict(_generators(step)), {}
    for place, name, value in _optimizer_values(step):
        if isinstance(value, Tensor):
            training[f"{place}.{name}"] = value.detach()
        elif value is not None:
            values[f"{place}.{name}"] = value
    scaler = {name: value for name, value in step.scaler.state_dict().items()}
    kind, words, *rest = np.random.get_state()
    state = {
        "optimizer": values,
        "scaler": scaler,
        "python_random": random.getstate(),
        "numpy_random": [kind, [int(word) for word in words], *rest],
    }
    return {"weights": weights, "training": training}, state


def restore(
    step: TrainingStep, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]
) -> None:
    """Bring a training back to where its state was taken.

    Args:
        step: The training, its model built in the same way.
        tensors: The parts of `state_of`.
        state: What is no tensor.

    Raises:
        WorkloadError: The state is of another model or another optimizer.
    """
    _restore_weights(step.model, tensors["weights"])
    _restore_optimizers(step, tensors["training"], state["optimizer"])
    if state["scaler"]:
        step.scaler.load_state_dict(dict(state["scaler"]))
    torch.set_rng_state(tensors["training"]["random.cpu"])
    device = next(step.model.parameters()).device
    if device.type == "cuda" and "random.cuda" in tensors["training"]:
        torch.cuda.set_rng_state(tensors["training"]["random.cuda"], device)
    version, words, gauss = state["python_random"]
    random.setstate((version, tuple(words), gauss))
    kind, words, *rest = state["numpy_random"]
    np.random.set_state((kind, np.array(words, dtype=np.uint32), *rest))


def _generators(step: TrainingStep) -> Iterator[tuple[str, Tensor]]:
    yield "random.cpu", torch.get_rng_state()
    device = next(step.model.parameters()).device
    if device.type == "cuda":
        yield "random.cuda", torch.cuda.get_rng_state(device)


def _parameters(step: TrainingStep) -> Iterator[tuple[str, torch.optim.Optimizer, nn.Parameter]]:
    """Yield each optimizer's parameters with the place that names them."""
    for number, optimizer in enumerate(step.optimizers):
        index = 0
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                yield f"optimizer.{number}.{index}", optimizer, parameter
                index += 1


def _optimizer_values(step: TrainingStep) -> Iterator[tuple[str, str, Any]]:
    for place, optimizer, parameter in _parameters(step):
        for name, value in optimizer.state.get(parameter, {}).items():
            yield place, name, value


def _restore_weights(model: nn.Module, saved: Mapping[str, Tensor]) -> None:
    own = named_tensors(model)
    wrong = [
        name
        for name in sorted({*own, *saved})
        if name not in own or name not in saved or own[name].shape != saved[name].shape
    ]
    if wrong:
        listed = ", ".join(map(quoted, wrong[:_NAMED]))
        raise WorkloadError(
            f"The checkpoint is of another model: {len(wrong)} of its weights differ in name or "
            f"shape, such as {listed}. Resume with the model and the options that it was made with."
        )
    with torch.no_grad():
        for name, each in own.items():
            each.copy_(saved[name])


def _restore_optimizers(
    step: TrainingStep, tensors: Mapping[str, Tensor], values: Mapping[str, Any]
) -> None:
    """Put states back by hand: load_state_dict would cast them to their parameters' format."""
    places = {place: (optimizer, each) for place, optimizer, each in _parameters(step)}
    found: dict[str, dict[str, Any]] = {}
    for key, value in [*tensors.items(), *values.items()]:
        if key.startswith("optimizer."):
            place, name = _place_and_name(key)
            found.setdefault(place, {})[name] = value
    if not set(found) <= set(places):
        raise WorkloadError(
            "The checkpoint is of another optimizer. Resume with the optimizer that it was made "
            "with."
        )
    for optimizer in step.optimizers:
        optimizer.state.clear()
    for place, states in found.items():
        optimizer, parameter = places[place]
        optimizer.state[parameter] = {
            name: _on_device(name, value, parameter, optimizer) for name, value in states.items()
        }


def _place_and_name(key: str) -> tuple[str, str]:
    kind, number, index, name = key.split(".", 3)
    return f"{kind}.{number}.{index}", name


def _on_device(name: str, value: Any, parameter: Tensor, optimizer: torch.optim.Optimizer) -> Any:
    """Return a state where the optimizer keeps it: the count of steps is mostly on the host."""
    if not isinstance(value, Tensor):
        return value
    counts_there = any(optimizer.defaults.get(kind) for kind in ("fused", "capturable"))
    if name == "step" and value.dim() == 0 and not counts_there:
        return value.clone()
    return value.to(parameter.device, copy=True)
