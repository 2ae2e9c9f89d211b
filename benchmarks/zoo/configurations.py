"""Small models of transformers, by architecture and configuration."""

from __future__ import annotations

from typing import Any

from memorymark.workloads import Workload

# How each is trained, where the defaults of its architecture are not meant.
TRAINED: dict[str, dict[str, Any]] = {
    "bert": {},
    "roberta": {"task": "masked-lm"},
    "gpt2": {"task": "causal-lm"},
    "gpt_neo": {"task": "causal-lm"},
    "opt": {"task": "causal-lm"},
    "llama": {"task": "causal-lm"},
    "qwen3": {"task": "causal-lm"},
    "gemma2": {"task": "causal-lm"},
    "mixtral": {"task": "causal-lm"},
    "falcon": {"task": "causal-lm"},
    "mamba": {"task": "causal-lm", "seq_len": 24},
    "t5": {"task": "seq2seq-lm"},
    "bart": {"task": "seq2seq-lm"},
    "deberta-v2": {},
    "electra": {},
    "vit": {"image_size": 224},
    "convnext": {"image_size": 64},
    "whisper": {},
    "wav2vec2": {},
    "clip": {},
    "segformer": {"image_size": 128},
    "vit_mae": {},
    "detr": {"image_size": 128},
    "llava": {},
}

_TEXT = {
    "vocab_size": 1000,
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "intermediate_size": 256,
    "max_position_embeddings": 128,
}
_VISION = {
    "hidden_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 192,
    "image_size": 64,
    "patch_size": 8,
}
_ENCODER_DECODER = {
    "d_model": 96,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 192,
    "decoder_ffn_dim": 192,
}
_BACKBONE = {
    "model_type": "resnet",
    "embedding_size": 16,
    "hidden_sizes": [16, 32, 48, 64],
    "depths": [1, 1, 1, 1],
    "layer_type": "basic",
    "out_features": ["stage4"],
}

# Small by hand, where fewer and narrower layers alone make no model or none that is small.
_FIELDS: dict[str, dict[str, Any]] = {
    "gpt_neo": {
        "num_layers": 2,
        "attention_types": [[["global", "local"], 1]],
        "hidden_size": 256,
        "num_heads": 4,
    },
    "mixtral": {**_TEXT, "num_key_value_heads": 2, "num_local_experts": 4},
    "falcon": {"hidden_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4},
    "gemma2": {**_TEXT, "num_key_value_heads": 2, "head_dim": 32},
    "mamba": {"hidden_size": 128, "num_hidden_layers": 2, "state_size": 8},
    "convnext": {"hidden_sizes": [32, 64, 128, 256], "depths": [1, 1, 2, 1], "image_size": 64},
    "whisper": {
        **_ENCODER_DECODER,
        "num_mel_bins": 40,
        "max_source_positions": 150,
        "max_target_positions": 64,
        "suppress_tokens": None,
        "begin_suppress_tokens": None,
        "decoder_start_token_id": 3,
    },
    "wav2vec2": {
        **_TEXT,
        "vocab_size": 40,
        "conv_dim": [64] * 7,
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 4,
    },
    "clip": {"text_config": _TEXT, "vision_config": _VISION},
    "segformer": {
        "hidden_sizes": [16, 32, 48, 64],
        "depths": [1, 1, 1, 1],
        "decoder_hidden_size": 64,
        "num_attention_heads": [1, 2, 3, 4],
    },
    "vit_mae": {
        **_VISION,
        "decoder_hidden_size": 64,
        "decoder_num_hidden_layers": 1,
        "decoder_num_attention_heads": 4,
        "decoder_intermediate_size": 128,
    },
    "detr": {
        **_ENCODER_DECODER,
        "num_queries": 20,
        "use_timm_backbone": False,
        "use_pretrained_backbone": False,
        "backbone": None,
        "backbone_config": _BACKBONE,
    },
    "llava": {
        "text_config": {"model_type": "llama", **_TEXT},
        "vision_config": {"model_type": "clip_vision_model", **_VISION},
        "image_token_index": 999,
    },
}

# The table of tokens is not to be most of a small model.
_FEW_TOKENS = {"vocab_size": 2000, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def small_transformer(model_type: str) -> Workload:
    """Return a small model of an architecture."""
    from shrink import shrink
    from transformers import AutoConfig

    from memorymark.workloads.huggingface import HuggingFaceWorkload

    config = AutoConfig.for_model(model_type, **_FIELDS.get(model_type, {}))
    if model_type not in _FIELDS:
        config = shrink(config, narrow=True)
    for name, value in _FEW_TOKENS.items():
        if hasattr(config, name) and not hasattr(config, "vision_config"):
            setattr(config, name, value)
    return HuggingFaceWorkload(f"hf:{model_type}", config)
