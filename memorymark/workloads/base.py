"""The interface of a workload: builds a model, makes a batch, computes the loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn

from memorymark.errors import InvalidValue
from memorymark.placement.copies import original_of
from memorymark.placement.own_or_library import names_in
from memorymark.records.config import TrainingConfig, with_image_size
from memorymark.workloads.reach import Reached, holds, reached_from

Batch = Mapping[str, Tensor] | Any


class Workload(ABC):
    """A model, its batches and its forward pass.

    All three are called with the default device set to where the training runs, so plain
    factory functions (`torch.rand`, `nn.Linear`) make tensors there. Only shapes and types
    matter for memory: values are random.

    Attributes:
        name: The form in which a user names it, as in "bert" or "torchvision:vgg16".
        runs_own_code: Whether it is code of the user's, which a web page must not start.
        is_live: Whether its model and batch are those of the process: modes stay as they are.
        grows: Whether batches of any size can be made.
        beside_bytes: Bytes that are held beside a step, by what is no part of it.
    """

    name: str
    runs_own_code = False
    is_live = False
    grows = True
    beside_bytes = 0

    def describe(self, config: TrainingConfig) -> TrainingConfig:
        """Return the config with everything filled in that it left to the workload.

        Raises:
            UsageError: The workload cannot be trained in this way.
        """
        return with_image_size(config)

    @abstractmethod
    def build(self, config: TrainingConfig) -> nn.Module:
        """Return a new model with random weights, in fp32 and in training mode.

        Raises:
            WorkloadError: The model cannot be built.
            MissingPackage: A package that it needs is not installed.
        """

    @abstractmethod
    def batch(self, batch_size: int, config: TrainingConfig) -> Batch:
        """Return a new random batch of `batch_size` samples.

        Raises:
            WorkloadError: No such batch can be made.
        """

    @abstractmethod
    def forward(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Any]:
        """Run the model on a batch and return the loss and the model's outputs.

        The loss is a tensor with one element. The outputs stay alive until the next forward
        pass has its own, as the variable of a training loop does.
        """

    def own_optimizer(self, model: nn.Module) -> Any:
        """Return the user's own optimizer, or several in a container; None takes the config's."""
        return None

    def own_step(self, model: nn.Module) -> Callable[[nn.Module, Batch, Any], Any] | None:
        """Return the user's own step (model, batch, optimizer) in place of the whole step."""
        return None

    def forget(self, model: nn.Module) -> None:  # noqa: B027  (most keep nothing of a model)
        """Let go of a model that `build` has made, and of what was made with it."""

    def notes(self, model: nn.Module) -> tuple[str, ...]:
        """Return what a reader of a result should know of how the model is trained."""
        return ()

    def beside(self, model: nn.Module) -> Reached:
        """Return the modules and tensors that take part in the step beside the model.

        What the workload's own attributes hold, such as a teacher's network.
        """
        held = [
            value for value in vars(self).values() if isinstance(value, nn.Module | list | dict)
        ]
        modules = reached_from(held, beside=model).modules
        original = original_of(model)
        return Reached(tuple(each for each in modules if each is not original), ())

    def refers_to(self, model: nn.Module) -> bool:
        """Return whether the workload's own code uses a model that it is not handed.

        Such as by an attribute: what its methods but `build` name is looked at.
        """
        functions = [
            function
            for kind in type(self).__mro__
            if not kind.__module__.startswith("memorymark.")
            for name, function in vars(kind).items()
            if isinstance(function, FunctionType) and name not in ("build", "__init__")
        ]
        named = {name for function in functions for name in names_in(function.__code__)}
        used = [value for name, value in vars(self).items() if name in named]
        return holds(reached_from((*functions, *used)), model)

    def bytes_on(self, device: torch.device) -> int:
        """Return what of it is on a device already: nothing, where it is built anew."""
        return 0

    def replace(self, model: nn.Module, twin: nn.Module) -> None:  # noqa: B027
        """Take a copy for the model that `build` has made."""

    def chunk_cross_entropy(self, model: nn.Module) -> None:
        """Make the model compute its head and its loss in chunks of tokens.

        Raises:
            InvalidValue: It is no language model of Hugging Face transformers.
        """
        accepted = f"off: {self.name!r} is no language model of Hugging Face transformers"
        raise InvalidValue("chunked cross entropy", "on", accepted)

    def enable_checkpointing(self, model: nn.Module) -> None:
        """Make the model recompute activations in the backward pass.

        Raises:
            WorkloadError: The model has no repeated blocks to checkpoint.
        """
        from memorymark.workloads.checkpointing import checkpoint_blocks

        checkpoint_blocks(model, self.name)
