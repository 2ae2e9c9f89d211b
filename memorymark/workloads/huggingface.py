"""Hugging Face models, built from their configuration with random weights."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from transformers import PretrainedConfig

from memorymark.errors import (
    BatchTooLong,
    InvalidValue,
    MemoryMarkError,
    MissingPackage,
    UnknownChoice,
    WorkloadError,
    quoted,
)
from memorymark.memory.oom import is_out_of_memory
from memorymark.records.config import Attention, Task, TrainingConfig, UseCache
from memorymark.workloads import lengths, objectives, tasks
from memorymark.workloads.base import Batch, Workload
from memorymark.workloads.chunked_cross_entropy import compute_in_chunks, refuse
from memorymark.workloads.hub import only_local_files
from memorymark.workloads.shipped import give_own_head


class HuggingFaceWorkload(Workload):
    """A model of Hugging Face transformers, from a configuration alone.

    Args:
        name: The form in which the user named it.
        hf_config: The model's configuration; it is copied, never changed.
        task: The task where the training config names none; None derives it.
        num_labels: Classes where the training config names none.
        note: What a reader of a result should know of the configuration.
    """

    def __init__(
        self,
        name: str,
        hf_config: Any,
        task: Task | None = None,
        num_labels: int | None = None,
        note: str = "",
    ) -> None:
        self.name = name
        self._hf_config = hf_config
        self._task = task
        self._num_labels = num_labels
        self._note = note

    @property
    def hf_config(self) -> Any:
        """The model's configuration; it is not to be changed."""
        return self._hf_config

    def describe(self, config: TrainingConfig) -> TrainingConfig:
        """Fill in the task and the number of labels.

        Raises:
            UsageError: The model cannot be trained in this way.
            WorkloadError: Its configuration holds what it should not.
        """
        try:
            return self._described(config)
        except MemoryMarkError:
            raise
        except Exception as error:  # a configuration may hold anything, anywhere
            reason = f"{type(error).__name__}: {error}"
            raise WorkloadError(
                f"The configuration of {quoted(self.name)} cannot be used: {reason}"
            ) from error

    def _described(self, config: TrainingConfig) -> TrainingConfig:
        task = config.task or self._task or tasks.default_task(self._hf_config, self.name)
        self._check_task(task)
        num_labels = config.num_labels or self._num_labels
        if num_labels is None and tasks.has_labels(task):
            num_labels = getattr(self._hf_config, "num_labels", None)
        described = dataclasses.replace(config, task=task, num_labels=num_labels)
        self._check(described)
        return lengths.fill_in(self._hf_config, described, self.name)

    def build(self, config: TrainingConfig) -> nn.Module:
        """Build the Auto class of the task from the configuration."""
        config = self.describe(config)
        tasks.check_packages(config.task, self.name)
        attention = {"attn_implementation": "eager"} if config.attention == "eager" else {}
        try:
            with only_local_files():
                hf_config = self._training_config(config)
                auto = tasks.auto_class(self._hf_config, config.task)
                model = auto.from_config(hf_config, **attention)
            give_own_head(model, hf_config)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            package = re.search(r"requires the (\w+) library", str(error))
            if isinstance(error, ImportError) and package:
                raise MissingPackage(package[1], f"The model {quoted(self.name)}") from error
            raise WorkloadError(tasks.build_failure(self.name, config.task, error)) from error
        if "seq_len" in config.task.lengths:
            _check_positions(model, config.seq_len, self.name)
        return model.float()

    def batch(self, batch_size: int, config: TrainingConfig) -> Batch:
        """Make what the model's processor makes for the task, at random; no padding."""
        return tasks.make_batch(self._hf_config, self.describe(config), batch_size)

    def forward(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Any]:
        """Return the loss that the model computes from its labels, and all its outputs."""
        own, targets = objectives.split(batch)
        outputs = model(**own)
        return objectives.loss(outputs, targets) if targets else outputs.loss, outputs

    def notes(self, model: nn.Module) -> tuple[str, ...]:
        """Return what is to be said of the configuration."""
        return (self._note,) if self._note else ()

    def chunk_cross_entropy(self, model: nn.Module) -> None:
        """Make the model compute its head and its loss in chunks of tokens.

        Raises:
            InvalidValue: It has no output layer that is an nn.Linear.
        """
        compute_in_chunks(model, self.name)

    def enable_checkpointing(self, model: nn.Module) -> None:
        """Use the model's own checkpointing where it has one."""
        if not getattr(model, "supports_gradient_checkpointing", False):
            super().enable_checkpointing(model)
        elif hasattr(model, "activation_checkpointing_enable"):  # transformers from 5.23 on
            model.activation_checkpointing_enable({"use_reentrant": False})
        else:
            model.gradient_checkpointing_enable({"use_reentrant": False})

    def _training_config(self, config: TrainingConfig) -> Any:
        hf_config = type(self._hf_config).from_dict(self._hf_config.to_dict())
        if config.use_cache is not UseCache.AUTO:
            for part in _with_cache(hf_config):
                part.use_cache = config.use_cache is UseCache.ON
        if config.num_labels and tasks.has_labels(config.task):
            hf_config.num_labels = config.num_labels
        tasks.set_special_tokens(hf_config, config.task)
        return hf_config

    def _check_task(self, task: Task) -> None:
        supported = tasks.supported_tasks(self._hf_config)
        if task not in supported:
            raise UnknownChoice(f"task for {self.name}", task.value, supported)

    def _check(self, config: TrainingConfig) -> None:
        if config.attention is Attention.FLASH and config.precision in ("fp32", "tf32"):
            raise InvalidValue(
                "attention", "flash", f"sdpa or eager with {config.precision}; flash needs the "
                "precision amp-bf16, amp-fp16, bf16 or fp16",
            )  # fmt: skip
        if config.use_cache is UseCache.ON and not any(_with_cache(self._hf_config)):
            raise InvalidValue("use cache", "on", f"auto or off: {self.name} has no such cache")
        if config.use_cache is UseCache.ON and config.gradient_checkpointing:
            accepted = "auto or off: transformers makes no cache with gradient checkpointing"
            raise InvalidValue("use cache", "on", accepted)
        if config.chunked_cross_entropy and not config.task.is_language_model:
            refuse(self.name, f"is trained for {config.task}, with no loss over a vocabulary")


def _with_cache(hf_config: Any) -> Iterator[Any]:
    """Yield the configuration and those within it, as of a decoder, that have the switch."""
    if hasattr(hf_config, "use_cache"):
        yield hf_config
    for part in vars(hf_config).values():
        if isinstance(part, PretrainedConfig):
            yield from _with_cache(part)


def _check_positions(model: nn.Module, seq_len: int, name: str) -> None:
    """Compare the sequence length with the model's tables of learned positions."""
    for path, module in model.named_modules():
        leaf = path.rsplit(".", 1)[-1].lower()
        if not isinstance(module, nn.Embedding) or not _is_position_table(leaf):
            continue
        if any(word in path.lower() for word in _NOT_OF_TOKENS):
            continue
        offset = getattr(module, "offset", None)
        if not isinstance(offset, int):
            offset = 0 if module.padding_idx is None else module.padding_idx + 1
        limit = module.num_embeddings - offset
        if seq_len > limit:
            raise BatchTooLong(
                f"The sequence length is {seq_len}, and the model {quoted(name)} has a table of "
                f"{limit} positions ({path}). Set the sequence length to {limit} or less."
            )


# Positions of patches and of queries, not of tokens.
_NOT_OF_TOKENS = ("vision", "visual", "image", "patch", "query", "audio")


def _is_position_table(leaf: str) -> bool:
    return leaf in ("wpe", "embed_positions") or (
        "position_embedding" in leaf and "relative" not in leaf
    )
