"""Batches of tokens."""

from __future__ import annotations

import torch
from torch import Tensor

from memorymark.records.config import Task
from memorymark.workloads.inputs.batch_spec import BatchSpec, Inputs, vocabulary_size

_CHOICES_PER_SAMPLE = 4
_PAGE = 1000  # documents' boxes are given in thousandths of the page


def tokens(spec: BatchSpec) -> Inputs:
    """Make input_ids and attention_mask (batch_size, seq_len), and labels as the task has them."""
    config = spec.config
    shape: tuple[int, ...] = (spec.batch_size, config.seq_len)
    if config.task is Task.MULTIPLE_CHOICE:
        shape = (spec.batch_size, _CHOICES_PER_SAMPLE, config.seq_len)
    # Some models reject their special tokens in the middle of a sequence; ids above a small
    # floor are ordinary words in every vocabulary.
    vocabulary = vocabulary_size(spec.hf_config)
    low = min(10, vocabulary - 1)
    batch = {
        "input_ids": torch.randint(low, vocabulary, shape),
        "attention_mask": torch.ones(shape, dtype=torch.long),
    }
    if "bbox" in spec.takes:
        batch["bbox"] = _boxes(shape)
    batch.update(_labels(spec, shape, low, vocabulary))
    return batch


def _labels(
    spec: BatchSpec, shape: tuple[int, ...], low: int, vocabulary: int
) -> dict[str, Tensor]:
    batch_size, task = shape[:1], spec.config.task
    if task is Task.SEQUENCE_CLASSIFICATION:
        return {"labels": torch.randint(spec.num_labels, batch_size)}
    if task is Task.TOKEN_CLASSIFICATION:
        return {"labels": torch.randint(spec.num_labels, shape)}
    if task is Task.MULTIPLE_CHOICE:
        return {"labels": torch.randint(_CHOICES_PER_SAMPLE, batch_size)}
    if task is Task.QUESTION_ANSWERING:
        positions = {"start_positions", "end_positions"}
        return {name: torch.randint(spec.config.seq_len, batch_size) for name in sorted(positions)}
    return {"labels": torch.randint(low, vocabulary, shape)}


def _boxes(shape: tuple[int, ...]) -> Tensor:
    """Return a box around each token: left, top, right, bottom, in thousandths of the page."""
    corners = torch.randint(_PAGE // 2, (*shape, 2))
    return torch.cat([corners, corners + torch.randint(1, _PAGE // 2, (*shape, 2))], dim=-1)
