"""How older versions of transformers generated, which is what many installed ones still do.

Before 4.45 (October 2024) models computed the logits of the whole prompt, most of them in fp32 at
the end; the cache and the outputs of a pass lived until the next pass was done (`generate` held
them, and caches were tuples that every pass made anew); the keys and values of the prompt were kept
as the model made them, views of the product that they came from; and attention layers kept tables
of their own: cosines and sines of all positions, and triangles of which position sees which.
Before 4.48 (January 2025) heads of keys and values were copied for all heads of queries.
(transformers 4.36 to 4.47: generation/utils.py, cache_utils.py, and each model's modeling file.)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MethodType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import cache_utils

from memorymark.inference.caches import slots
from memorymark.inference.inference_step import Choose, Generation, InferenceStep
from memorymark.records.serving_config import CacheKind, ServingConfig

# Models whose forward pass ended with `logits.float()`, or `.to(torch.float32)`.
_IN_FP32 = frozenset((
    "llama", "mistral", "mixtral", "qwen2", "qwen2_moe", "gemma", "gemma2", "phi", "phi3",
    "stablelm", "starcoder2", "persimmon", "olmo", "cohere", "gptj", "codegen", "dbrx", "jamba",
    "mamba", "nemotron", "olmoe",
))  # fmt: skip
# Each of their layers held cosines and sines of all positions (`cos_cached`, `sin_cached`).
_ROTARY = frozenset((
    "llama", "mistral", "mixtral", "qwen2", "qwen2_moe", "phi", "phi3", "stablelm", "starcoder2",
    "persimmon", "olmo", "gpt_neox", "falcon",
))  # fmt: skip
# Each of their layers held a triangle of bytes, positions by positions (`bias`).
_TRIANGLES = frozenset(("gpt_neox", "gptj", "codegen", "gpt_neo", "gpt2"))
# The versions that came to do it as today: logits of the last position, heads in groups.
_LAST_LOGITS, _GROUPED_HEADS = (4, 45), (4, 48)
_REPEATED = "sdpa_with_repeated_heads"
_OLDER = (
    "Simulated as transformers {version} generates: {whole}heads of keys and values are copied for "
    "all heads of queries."
)
_WHOLE = "logits of the whole prompt are computed, a pass's outputs live until the next, "
_POSITIONS = ("max_position_embeddings", "n_positions")
_LAYER = re.compile(r"\.(layers|h|blocks)\.\d+$")


class OlderStep(InferenceStep):
    """Generates as transformers did before 4.45."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._last_logits = {}
        self._outputs: Any = None
        self._in_fp32 = self.model.config.model_type in _IN_FP32

    def _new_cache(self, inputs: Mapping[str, Tensor]) -> Any:
        if self._cache_name != "past_key_values":
            return super()._new_cache(inputs)
        cache = cache_utils.DynamicCache()
        for _ in range(self.model.config.num_hidden_layers):
            layer = cache_utils.DynamicLayer()
            layer.update = MethodType(_take_as_given, layer)
            cache.layers.append(layer)
        return cache

    def decode(self, generation: Generation) -> Generation:
        """Read the newest token and choose the next one; what was held before lives until then."""
        held = [slot.tensor for slot in slots(generation.cache)]
        generation = super().decode(generation)
        del held
        return generation

    def _chosen(self, outputs: Any, generation: Generation, length: int) -> Generation:
        if self._in_fp32:
            outputs.logits = outputs.logits.float()
        chosen = super()._chosen(outputs, generation, length)
        self._outputs = outputs  # until those of the next pass take their place
        return chosen


def step_of(model: nn.Module, config: ServingConfig, choose: Choose | None = None) -> InferenceStep:
    """Return the step with which a version of transformers generates.

    Args:
        model: The model, in eval mode, on its device.
        config: How it generates, and with which version.
        choose: Chooses the next token; None takes the likeliest.
    """
    return (OlderStep if _is_older(model, config) else InferenceStep)(model, config, choose)


def make_older(model: nn.Module, config: ServingConfig) -> nn.Module:
    """Give a model what the version of transformers gave it with which it generates."""
    if config.is_before(*_LAST_LOGITS):
        _add_tables(model)
    if config.is_before(*_GROUPED_HEADS):
        _repeat_heads(model)
    return model


def said_of(model: nn.Module, config: ServingConfig) -> list[str]:
    """Return what to say of a version that generates in another way than today's."""
    if not config.is_before(*_GROUPED_HEADS):
        return []
    whole = _WHOLE if _is_older(model, config) else ""
    return [_OLDER.format(version=config.transformers_version, whole=whole)]


def _is_older(model: nn.Module, config: ServingConfig) -> bool:
    """Return whether passes are those of an older version; with other caches they are today's."""
    is_asked = config.is_before(*_LAST_LOGITS) and config.cache is CacheKind.DYNAMIC
    return is_asked and not model.config.is_encoder_decoder


def _repeat_heads(model: nn.Module) -> None:
    """Let attention be given as many heads of keys and values as of queries, by copies."""
    # Here, since the transformers of the accuracy tests has no such masks to register.
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(_REPEATED, _attend_repeated)
    AttentionMaskInterface.register(_REPEATED, sdpa_mask)
    for part in model.modules():
        config = getattr(part, "config", None)
        grouped = getattr(part, "num_key_value_groups", 1) > 1
        if grouped and getattr(config, "_attn_implementation", None) == "sdpa":
            config._attn_implementation = _REPEATED


def _attend_repeated(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **more: Any
) -> tuple[Tensor, None]:
    from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward

    groups = getattr(module, "num_key_value_groups", 1)
    ungrouped: Any = SimpleNamespace(is_causal=getattr(module, "is_causal", True))
    keys, values = repeat_kv(key, groups), repeat_kv(value, groups)
    return sdpa_attention_forward(ungrouped, query, keys, values, mask, **more)


def _take_as_given(layer: Any, keys: Tensor, values: Tensor, *_: Any, **__: Any) -> Any:
    """Take the prompt's keys and values as they are, and all later ones as ever."""
    layer.lazy_initialization(keys, values)
    layer.keys, layer.values = keys, values
    del layer.update
    return keys, values


def _add_tables(model: nn.Module) -> None:
    """Give a model's layers the tables that they held, where there are none today."""
    config = model.config
    layers = [part for name, part in model.named_modules() if _LAYER.search(name)]
    positions = next((getattr(config, name, None) for name in _POSITIONS), None) or 2048
    held = {buffer.dtype for buffer in model.buffers() if buffer.dim() >= 2}
    like = next(model.parameters())
    for layer in layers:
        if config.model_type in _ROTARY:
            for name in ("older_cosines", "older_sines"):
                layer.register_buffer(name, like.new_empty(positions, _rotated(config)))
        if config.model_type in _TRIANGLES and torch.bool not in held:
            triangle = like.new_empty(positions, positions, dtype=torch.bool)
            layer.register_buffer("older_triangle", triangle)


def _rotated(config: Any) -> int:
    """Return how many numbers of a head its position turns."""
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    share = getattr(config, "partial_rotary_factor", None)
    scaling = getattr(config, "rope_parameters", None) or {}
    share = share or scaling.get("partial_rotary_factor") or getattr(config, "rotary_pct", None)
    return int(size * (share or 1.0))
