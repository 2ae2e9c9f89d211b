"""Configurations that are shipped, and what transformers forgets of a written one."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from memorymark.workloads.known_models import KnownModel

_T5 = ("t5", "mt5", "umt5", "longt5")


def shipped_config(model: KnownModel) -> Any:
    """Return the configuration of a model that comes with MemoryMark."""
    from transformers import AutoConfig

    values = copy.deepcopy(dict(model.config))
    return note_own_head(AutoConfig.for_model(**values), values)


def note_own_head(hf_config: Any, values: Mapping[str, Any]) -> Any:
    """Note that a T5's head is not tied to its embeddings, as in v1.1, mT5 and FLAN-T5.

    Their classes in transformers 5 set it to tied whatever the file says; loading the published
    weights, whose heads differ from the embeddings, unties them again.

    Args:
        hf_config: The configuration; it is changed and returned.
        values: What its file says.
    """
    if hf_config.model_type in _T5 and values.get("tie_word_embeddings") is False:
        hf_config.has_own_head = True
    return hf_config


def give_own_head(model: Any, hf_config: Any) -> None:
    """Give a model the head of its own that its configuration was written with."""
    from torch import nn

    head = getattr(model, "lm_head", None)
    if head is None or not getattr(hf_config, "has_own_head", False):
        return
    if head.weight is model.get_input_embeddings().weight:
        model.lm_head = nn.Linear(head.in_features, head.out_features, bias=False)
