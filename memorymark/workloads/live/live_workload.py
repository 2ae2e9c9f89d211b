"""A workload made of what lives in the user's process: module, batch, optimizer, loss or step.

It builds copies without data, never the live objects themselves: what a step writes to is the
copies', and what it draws, patches or sets is put back by `placement.process_state`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from memorymark.errors import UsageError, WorkloadError
from memorymark.memory.storage import parts_of, storage_key
from memorymark.memory.torch_parts import tree_leaves
from memorymark.placement.copies import Copies
from memorymark.placement.host_as_device import host_as_device
from memorymark.placement.moving import Twins, tensors_of
from memorymark.placement.users_state import UsersState
from memorymark.records.config import TrainingConfig
from memorymark.workloads.base import Batch, Workload
from memorymark.workloads.live.batch_growth import LiveBatch
from memorymark.workloads.live.given_batch import check_batch
from memorymark.workloads.live.live_loss import StepLoss
from memorymark.workloads.live.live_optimizers import (
    Allocated,
    needs_closure,
    optimizers_in,
    without_wrappers,
)
from memorymark.workloads.live.untouched import Untouched
from memorymark.workloads.live.unwrapped import device_of, unwrapped
from memorymark.workloads.losses import loss_of
from memorymark.workloads.own_training import describe
from memorymark.workloads.reach import Reached, reached_from

_META = torch.device("meta")
_BLOCK = 512  # what CUDA's caching allocator rounds to
_DTYPES = {torch.bfloat16: "bf16", torch.float16: "fp16", torch.float64: "fp64"}

Loss = Callable[..., Any]
Step = Callable[[nn.Module, Any, Any], Any]


@dataclass(frozen=True)
class LiveTraining:
    """What lives in the process and is to be trained.

    Attributes:
        model: The module, wrapped or not.
        batch: A batch for it.
        optimizer: Its optimizer, or several in a container; None takes the config's.
        loss: `loss(outputs, batch)` or a loss of torch.nn; None: the model's own, or a usual one.
        step: `step(model, batch, optimizer)` in place of the whole step.
        forward: `forward(model, batch)` returns the loss, in place of the call and the loss.
        batch_size: How many samples the batch holds; None counts them.
        length: Positions that each sample is to have; None leaves them.
        training: Whether all of the model is in training mode; None leaves each part as it is.
        prepare: Called with the model's copy, before it runs.
        notes: What is to be said of it, one sentence each.
    """

    model: nn.Module
    batch: Any
    optimizer: Any = None
    loss: Loss | None = None
    step: Step | None = None
    forward: Callable[[nn.Module, Any], Any] | None = None
    batch_size: int | None = None
    length: int | None = None
    training: bool | None = None
    prepare: Callable[[nn.Module], None] | None = None
    notes: tuple[str, ...] = ()


@dataclass
class _Built:
    """What was made of the live objects for one model.

    Attributes:
        copies: The copies of the model and of what its functions refer to.
        compute: Returns loss and outputs.
        functions: The user's, as they work on the copies.
        beside: Copies of modules that take part in the user's own step.
        of_step: The copies of one run: of the optimizer and of what the step refers to.
    """

    copies: Copies
    compute: Callable[[nn.Module, Any], Any]
    functions: tuple[Any, ...]
    beside: tuple[nn.Module, ...]
    of_step: Copies | None = None


class LiveWorkload(Workload):
    """A training of the process, to be simulated.

    Args:
        live: What is trained.

    Attributes:
        live_batch: The batch, in any size.
        live_model: The module without wrappers.
        live_device: Where its weights are; None where it has none.
        grows: Whether the batch can be made in other sizes.
        beside_bytes: What the wrappers hold on the device.

    Raises:
        UsageError: Something is of a kind that is not accepted.
        WorkloadError: The model is one that cannot be simulated.
    """

    runs_own_code = True
    is_live = True

    def __init__(self, live: LiveTraining) -> None:
        _check(live)
        found = unwrapped(live.model)
        self.name = type(found.model).__name__
        self.live_batch = LiveBatch(live.batch, live.batch_size, live.length)
        self.grows = self.live_batch.grows
        self.live_model, self.beside_bytes = found.model, found.beside_bytes
        self.live_device = device_of(found.model)
        self._live, self._notes = live, (*found.notes, *live.notes)
        self._optimizer = without_wrappers(live.optimizer)
        self._optimizers = tuple(optimizers_in(self._optimizer))
        self._check_optimizers()
        self._built: WeakKeyDictionary[nn.Module, _Built] = WeakKeyDictionary()
        self._guarded = {
            storage_key(part) for x in self._tensors() for part in parts_of(x)
        } - {None}  # fmt: skip
        self._state: UsersState | None = None

    @contextmanager
    def leaving_all_else(self) -> Iterator[None]:
        """Put back at the end what the user's code writes to beside what it is handed."""
        live = self._live
        copied = (self.live_model, self._optimizer, live.forward, live.loss, live.step, live.batch)
        state = self._state = UsersState(copied, guarded=self._guarded)
        self._guarded |= state.unkept - {None}
        self._notes = (*self._notes, *map(_taken_from, state.used_up.items()))
        try:
            state.set_aside()
            yield
        finally:
            self._state = None
            state.put_back()

    def describe(self, config: TrainingConfig) -> TrainingConfig:
        """Return the config as it is: lengths and images are those of the batch."""
        return config

    def build(self, config: TrainingConfig) -> nn.Module:
        """Return a copy of the live module without data."""
        live, trains = self._live, any(p.requires_grad for p in self.live_model.parameters())
        if not trains and config.lora_rank is None and live.step is None:
            raise WorkloadError(
                f"No parameter of {self.name} requires a gradient, so that there is nothing to "
                "train. Leave requires_grad on for what is trained."
            )
        copies = Copies(Twins(_META))
        model = copies.of(self.live_model)
        forward, loss = copies.of(live.forward), copies.of(live.loss)
        in_step = reached_from((live.step,), beside=self.live_model).modules
        self._built[model] = _Built(
            copies, forward or StepLoss(self.live_model, loss), (forward, loss),
            tuple(copies.of(module) for module in in_step),
        )  # fmt: skip
        if live.training is not None:
            model.train(live.training)
        if live.prepare is not None:
            live.prepare(model)
        return model

    def batch(self, batch_size: int, config: TrainingConfig) -> Batch:
        """Return the live batch in a number of samples."""
        return self.live_batch.of(batch_size, _META)

    def forward(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Any]:
        """Call the model as the user does, and return its loss and outputs."""
        with self._apart():
            returned = self._of(model).compute(model, batch)
        return returned if isinstance(returned, tuple) and len(returned) == 2 else (returned, None)

    def own_optimizer(self, model: nn.Module) -> Any:
        """Return a copy of the live optimizer: its class, groups and states.

        With it a run begins: what the code of the run before has left behind is put back.
        """
        if self._state is not None:
            self._state.put_back()
            self._state.set_aside()
        built = self._of(model)
        # The states that there are stand on the device before the step, and anew in each run.
        built.of_step = built.copies.more(Allocated(_META))
        return built.of_step.of(self._optimizer)

    def own_step(self, model: nn.Module) -> Callable[[nn.Module, Batch, Any], Any] | None:
        """Return the user's own step, as it works on the copies."""
        built = self._of(model)
        if self._live.step is None:
            return self._step_by_closure if any(map(needs_closure, self._optimizers)) else None
        step = (built.of_step or built.copies).of(self._live.step)

        def guarded(model: nn.Module, batch: Batch, optimizer: Any) -> Any:
            with self._apart():
                return step(model, batch, optimizer)

        return guarded

    def _step_by_closure(self, model: nn.Module, batch: Batch, optimizer: Any) -> Any:
        """Update with optimizers that ask for the loss again and again, as LBFGS does."""

        def closure() -> Tensor:
            model.zero_grad()
            loss, _ = loss_of(self, model, batch)
            loss.backward()
            return loss

        for each in optimizers_in(optimizer):
            each.step(closure)

    def notes(self, model: nn.Module) -> tuple[str, ...]:
        """Say what was assumed of the model, the batch and the optimizer."""
        return (*self._notes, *self.live_batch.notes, *self._assumed(model))

    def beside(self, model: nn.Module) -> Reached:
        """Return the copies of what the user's functions refer to beside the model."""
        built = self._of(model)
        found = reached_from(built.functions, beside=model)
        return Reached((*found.modules, *built.beside), found.tensors)

    def refers_to(self, model: nn.Module) -> bool:
        """Return False: the copies of the user's functions use the copy that they are handed."""
        return False

    def enable_checkpointing(self, model: nn.Module) -> None:
        """Let the model recompute activations in its own way, where it has one."""
        own = getattr(model, "gradient_checkpointing_enable", None)
        if callable(own):
            own()
        else:
            super().enable_checkpointing(model)

    @property
    def cuda_device(self) -> str | None:
        """The CUDA device that holds the model; None where none does."""
        device = self.live_device
        return str(device) if device is not None and device.type == "cuda" else None

    def bytes_on(self, device: torch.device) -> int:
        """Return what the model, its gradients, its optimizers and the batch hold on a device."""
        sizes: dict[int | None, int] = {}
        for tensor in (*self._tensors(), *self.live_batch.tensors()):
            for part in parts_of(tensor):
                if part.device == device:
                    sizes[storage_key(part)] = part.untyped_storage().nbytes()
        return sum(-(-size // _BLOCK) * _BLOCK for size in sizes.values())

    @contextmanager
    def _apart(self) -> Iterator[None]:
        """Let the user's code write to nothing that is live, and find its device."""
        host = self.live_device is None or self.live_device.type == "cpu"
        with Untouched(self._guarded), host_as_device() if host else nullcontext():
            yield

    def _of(self, model: nn.Module) -> _Built:
        return self._built[getattr(model, "_orig_mod", model)]

    def _tensors(self) -> Iterable[Tensor]:
        for tensor in tensors_of(self.live_model):
            yield tensor
            if tensor.is_leaf and tensor.grad is not None:
                yield tensor.grad
        for optimizer in self._optimizers:
            for state in list(optimizer.state.values()):
                yield from (x for x in tree_leaves(state) if isinstance(x, Tensor))

    def _check_optimizers(self) -> None:
        is_none = self._live.optimizer is None or self._live.step is not None
        if not is_none and not self._optimizers:
            raise UsageError(
                f"The optimizer is {describe(self._live.optimizer)}; accepted: a "
                "torch.optim.Optimizer, or several in a tuple, list or dictionary."
            )
        of_model = {id(parameter) for parameter in self.live_model.parameters()}
        updated = [p for each in self._optimizers for g in each.param_groups for p in g["params"]]
        if self._optimizers and not any(id(parameter) in of_model for parameter in updated):
            raise WorkloadError(
                f"The optimizer updates none of the parameters of {self.name}: it was made for "
                "another model, or before the model's parameters were replaced. Make it anew."
            )

    def _assumed(self, model: nn.Module) -> Iterable[str]:
        if not any(part.training for part in model.modules()):
            yield "The model is in eval mode, and is taken so: call model.train() before."
        formats = {x.dtype for x in model.parameters() if x.dtype in _DTYPES}
        if formats:
            names = ", ".join(sorted(_DTYPES[each] for each in formats))
            yield f"Weights are in the number format that they have: {names}."


def _check(live: LiveTraining) -> None:
    if not isinstance(live.model, nn.Module):
        raise UsageError(
            f"The model is {describe(live.model)}; accepted: the torch.nn.Module that is trained."
        )
    for name in ("loss", "step", "forward"):
        given = getattr(live, name)
        if given is not None and not callable(given):
            raise UsageError(f"{name} is {describe(given)}; accepted: a function.")
    if live.loss is not None and live.step is not None:
        raise UsageError("Both a loss and a step are given. The step computes its own loss.")
    check_batch(live.batch, needed=live.step is None)


def _taken_from(used_up: tuple[str, str]) -> str:
    return (
        f"What the code takes from {used_up[0]} is gone from it afterwards: a {used_up[1]} has no "
        "copy that could be read instead."
    )
