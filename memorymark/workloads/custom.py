"""The user's own workload: package.module:factory, or a factory itself. Runs the user's code."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import inspect
import os
import sys
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from memorymark.errors import InvalidValue, ModelNotFound, UnknownChoice, WorkloadError
from memorymark.placement.metered_build import metered_build
from memorymark.placement.pretended_cuda import pretending
from memorymark.placement.pretended_gpu import default_device, is_simulated, set_default_device
from memorymark.placement.without_data import is_building_without_data, make_without_data
from memorymark.records.config import (
    LENGTHS,
    Attention,
    TrainingConfig,
    UseCache,
    with_image_size,
)
from memorymark.workloads.base import Batch, Workload
from memorymark.workloads.own_code import ends_as_errors
from memorymark.workloads.own_training import Training, call_factory
from memorymark.workloads.reach import Reached, holds, reached_from

# What only the factory's own code could follow.
_FOR_CONFIG = ("task", "num_labels", *LENGTHS)
_OF_OPTIMIZER = ("optimizer", "optimizer_impl")
_OF_STEP = (
    "gradient_accumulation", "zero_grad", "loop", "grad_clip", "drop_outputs", *_OF_OPTIMIZER
)  # fmt: skip


class CustomWorkload(Workload):
    """A workload from a factory that returns a model, its batches and how it is trained.

    Args:
        name: The form in which the user names it.
        factory: Makes a Training, at each call a new one.
        first: What the first call has made; None where the factory takes the config.
    """

    runs_own_code = True

    def __init__(
        self, name: str, factory: Callable[..., Any], first: Training | None = None
    ) -> None:
        self.name = name
        self._factory = factory
        self._takes_config = takes_config(name, factory)
        self._first = first
        self._has_optimizer = first is not None and first.optimizer is not None
        self._has_step = first is not None and first.step is not None
        # One for each `build`, the newest last; `forget` takes it away.
        self._made: list[Training] = []

    def describe(self, config: TrainingConfig) -> TrainingConfig:
        """Refuse options that the factory's code does not follow.

        Raises:
            InvalidValue: It would be ignored.
        """
        if self._has_step:
            why = f"the step is the own one of {self.name!r}"
            _refuse(config, _OF_STEP, why)
            if config.precision.is_amp:
                accepted = f"fp32, tf32, bf16 or fp16: {why}, and torch.autocast belongs into it"
                raise InvalidValue("precision", str(config.precision), accepted)
        elif self._has_optimizer:
            _refuse(config, _OF_OPTIMIZER, f"the optimizer is the own one of {self.name!r}")
        if not self._takes_config:
            why = f"the factory {self.name!r} takes no argument `config` from which to read it"
            _refuse(config, _FOR_CONFIG, why)
            if config.attention is Attention.EAGER:
                raise InvalidValue("attention", "eager", f"sdpa or flash: {why}")
            # Off is in every record of version 0.1.0, where it said nothing of such a model.
            if config.use_cache is UseCache.ON:
                raise InvalidValue("use cache", "on", f"auto: {why}")
        return super().describe(config)

    def build(self, config: TrainingConfig) -> nn.Module:
        """Call the factory for a new model."""
        made, self._first = self._first, None
        without_data = is_building_without_data()
        if made is None or not (without_data or _has_data(made.model)):
            made = _own(self.name, self._factory, *((config,) if self._takes_config else ()))
        self._has_optimizer, self._has_step = made.optimizer is not None, made.step is not None
        self.describe(config)
        self._made.append(made)
        return made.model

    def forget(self, model: nn.Module) -> None:
        """Let go of a model with its functions, which may refer to it and to other models."""
        oldest = next((made for made in self._made if made.model is model), None)
        self._made = [made for made in self._made if made is not oldest]

    def refers_to(self, model: nn.Module) -> bool:
        """Return whether the user's functions use the model by themselves."""
        training = self._training_of(model)
        return holds(reached_from((*training.functions, training.make_batch)), model)

    def replace(self, model: nn.Module, twin: nn.Module) -> None:
        """Take a copy for the model that the factory has returned."""
        training = self._training_of(model)
        place = next(i for i, made in enumerate(self._made) if made is training)
        self._made[place] = dataclasses.replace(training, model=twin)

    def batch(self, batch_size: int, config: TrainingConfig) -> Batch:
        """Call the user's make_batch."""
        try:
            with ends_as_errors():
                return self._newest().make_batch(batch_size)
        except Exception as error:
            raise WorkloadError(
                f"make_batch({batch_size}) of {self.name!r} raised {error!r}."
            ) from error

    def forward(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Any]:
        """Call the user's loss, which may return the model's outputs beside the loss."""
        made = self._training_of(model).loss
        if made is None:
            raise WorkloadError(
                f"The factory of {self.name!r} returned a step function and no loss: only whole "
                "steps can be run. Return a loss function too."
            )
        returned = made(model, batch)
        if isinstance(returned, tuple) and len(returned) == 2:
            return returned
        return returned, None

    def own_optimizer(self, model: nn.Module) -> Any:
        """Call the user's optimizer factory.

        Raises:
            WorkloadError: It raises, or returns nothing.
        """
        make = self._training_of(model).optimizer
        if make is None:
            return None
        try:
            with ends_as_errors():
                made = make(model)
        except Exception as error:
            raise WorkloadError(f"optimizer of {self.name!r} raised {error!r}.") from error
        if made is None:
            raise WorkloadError(
                f"optimizer of {self.name!r} returned None; accepted: an optimizer, or several in "
                "a tuple, list or dictionary."
            )
        return made

    def own_step(self, model: nn.Module) -> Callable[[nn.Module, Batch, Any], Any] | None:
        """Return the user's own step."""
        return self._training_of(model).step

    def notes(self, model: nn.Module) -> tuple[str, ...]:
        """Say which options the user's own code takes the place of."""
        training = self._training_of(model)
        if training.step is not None:
            own = "step, with its optimizer, is" if training.optimizer else "step is"
        elif training.optimizer is not None:
            own = "optimizer is"
        else:
            return ()
        return (f"The {own} the own one of {self.name!r}, in place of the training options'.",)

    def beside(self, model: nn.Module) -> Reached:
        """Return what the user's functions refer to; data to make batches from stays outside."""
        training = self._training_of(model)
        found = reached_from((*training.functions, training.make_batch), beside=model)
        data = reached_from((training.make_batch,), beside=model).tensors
        left_out = {id(tensor) for tensor in data}
        tensors = tuple(tensor for tensor in found.tensors if id(tensor) not in left_out)
        return Reached(found.modules, tensors)

    def _training_of(self, model: nn.Module) -> Training:
        built = getattr(model, "_orig_mod", model)  # what torch.compile was given
        of_model = (made for made in reversed(self._made) if made.model is built)
        return next(of_model, None) or self._newest()

    def _newest(self) -> Training:
        assert self._made, "a model is built before its first batch, and before it is run"
        return self._made[-1]


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
    return workload_of(name, factory)


def workload_of(name: str, factory: Callable[..., Any]) -> Workload:
    """Return the workload that a factory makes.

    Raises:
        WorkloadError: The factory raises or returns something else.
    """
    if takes_config(name, factory):
        return CustomWorkload(name, factory)
    with metered_build(name, own=True) as meter:
        made = make_without_data(lambda: call_factory(name, factory), meter)
    if isinstance(made, Workload):
        given = getattr(made, "name", None)
        made.name = given if isinstance(given, str) and given else name
        made.runs_own_code = True
        return made
    return CustomWorkload(name, factory, made)


def takes_config(name: str, factory: Callable[..., Any]) -> bool:
    """Return whether a factory is to be called with the training config.

    Raises:
        WorkloadError: It needs other arguments.
    """
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return False
    needed = [
        key
        for key, each in parameters.items()
        if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    if needed in ([], ["config"]):
        return next(iter(parameters), None) == "config"
    raise WorkloadError(
        f"The factory {name!r} needs the arguments {', '.join(needed)}; accepted: none, or "
        "`config` alone, which is the TrainingConfig."
    )


def _own(name: str, factory: Callable[..., Any], *arguments: Any) -> Training:
    made = call_factory(name, factory, *arguments)
    if isinstance(made, Training):
        return made
    raise WorkloadError(
        f"The factory {name!r} takes the config and returned a Workload, which gets the config by "
        "itself. Return it from a factory without arguments."
    )


def _refuse(config: TrainingConfig, names: tuple[str, ...], why: str) -> None:
    defaults = TrainingConfig(), with_image_size(TrainingConfig())
    for name in names:
        value = getattr(config, name)
        if not any(value == getattr(each, name) for each in defaults):
            default = getattr(defaults[1], name)
            accepted = "nothing" if default is None else f"{default}, the default"
            raise InvalidValue(name.replace("_", " "), str(value), f"{accepted}: {why}")


def _has_data(model: nn.Module) -> bool:
    return not any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))


def _import_or_reload(module_name: str) -> Any:
    found_gpu, module = is_simulated(), sys.modules.get(module_name)
    known = _imported.get(module_name)
    if known is not None and known[0] == found_gpu:
        set_default_device(known[1])
    if module is not None and (known is None or known[0] == found_gpu):
        return module
    set_default_device(None)
    # It may have chosen its device when it was imported.
    module = importlib.reload(module) if module else importlib.import_module(module_name)
    _imported[module_name] = found_gpu, default_device()
    return module


# What was imported here, whether its code found a simulated device, and the default that it set.
_imported: dict[str, tuple[bool, Any]] = {}


def _import_module(module_name: str) -> Any:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        with pretending() if is_simulated() else contextlib.nullcontext(), ends_as_errors():
            return _import_or_reload(module_name)
    except ModuleNotFoundError as error:
        raise ModelNotFound(
            f"The module {error.name!r} of the workload was not found. Run from the folder that "
            "holds it, or install it; the form is package.module:factory."
        ) from error
    except Exception as error:
        raise WorkloadError(f"Importing {module_name!r} raised {error!r}.") from error
