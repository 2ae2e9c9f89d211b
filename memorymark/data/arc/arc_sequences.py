"""Examples one after the other as one sequence, and sequences as a batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from memorymark.data.arc.arc_tasks import Example
from memorymark.data.arc.grid_tokens import PADDING, example_tokens

NOT_LEARNED = -100
"""Stands in labels where nothing is learned, as torch's cross entropy leaves it out."""


class Sequenced(NamedTuple):
    """One sequence.

    Attributes:
        tokens: Its tokens, int64.
        labels: What is learned at each place, NOT_LEARNED where nothing is.
    """

    tokens: np.ndarray
    labels: np.ndarray


def in_sequence(examples: Sequence[Example]) -> Sequenced:
    """Return examples one after the other.

    Learned is the output of each example that follows another one, its end included: the first
    says what the task is, and cannot be told before. Of one example alone it is learned.
    """
    tokens, labels = [], []
    for index, example in enumerate(examples):
        before, output = example_tokens(example)
        is_learned = index > 0 or len(examples) == 1
        tokens += [before, output]
        labels += [_unlearned(before), output if is_learned else _unlearned(output)]
    return Sequenced(np.concatenate(tokens), np.concatenate(labels))


def as_batch(sequences: Iterable[Sequenced], length: int = 0) -> dict[str, np.ndarray]:
    """Return sequences as one batch, those that are shorter filled up at their ends.

    Args:
        sequences: The sequences.
        length: Tokens of each row at the least.
    """
    found = list(sequences)
    longest = max(length, *(len(each.tokens) for each in found))
    ids = np.full((len(found), longest), PADDING, dtype=np.int64)
    labels = np.full_like(ids, NOT_LEARNED)
    mask = np.zeros_like(ids)
    for row, each in enumerate(found):
        end = len(each.tokens)
        ids[row, :end], labels[row, :end], mask[row, :end] = each.tokens, each.labels, 1
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def _unlearned(tokens: np.ndarray) -> np.ndarray:
    return np.full_like(tokens, NOT_LEARNED)
