"""A cache holds what its family's own formula says, run on the CPU and simulated alike.

Two sequences of 12 tokens are read and two more tokens generated, in fp32: the cache holds 14. The
formulas are written out from the fields of the configuration; their sources stand beside them.
"""

from __future__ import annotations

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM

from memorymark.inference.caches import held_bytes
from memorymark.inference.inference_step import InferenceStep
from memorymark.records.serving_config import ServingConfig
from memorymark.records.session_run import SessionPlan
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.simulated_sessions import simulate_sessions
from memorymark.workloads.build import build_model
from memorymark.workloads.huggingface import HuggingFaceWorkload
from memorymark.workloads.serving_spec import ServingSpec

SEQUENCES, PROMPT, NEW, FP32 = 2, 12, 3, 4
TOKENS = PROMPT + NEW - 1  # the newest one is not read yet
_COUNTER = 8  # int64, of each layer with a window: transformers' DynamicSlidingWindowLayer
_SIZES = {"vocab_size": 100, "hidden_size": 64, "num_hidden_layers": 4, "pad_token_id": 0}
_GROUPED = {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 96}
_MULTI = {"num_attention_heads": 4, "num_key_value_heads": 4, "intermediate_size": 96}
_LATENT = {
    **_SIZES, **_MULTI, "q_lora_rank": 16, "kv_lora_rank": 24, "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 16, "v_head_dim": 16, "moe_intermediate_size": 32, "n_routed_experts": 4,
    "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1,
}  # fmt: skip
_ONE_WINDOW = 8


def keys_and_values(layers, heads, head_size, tokens=TOKENS):
    """Keys and values of every head and token (Vaswani et al. 2017, Attention Is All You Need)."""
    return 2 * SEQUENCES * layers * heads * head_size * tokens * FP32


def multi_head(config):
    return keys_and_values(config.n_layer, config.n_head, config.n_embd // config.n_head)


def grouped(config):
    """Heads of queries share those of keys and values (Ainslie et al. 2023, GQA)."""
    size = config.hidden_size // config.num_attention_heads
    return keys_and_values(config.num_hidden_layers, config.num_key_value_heads, size)


def multi_query(config):
    """One head of keys and values serves all (Shazeer 2019, Fast Transformer Decoding)."""
    size = config.hidden_size // config.num_attention_heads
    return keys_and_values(config.num_hidden_layers, 1, size)


def latent(config):
    """The compressed keys and values and the rotated key (DeepSeek-AI 2024, DeepSeek-V2, 2.1)."""
    size = config.kv_lora_rank + config.qk_rope_head_dim
    return SEQUENCES * config.num_hidden_layers * size * TOKENS * FP32


def sliding(config):
    """Layers look no further back than the window (Jiang et al. 2023, Mistral 7B)."""
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    kinds = getattr(config, "layer_types", None) or ["sliding"] * config.num_hidden_layers
    windows = sum(kind != "full_attention" for kind in kinds)
    heads, shown = config.num_key_value_heads, min(TOKENS, config.sliding_window)
    return (
        keys_and_values(windows, heads, size, shown)
        + keys_and_values(len(kinds) - windows, heads, size)
        + windows * _COUNTER
    )


def first_state_space(layers, inner, kernel, state):
    """A layer's convolution and its state, whatever the length (Gu and Dao 2023, Mamba)."""
    return SEQUENCES * layers * inner * (kernel + state) * FP32


def second_state_space(layers, inner, kernel, state, groups=1):
    """The convolution sees the state's matrices too (Dao and Gu 2024, Mamba-2)."""
    return SEQUENCES * layers * ((inner + 2 * groups * state) * kernel + inner * state) * FP32


def mamba(config):
    inner = config.expand * config.hidden_size
    return first_state_space(config.num_hidden_layers, inner, config.conv_kernel, config.state_size)


def mamba2(config):
    inner = config.num_heads * config.head_dim
    return second_state_space(
        config.num_hidden_layers, inner, config.conv_kernel, config.state_size, config.n_groups
    )


def jamba(config):
    """Attention in one of so many layers, Mamba in the others (Lieber et al. 2024, Jamba)."""
    attending = sum(kind == "full_attention" for kind in config.layer_types)
    inner = config.mamba_expand * config.hidden_size
    size = config.hidden_size // config.num_attention_heads
    return keys_and_values(attending, config.num_key_value_heads, size) + first_state_space(
        config.num_hidden_layers - attending, inner, config.mamba_d_conv, config.mamba_d_state
    )


def zamba(config):
    """Mamba in each layer, and in some one attention of twice the width (Glorioso et al. 2024)."""
    attending = sum(kind == "hybrid" for kind in config.layer_types)
    inner = config.mamba_expand * config.hidden_size
    size = 2 * config.hidden_size // config.num_attention_heads
    return keys_and_values(attending, config.num_key_value_heads, size) + first_state_space(
        config.num_hidden_layers, inner, config.mamba_d_conv, config.mamba_d_state
    )


def bamba(config):
    """Attention in some layers, Mamba-2 in the others (IBM et al. 2024, Bamba)."""
    attending = len(config.attn_layer_indices)
    size = config.hidden_size // config.num_attention_heads
    inner = config.mamba_n_heads * config.mamba_d_head
    return keys_and_values(attending, config.num_key_value_heads, size) + second_state_space(
        config.num_hidden_layers - attending, inner, config.mamba_d_conv, config.mamba_d_state,
        config.mamba_n_groups,
    )  # fmt: skip


def falcon_h1(config):
    """Attention and Mamba-2 beside one another in each layer (TII 2025, Falcon-H1)."""
    inner = config.mamba_n_heads * config.mamba_d_head
    return grouped(config) + second_state_space(
        config.num_hidden_layers, inner, config.mamba_d_conv, config.mamba_d_state,
        config.mamba_n_groups,
    )  # fmt: skip


def qwen3_next(config):
    """Gated delta rule in most layers: a matrix a head (Yang et al. 2024, Gated DeltaNet)."""
    attending = sum(kind == "full_attention" for kind in config.layer_types)
    keys = config.linear_num_key_heads * config.linear_key_head_dim
    values = config.linear_num_value_heads * config.linear_value_head_dim
    seen = (2 * keys + values) * config.linear_conv_kernel_dim
    states = seen + values * config.linear_key_head_dim
    linear = SEQUENCES * (config.num_hidden_layers - attending) * states * FP32
    return keys_and_values(attending, config.num_key_value_heads, config.head_dim) + linear


def rwkv(config):
    """Five vectors a layer, in fp32, whatever the length (Peng et al. 2023, RWKV)."""
    return 5 * SEQUENCES * config.num_hidden_layers * config.hidden_size * FP32


_STATE = {"mamba_d_state": 4, "mamba_n_heads": 4, "mamba_d_head": 16}
FAMILIES = {
    "gpt2": ("GPT2Config", {"vocab_size": 100, "n_embd": 64, "n_layer": 3, "n_head": 4},
             multi_head),
    "llama": ("LlamaConfig", {**_SIZES, **_GROUPED}, grouped),
    "qwen2": ("Qwen2Config", {**_SIZES, **_GROUPED}, grouped),
    "falcon": ("FalconConfig", {**_SIZES, "num_attention_heads": 4}, multi_query),
    "gpt_bigcode": (
        "GPTBigCodeConfig", {"vocab_size": 100, "n_embd": 64, "n_layer": 3, "n_head": 4},
        multi_query,
    ),
    "deepseek_v2": ("DeepseekV2Config", _LATENT | {"first_k_dense_replace": 1}, latent),
    "deepseek_v3": ("DeepseekV3Config", _LATENT, latent),
    "mistral": ("MistralConfig", {**_SIZES, **_GROUPED, "sliding_window": _ONE_WINDOW}, sliding),
    "gemma2": (
        "Gemma2Config", {**_SIZES, **_GROUPED, "sliding_window": _ONE_WINDOW, "head_dim": 24},
        sliding,
    ),
    "gemma3": (
        "Gemma3TextConfig",
        {**_SIZES, **_GROUPED, "num_hidden_layers": 6, "sliding_window": 8, "head_dim": 24},
        sliding,
    ),
    "mamba": ("MambaConfig", _SIZES, mamba),
    "mamba2": (
        "Mamba2Config", {**_SIZES, "num_heads": 8, "head_dim": 16, "state_size": 4, "n_groups": 2},
        mamba2,
    ),
    "jamba": (
        "JambaConfig",
        {**_SIZES, **_GROUPED, "attn_layer_period": 2, "attn_layer_offset": 1, "num_experts": 2},
        jamba,
    ),
    "zamba": (
        "ZambaConfig",
        {
            **_SIZES, **_MULTI, "num_hidden_layers": 6, "attn_layer_period": 3,
            "attn_layer_offset": 2, "mamba_d_state": 4,
        },
        zamba,
    ),
    "bamba": (
        "BambaConfig", {**_SIZES, **_GROUPED, **_STATE, "attn_layer_indices": [1],
                        "mamba_n_heads": 8}, bamba,
    ),
    "falcon_h1": (
        "FalconH1Config", {**_SIZES, **_GROUPED, **_STATE, "mamba_d_ssm": 64}, falcon_h1
    ),
    "qwen3_next": (
        "Qwen3NextConfig",
        {
            **_SIZES, **_GROUPED, "head_dim": 16, "num_experts": 4, "num_experts_per_tok": 2,
            "moe_intermediate_size": 32, "shared_expert_intermediate_size": 32,
            "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 16,
            "linear_value_head_dim": 16,
        },
        qwen3_next,
    ),
    "rwkv": ("RwkvConfig", _SIZES, rwkv),
}  # fmt: skip
SERVING = ServingConfig(
    task="causal-lm", weights="fp32", batch_size=SEQUENCES, context_tokens=PROMPT + NEW,
    output_tokens=NEW,
)  # fmt: skip


def config_of(family):
    name, values, _ = FAMILIES[family]
    return getattr(transformers, name)(**values)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_cache_on_the_cpu_holds_what_the_familys_formula_says(family):
    config, formula = config_of(family), FAMILIES[family][2]
    step = InferenceStep(AutoModelForCausalLM.from_config(config).eval(), SERVING)
    ids = torch.randint(1, 100, (SEQUENCES, PROMPT))
    generation = step.prefill({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    for _ in range(NEW - 1):
        step.decode(generation)
    assert held_bytes(generation.cache) == formula(config)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_simulated_cache_holds_it_too(family):
    config, formula = config_of(family), FAMILIES[family][2]
    spec = ServingSpec(HuggingFaceWorkload(family, config), SERVING, SessionPlan(sessions=1))
    model = build_model(spec.workload, spec.built_as, torch.device("meta"))
    found = simulate_sessions(spec, model, Rules(Platform.CUDA, (8, 0)), None)
    assert found.sessions.state_bytes == formula(config)
