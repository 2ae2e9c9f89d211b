"""What four models take on an Apple M4, beside what an older stack measured there.

    python benchmarks/apple_figures.py

The older stack ran text, vision and speech models on an M4 and printed rounded figures: a decoder
of 1.5 billion parameters in 16 bits at 17 to 20 tokens a second in about 4 GB, BLIP base in about
1 GB, BLIP-2 2.7B in about 16 GB, Whisper base in about 500 MB. It did not print the prompt, the
number of tokens or what its memory counts. Simulated figures are approximate: MPS's allocator and
kernels are not modelled.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

sys.path[:0] = [str(Path(__file__).parent.parent)]

import transformers

from memorymark.gpus.catalogue import find_gpu
from memorymark.probes.simulated import SimulatedProbe
from memorymark.records.serving_config import ServingConfig
from memorymark.records.session_run import SessionPlan, SessionRun
from memorymark.units import rate
from memorymark.workloads.huggingface import HuggingFaceWorkload
from memorymark.workloads.serving_spec import ServingSpec

GPU = "m4-24gb"
TOKENS = {"context_tokens": 256, "output_tokens": 32}


class Model(NamedTuple):
    """One model of the older stack, and what it printed."""

    name: str
    make: Callable[[], Any]
    config: ServingConfig
    measured: str


def whisper_base() -> Any:
    """Return Whisper base, whose width and depth are not the class's own."""
    return transformers.WhisperConfig(
        d_model=512, encoder_layers=6, decoder_layers=6, encoder_attention_heads=8,
        decoder_attention_heads=8, encoder_ffn_dim=2048, decoder_ffn_dim=2048, vocab_size=51865,
    )  # fmt: skip


def blip2() -> Any:
    """Return BLIP-2 with the decoder OPT 2.7B."""
    decoder = transformers.OPTConfig(
        hidden_size=2560, num_hidden_layers=32, num_attention_heads=32, ffn_dim=10240,
        word_embed_proj_dim=2560, vocab_size=50304,
    )  # fmt: skip
    return transformers.Blip2Config(text_config=decoder)


def qwen() -> Any:
    """Return Qwen2.5 1.5B."""
    from memorymark.workloads import resolve

    return resolve("qwen2.5-1.5b").hf_config


MODELS = (
    Model("decoder of 1.5B, fp16", qwen, ServingConfig(weights="fp16", **TOKENS),
          "about 4 GB, 17 to 20 tokens/s"),
    Model("BLIP base, fp32", transformers.BlipConfig, ServingConfig(weights="fp32", **TOKENS),
          "about 1 GB"),
    Model("BLIP-2 2.7B, fp32", blip2, ServingConfig(weights="fp32", **TOKENS),
          "about 16 GB"),
    Model("Whisper base, fp32", whisper_base, ServingConfig(weights="fp32", **TOKENS),
          "about 500 MB"),
)  # fmt: skip


def simulated(model: Model) -> SessionRun:
    """Simulate one session of a model on the M4."""
    workload = HuggingFaceWorkload(model.name, model.make())
    spec = ServingSpec(workload, model.config, SessionPlan(sessions=1, turns=1))
    return SimulatedProbe(find_gpu(GPU)).run_sessions(spec)


def speed_of(run: SessionRun) -> str:
    """Return the tokens per second after the first, and between what they are likely to lie."""
    token = run.next_token_seconds
    if token is None:
        return ""
    low, high = run.band(token)
    return f", {rate(1 / token)} tokens/s (likely {rate(1 / high)} to {rate(1 / low)})"


def main() -> None:
    """Print both figures of each model."""
    for model in MODELS:
        run = simulated(model)
        weights, peak = run.weights_bytes / 1e9, run.peak_reserved_bytes / 1e9
        print(f"{model.name:22} weights {weights:5.2f} GB, peak {peak:5.2f} GB{speed_of(run)}")
        print(f"{'':22} the older stack: {model.measured}")


if __name__ == "__main__":
    main()
