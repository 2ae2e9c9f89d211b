"""Builds what a trial runs, on its device: the model and the batches."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from memorymark.bounds import Meter
from memorymark.errors import BatchTooLong, WorkloadError, quoted
from memorymark.memory.oom import is_out_of_memory
from memorymark.memory.torch_parts import tree_map
from memorymark.placement.copies import copied
from memorymark.placement.metered_build import metered_build
from memorymark.placement.moving import FILLED, Twins, move_module, move_tensors, note_modes
from memorymark.placement.new_storages import NewStorages
from memorymark.placement.ownership import (
    Clones,
    comes_again,
    has_live_parts,
    is_kept,
    keep,
)
from memorymark.placement.pretended_cuda import pretending
from memorymark.placement.without_data import make_without_data, make_without_parameters
from memorymark.records.config import TrainingConfig
from memorymark.workloads.base import Batch, Workload
from memorymark.workloads.batch_sizes import check_batch, learn_growth
from memorymark.workloads.lora import idle_adapters, idle_words, trained_words
from memorymark.workloads.own_code import own_code
from memorymark.workloads.own_training import describe
from memorymark.workloads.trained_parameters import choose_trained
from memorymark.workloads.trial_spec import TrialSpec

_WAS_EVAL = (
    "The factory returned the model in eval mode; it is trained in training mode, as after "
    "model.train(). Without dropout, the whole of it is left in eval mode."
)
_WAS_LIVE = (
    "The model was there before, and the workload's own functions refer to it: it was used itself, "
    "and given back as it was. Let nothing else use it meanwhile, or return a new one at each call."
)
_PACKAGE = __name__.partition(".")[0] + "."
_notes: WeakKeyDictionary[nn.Module, tuple[str, ...]] = WeakKeyDictionary()
_findings: WeakKeyDictionary[nn.Module, tuple[str, ...]] = WeakKeyDictionary()


def make_batch(spec: TrialSpec, device: torch.device) -> Batch:
    """Return a new batch on the device, whatever the workload made it on."""
    with torch.device(device):
        batch = spec.workload.batch(spec.batch_size, spec.config)
    if spec.workload.is_live:  # it is made there, but for what stays on the host
        return batch
    check_batch(spec.workload, spec.config, spec.batch_size, batch)
    return tree_map(lambda x: x.to(device) if isinstance(x, Tensor) else x, batch)


def learn_batches(spec: TrialSpec, device: torch.device) -> None:
    """Look at how the batches of the user's code grow, so that `make_batch` can check them.

    Raises:
        WorkloadError: They do not.
    """
    if not is_own(spec.workload) or spec.workload.is_live:
        return

    def make(batch_size: int) -> Batch:
        with own_code(f"batch({batch_size}) of {spec.workload.name!r}"):
            return make_batch(dataclasses.replace(spec, batch_size=batch_size), device)

    with pretending() if device.type == "meta" else contextlib.nullcontext():
        learn_growth(spec.workload, spec.config, make)


def build_model(workload: Workload, config: TrainingConfig, device: torch.device) -> nn.Module:
    """Return the model on the device, ready to train: weights' format, mode, checkpointing.

    Raises:
        WorkloadError: The model cannot be built, or not in this way.
    """
    twins, storages = Twins(device), NewStorages()
    if is_own(workload):
        seen = contextlib.nullcontext() if device.type == "meta" else storages
        with seen, own_code(f"build of {workload.name!r}"):
            model = _build(workload, config, device, twins)
        if not isinstance(model, nn.Module):
            raise WorkloadError(
                f"build of {workload.name!r} returned {describe(model)}; accepted: a "
                "torch.nn.Module."
            )
    else:
        model = _build(workload, config, device, twins)
    try:
        model = _own_copy(workload, model, device, twins, storages)
        return _made_ready(workload, model, config, device, twins)
    except Exception:
        workload.forget(model)
        raise


def _own_copy(
    workload: Workload,
    model: nn.Module,
    device: torch.device,
    twins: Twins,
    storages: NewStorages,
) -> nn.Module:
    """Return a copy of a model that was there before; else have it given back as it is.

    A new one that looks into storages that were there before has copies of those.

    Raises:
        WorkloadError: It cannot be copied.
    """
    if not is_own(workload):
        return model
    if not (comes_again(model) or has_live_parts(model)):
        if device.type != "meta":
            storages.replace_older(model)
        return model
    if workload.refers_to(model):  # its functions would find the other one
        keep(model, with_data=device.type != "meta")
        return model
    try:
        twin = copied(model, twins if device.type == "meta" else Clones())
    except WorkloadError:
        raise
    except Exception as error:
        raise WorkloadError(
            f"The model of {workload.name!r} was there before the call, so that it is not trained "
            f"itself, and it cannot be copied: {error!r}. Return a new one at each call."
        ) from error
    workload.replace(model, twin)
    return twin


def _made_ready(
    workload: Workload, model: nn.Module, config: TrainingConfig, device: torch.device, twins: Twins
) -> nn.Module:
    _place(workload, model, device, twins)
    model = model.to(dtype=_WEIGHT_DTYPES.get(config.precision))
    if config.channels_last:
        model = model.to(memory_format=torch.channels_last)
    if config.chunked_cross_entropy:
        workload.chunk_cross_entropy(model)
    if config.gradient_checkpointing:
        workload.enable_checkpointing(model)
    _findings[model] = tuple(choose_trained(model, config, device, workload.name))
    return _in_mode(workload, model, config)


def _in_mode(workload: Workload, model: nn.Module, config: TrainingConfig) -> nn.Module:
    """Return the model in training mode, or in eval mode; the user's own parts as he left them."""
    if workload.is_live and config.dropout:
        return model
    if not (is_own(workload) and config.dropout):
        return model.train(config.dropout)
    if not model.training:
        # As libraries return a model, and as no training loop leaves it.
        _notes[model] = (*notes_on(model), _WAS_EVAL)
        model.train()
    return model


def _place(workload: Workload, model: nn.Module, device: torch.device, twins: Twins) -> None:
    """Bring the model and what takes part beside it to the device."""
    if any(is_lazy(parameter) for parameter in model.parameters()):
        raise WorkloadError(
            f"The model {workload.name!r} has parameters whose shapes are not known yet "
            "(nn.LazyLinear and the like). Call it once with a small batch before returning it."
        )
    note_modes(model)
    _notes[model] = workload.notes(model)
    filled = move_module(model, device, twins, attributes=is_own(workload))
    if is_own(workload):
        beside = workload.beside(model)
        for module in beside.modules:
            if has_live_parts(module):
                keep(module, with_data=device.type != "meta")
            filled |= move_module(module, device, twins)
        move_tensors(beside.tensors, twins)
        if is_kept(model):
            _notes[model] = (*notes_on(model), _WAS_LIVE)
    if filled:
        _notes[model] = (*notes_on(model), FILLED)


def tensors_beside(workload: Workload, model: nn.Module) -> Iterator[tuple[str, Tensor, str]]:
    """Yield name, tensor and category of what takes part in the step beside the model."""
    if not is_own(workload):
        return
    beside = workload.beside(model)
    for module in beside.modules:
        kind = type(module).__name__
        for name, parameter in module.named_parameters():
            yield f"{kind}.{name}", parameter, "parameters"
        yield from ((f"{kind}.{name}", x, "temporaries") for name, x in module.named_buffers())
    yield from (("", tensor, "temporaries") for tensor in beside.tensors)


def notes_on(model: nn.Module) -> tuple[str, ...]:
    """Return what is to be said of how a model was built."""
    return _notes.get(model, ())


def findings_on(model: nn.Module) -> tuple[str, ...]:
    """Return what to tell first of how a model was built: how much of it trains."""
    return _findings.get(model, ())


def note_idle_adapters(workload: Workload, model: nn.Module, rank: int) -> None:
    """Note, after a backward pass, which of LoRA's adapters train nothing.

    Raises:
        WorkloadError: None of them trains.
    """
    idle = idle_adapters(model, workload.name)
    if idle:
        _, *others = findings_on(model)
        words = trained_words(model, rank, idle), idle_words(model, idle)
        _findings[model] = (*words, *(each for each in others if each not in words))


def is_own(workload: Workload) -> bool:
    """Return whether a workload is code of the user's, whichever way it came."""
    return workload.runs_own_code or not type(workload).__module__.startswith(_PACKAGE)


def _build(
    workload: Workload, config: TrainingConfig, device: torch.device, twins: Twins
) -> nn.Module:
    if device.type != "meta":
        with torch.device(device):
            return workload.build(config)
    with metered_build(workload.name, own=is_own(workload)) as meter:
        try:
            return _build_without_data(workload, config, twins, meter)
        except Exception as error:
            if is_out_of_memory(error) and meter.reached is None:
                raise WorkloadError(
                    f"Building the model {quoted(workload.name)} takes more memory than this "
                    "machine has, although nothing of its weights is kept. Make it smaller."
                ) from (error if is_own(workload) else None)
            raise


def _build_without_data(
    workload: Workload, config: TrainingConfig, twins: Twins, meter: Meter
) -> nn.Module:
    if is_own(workload):
        return make_without_data(lambda: workload.build(config), meter, twins)
    try:
        with torch.device("meta"):
            return workload.build(config)
    except BatchTooLong:
        raise
    except WorkloadError as error:
        if meter.reached is not None or not _lacks_data(error.__cause__):
            raise
    # Some models compute with the values of tensors while they are built.
    return make_without_parameters(lambda: workload.build(config), twins, meter)


def _lacks_data(error: BaseException | None) -> bool:
    """Return whether a build may have failed for want of values, as torch's own errors may."""
    return isinstance(error, RuntimeError) and not isinstance(error, RecursionError)


def match_batch(batch: Batch, config: TrainingConfig) -> Batch:
    """Return the batch in the number format and memory order of the model's weights."""
    dtype = _WEIGHT_DTYPES.get(config.precision)

    def match(x: Any) -> Any:
        if not isinstance(x, Tensor):
            return x
        if dtype is not None and x.is_floating_point():
            x = x.to(dtype)
        if config.channels_last and x.dim() == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        return x

    return tree_map(match, batch)


_WEIGHT_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
