"""Makes a small model of an architecture from its default configuration.

Fewer layers always; narrower ones where the configuration has the usual fields. Fields that
depend on each other are scaled together, so that the configuration stays one that could exist.
"""

from __future__ import annotations

from typing import Any

_LAYERS = (
    "num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers",
    "num_encoder_layers", "num_decoder_layers", "n_encoder_layers", "n_decoder_layers",
)  # fmt: skip
_LISTS_BY_LAYER = (
    "layer_types", "layers_block_type", "mlp_layer_types", "attention_types", "attn_type_list",
)  # fmt: skip
_EXPERTS = ("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts")
_SMALLEST_LAYERS = 2
_FEW_EXPERTS = 8
# PyTorch's grouped matrix multiplication wants rows of a multiple of 16 bytes.
_ALIGNED = 16
_ROPE_THETA, _CLIP_QKV = 500_000, 8  # as DBRX's published config.json
# Widths are divided by one factor, and heads with them, so that a head keeps its size.
_WIDTHS = (
    "hidden_size", "d_model", "n_embd", "dim", "intermediate_size", "encoder_ffn_dim",
    "decoder_ffn_dim", "d_ff", "n_inner", "ffn_dim", "num_attention_heads", "n_head", "n_heads",
    "num_key_value_heads", "encoder_attention_heads", "decoder_attention_heads", "num_heads",
)  # fmt: skip
_SMALL_WIDTH = 256
# Parts of published models' config.json whose defaults do not go together.
_PUBLISHED = {
    "gemma3": {"vision_config": {"image_size": 896, "patch_size": 14}},
    "idefics3": {"vision_config": {"image_size": 364, "patch_size": 14}},
    "smolvlm": {"vision_config": {"image_size": 384, "patch_size": 16}},
}


def shrink(config: Any, *, narrow: bool) -> Any:
    """Return a small copy of a configuration of transformers.

    Args:
        config: The configuration; it is left as it is.
        narrow: Make the layers narrower too, not only fewer.
    """
    values = config.to_dict()
    for part, published in _PUBLISHED.get(values.get("model_type", ""), {}).items():
        if isinstance(values.get(part), dict):
            values[part].update(published)
    _shrink_values(values, narrow)
    _join(values)
    return type(config).from_dict(values)


def _join(values: dict[str, Any]) -> None:
    """Give the images' features the width of the text that they stand in."""
    vision, text = values.get("vision_config"), values.get("text_config")
    if not isinstance(vision, dict) or not isinstance(text, dict) or "hidden_size" not in text:
        return
    if "out_hidden_size" in vision:
        vision["out_hidden_size"] = text["hidden_size"]
    elif values.get("model_type") == "qwen2_vl":
        vision["hidden_size"] = text["hidden_size"]


def _shrink_values(values: dict[str, Any], narrow: bool) -> None:
    _fill_in(values)
    _shrink_layers(values)
    for name in _EXPERTS:
        if _is_above(values.get(name), _FEW_EXPERTS):
            values[name] = _FEW_EXPERTS
    if narrow:
        _shrink_widths(values)
    for nested in values.values():
        if isinstance(nested, dict) and "model_type" in nested:
            _shrink_values(nested, narrow)


def _fill_in(values: dict[str, Any]) -> None:
    """Give what the defaults leave open and published models of the architecture state."""
    experts_width = values.get("moe_intermediate_size")
    if _is_above(experts_width, _ALIGNED):
        values["moe_intermediate_size"] = experts_width // _ALIGNED * _ALIGNED
    attention = values.get("attn_config")
    if isinstance(attention, dict):
        attention.setdefault("rope_theta", _ROPE_THETA)
        if attention.get("clip_qkv", 0) is None:
            attention["clip_qkv"] = _CLIP_QKV
    heads = values.get("num_attention_heads")
    if not isinstance(heads, int):
        return
    width = values.get("hidden_size") or 0
    filling = {
        "num_key_value_heads": heads, "head_dim": width // heads, "n_group": 1, "topk_group": 1,
        "n_routed_experts": _FEW_EXPERTS, "n_shared_experts": 1, "num_experts_per_tok": 2,
        "vocab_size": 1000,
    }  # fmt: skip
    for name, value in filling.items():
        if name in values and values[name] is None:
            values[name] = value


def _shrink_layers(values: dict[str, Any]) -> None:
    kept = _layers_to_keep(values)
    for name in _LAYERS:
        before = values.get(name)
        if not _is_above(before, len(kept)):
            continue
        for key in _LISTS_BY_LAYER:
            entries = values.get(key)
            if isinstance(entries, list) and len(entries) == before:
                values[key] = [entries[index] for index in kept]
        values[name] = len(kept)


def _layers_to_keep(values: dict[str, Any]) -> list[int]:
    """Return the indices of the first two layers of each kind."""
    kinds = next((values[k] for k in _LISTS_BY_LAYER if isinstance(values.get(k), list)), [])
    if not kinds:
        return list(range(_SMALLEST_LAYERS))
    return [index for index, kind in enumerate(kinds) if kinds[:index].count(kind) < 2]


def _shrink_widths(values: dict[str, Any]) -> None:
    widths = [values.get(name) for name in ("hidden_size", "d_model", "n_embd", "dim")]
    width = next((w for w in widths if isinstance(w, int)), 0)
    factor = 1
    while width // (factor * 2) >= _SMALL_WIDTH and _all_divide(values, factor * 2):
        factor *= 2
    for name in _WIDTHS:
        if _is_above(values.get(name), 0):
            values[name] //= factor


def _all_divide(values: dict[str, Any], factor: int) -> bool:
    given = [values[name] for name in _WIDTHS if _is_above(values.get(name), 0)]
    return all(value % factor == 0 for value in given)


def _is_above(value: Any, floor: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > floor
