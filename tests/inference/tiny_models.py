"""Tiny models of many families, with random weights, that generate."""

from __future__ import annotations

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSpeechSeq2Seq,
    BloomConfig,
    DeepseekV3Config,
    FalconConfig,
    Gemma3TextConfig,
    GPT2Config,
    JambaConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    RwkvConfig,
    T5Config,
    WhisperConfig,
)

_SMALL = {"vocab_size": 100, "hidden_size": 64, "num_hidden_layers": 3}
_HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 96}
DECODERS = {
    "gpt2": GPT2Config(vocab_size=100, n_embd=64, n_layer=3, n_head=4),
    "llama": LlamaConfig(**_SMALL, **_HEADS),
    "mistral": MistralConfig(**_SMALL, **_HEADS, sliding_window=8),
    "gemma3": Gemma3TextConfig(
        **_SMALL | {"num_hidden_layers": 6}, **_HEADS, sliding_window=8, head_dim=16
    ),
    "bloom": BloomConfig(vocab_size=100, hidden_size=64, n_layer=3, n_head=4),
    "falcon": FalconConfig(**_SMALL, num_attention_heads=4),
    "deepseek": DeepseekV3Config(
        **_SMALL, **_HEADS | {"num_key_value_heads": 4}, moe_intermediate_size=32,
        n_routed_experts=4, num_experts_per_tok=2, q_lora_rank=16, kv_lora_rank=16,
        qk_rope_head_dim=8, v_head_dim=16, qk_nope_head_dim=16, n_group=2, topk_group=1,
    ),
    "jamba": JambaConfig(
        **_SMALL | {"num_hidden_layers": 4}, **_HEADS, attn_layer_period=2, attn_layer_offset=1,
        num_experts=2, use_mamba_kernels=False,
    ),
    "mamba": MambaConfig(**_SMALL),
    "rwkv": RwkvConfig(**_SMALL),
}  # fmt: skip


def decoder(name: str):
    """Return a decoder of a family."""
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(DECODERS[name]).eval()


def t5():
    """Return an encoder with a decoder."""
    config = T5Config(
        vocab_size=100, d_model=64, d_ff=96, num_layers=2, num_heads=4, d_kv=16,
        decoder_start_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    return AutoModelForSeq2SeqLM.from_config(config).eval()


def whisper():
    """Return a model that hears one second."""
    config = WhisperConfig(
        vocab_size=100, d_model=64, encoder_layers=2, decoder_layers=2, num_mel_bins=20,
        encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=96,
        decoder_ffn_dim=96, max_source_positions=50, decoder_start_token_id=1, pad_token_id=0,
        bos_token_id=0, eos_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    return AutoModelForSpeechSeq2Seq.from_config(config).eval()


def prompt(tokens: int = 12, batch_size: int = 2) -> dict[str, torch.Tensor]:
    """Return a prompt without padding."""
    ids = torch.randint(1, 100, (batch_size, tokens))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
