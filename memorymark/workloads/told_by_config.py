"""What the values of a config.json tell of a model without torch: its task and its positions.

Pages ask for this before anything is loaded. What the values leave open is None: transformers'
own classes, which `tasks.py` asks, know the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memorymark.records.config import Task

_GENERATES = "ForConditionalGeneration"
_DECODERS = ("ForCausalLM", "LMHeadModel")
_IMAGES = "ForImageClassification"
_POSITIONS = ("n_positions", "max_position_embeddings")


def task_told(config: Mapping[str, Any]) -> Task | None:
    """Return what a model is used for, by the class that its configuration names.

    Example:
        >>> task_told({"architectures": ["LlamaForCausalLM"]})
        <Task.CAUSAL_LM: 'causal-lm'>
    """
    named = config.get("architectures")
    name = named[0] if isinstance(named, list) and named else None
    if not isinstance(name, str) or "audio_config" in config:
        return None
    if name.endswith(_IMAGES):
        return Task.IMAGE_CLASSIFICATION
    if "num_mel_bins" in config:
        return Task.SPEECH_SEQ2SEQ if name.endswith(_GENERATES) else None
    if "vision_config" in config:
        return Task.IMAGE_TEXT_TO_TEXT if name.endswith((_GENERATES, *_DECODERS)) else None
    if name.endswith(_DECODERS):
        return Task.CAUSAL_LM
    return Task.SEQ2SEQ_LM if name.endswith(_GENERATES) else None


def positions_told(config: Mapping[str, Any]) -> int | None:
    """Return how many tokens a decoder reads and writes at most; None where nothing says it.

    An encoder-decoder has positions of its own for what it reads, and for what it writes.

    Example:
        >>> positions_told({"n_positions": 1024})
        1024
    """
    if config.get("is_encoder_decoder"):
        return None
    text = config.get("text_config")
    for values in (text if isinstance(text, Mapping) else {}, config):
        for name in _POSITIONS:
            found = values.get(name)
            if isinstance(found, int) and not isinstance(found, bool) and found > 0:
                return found
    return None
