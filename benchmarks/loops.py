"""Compares the simulated step with training loops that are written by hand and run on the CPU.

    python benchmarks/loops.py [--only TEXT]

Prints for each family of decoders and encoder-decoders, small ones with random weights, in fp32
with SGD: the peak of a loop on the CPU, and the simulated peak under the CPU's rules over it, for
the plain loop and the Trainer's, with the generation cache as configured and off. It ends with 1
where one is not alike to the byte.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from itertools import accumulate, product
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent.parent)]

import torch
import transformers

from memorymark.memory.tracker import MemoryTracker
from memorymark.records.config import Loop, Task, TrainingConfig
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.simulate import simulate
from memorymark.training.tracked import collector_off
from memorymark.units import MIB
from memorymark.workloads.build import build_model
from memorymark.workloads.huggingface import HuggingFaceWorkload
from memorymark.workloads.trial_spec import TrialSpec

STEPS = 3
_BATCH_SIZE, _SEQ_LEN = 16, 32
_CPU = torch.device("cpu")

_SIZES = {
    "vocab_size": 300, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 128, "max_position_embeddings": 128,
    "pad_token_id": 0,
}  # fmt: skip
_GPT2_SIZES = {
    "vocab_size": 300, "n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 128,
    "bos_token_id": 1, "eos_token_id": 1,
}  # fmt: skip
_ONE_HEAD_SIZES = {**_SIZES, "num_key_value_heads": 4}
_BART_SIZES = {
    "vocab_size": 300, "d_model": 64, "encoder_layers": 3, "decoder_layers": 3,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 128,
    "decoder_ffn_dim": 128, "max_position_embeddings": 128, "pad_token_id": 0,
    "decoder_start_token_id": 0,
}  # fmt: skip
_T5_SIZES = {
    "vocab_size": 300, "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 3, "num_heads": 4,
    "decoder_start_token_id": 0,
}  # fmt: skip
_LIKE_LLAMA = (
    "Llama", "Mistral", "Qwen2", "Qwen3", "Gemma", "Gemma2", "Gemma3Text", "Phi3", "Starcoder2",
    "Granite", "Cohere", "Mixtral",
)  # fmt: skip
_ONE_HEAD_EACH = ("Phi", "GPTNeoX", "Falcon", "StableLm", "Olmo", "Olmo2", "BioGpt")
FAMILIES: dict[str, dict[str, Any]] = {
    "GPT2": _GPT2_SIZES,
    "GPTNeo": {
        "vocab_size": 300, "hidden_size": 64, "num_layers": 4, "num_heads": 4,
        "attention_types": [[["global", "local"], 2]], "max_position_embeddings": 128,
        "bos_token_id": 1, "eos_token_id": 1,
    },
    "OPT": {**_SIZES, "ffn_dim": 128, "word_embed_proj_dim": 64},
    **dict.fromkeys(_LIKE_LLAMA, _SIZES),
    **dict.fromkeys(_ONE_HEAD_EACH, _ONE_HEAD_SIZES),
    "Bloom": {"vocab_size": 300, "hidden_size": 64, "n_layer": 3, "n_head": 4},
    "Mpt": {"vocab_size": 300, "d_model": 64, "n_layers": 3, "n_heads": 4, "max_seq_len": 128},
    "CodeGen": {**_GPT2_SIZES, "rotary_dim": 8},
    "GPTJ": {**_GPT2_SIZES, "rotary_dim": 8},
    "GPTBigCode": _GPT2_SIZES,
    "XGLM": {
        "vocab_size": 300, "d_model": 64, "num_layers": 3, "attention_heads": 4, "ffn_dim": 128,
        "max_position_embeddings": 128,
    },
    "Mamba": {"vocab_size": 300, "hidden_size": 64, "num_hidden_layers": 3, "state_size": 4},
    "Rwkv": {
        "vocab_size": 300, "hidden_size": 64, "num_hidden_layers": 3, "attention_hidden_size": 64,
        "context_length": 128,
    },
    "XLNet": {"vocab_size": 300, "d_model": 64, "n_layer": 3, "n_head": 4, "d_inner": 128},
    "CTRL": {**_GPT2_SIZES, "dff": 128},
    "Bert": {**_SIZES, "is_decoder": True},
    "T5": _T5_SIZES,
    "MT5": _T5_SIZES,
    "Bart": _BART_SIZES,
    "Pegasus": _BART_SIZES,
    "Marian": _BART_SIZES,
}  # fmt: skip
_SEQ2SEQ = (_T5_SIZES, _BART_SIZES)


def plain(model: Any, batches: Iterator[Any], optimizer: torch.optim.Optimizer) -> None:
    """Train as people write it, with everything in one function."""
    for batch in batches:
        optimizer.zero_grad()
        outputs = model(**batch)
        loss = outputs.loss
        loss.backward()
        optimizer.step()


def trainer(model: Any, batches: Iterator[Any], optimizer: torch.optim.Optimizer) -> None:
    """Train as transformers' Trainer does, whose loss has a function of its own."""

    def compute_loss(inputs: Any) -> torch.Tensor:
        outputs = model(**inputs)
        return outputs["loss"]

    def training_step(inputs: Any) -> torch.Tensor:
        loss = compute_loss(inputs)
        loss.backward()
        return loss.detach()

    for inputs in batches:
        noted = training_step(inputs)
        optimizer.step()
        model.zero_grad()
    assert noted.isfinite()


LOOPS: dict[Loop, Callable[..., None]] = {Loop.PLAIN: plain, Loop.TRAINER: trainer}


def spec_of(family: str, loop: Loop, use_cache: str) -> TrialSpec:
    """Return what is trained for a family."""
    sizes = FAMILIES[family]
    task = Task.SEQ2SEQ_LM if sizes in _SEQ2SEQ else Task.CAUSAL_LM
    workload = HuggingFaceWorkload(family, getattr(transformers, f"{family}Config")(**sizes))
    config = TrainingConfig(
        task=task, seq_len=_SEQ_LEN, optimizer="sgd", loop=loop, use_cache=use_cache
    )
    return TrialSpec(workload, config, _BATCH_SIZE)


def real_peak_bytes(spec: TrialSpec) -> int:
    """Run the loop on the CPU and return the most bytes that tensors held."""
    model = build_model(spec.workload, spec.config, _CPU)
    tracker = MemoryTracker("cpu")
    with collector_off(), tracker:
        tracker.add(model.named_parameters(), "parameters")
        tracker.add(model.named_buffers(), "temporaries")
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-6, foreach=False)
        batches = (spec.workload.batch(spec.batch_size, spec.config) for _ in range(STEPS))
        LOOPS[spec.config.loop](model, batches, optimizer)
    tracker.stop()
    return tracker.peak_bytes


def simulated_peak_bytes(spec: TrialSpec) -> int:
    """Simulate as many steps under the CPU's rules."""
    model = build_model(spec.workload, spec.config, torch.device("meta"))
    trace = simulate(spec, model, Rules(Platform.CPU), steps=STEPS).trace
    return max(accumulate(size for _, size in trace.events))


def compare(family: str) -> bool:
    """Print a family's line; return whether all of it is alike."""
    cells, alike = [], True
    for loop, use_cache in product(LOOPS, ("auto", "off")):
        spec = spec_of(family, loop, use_cache)
        real, simulated = real_peak_bytes(spec), simulated_peak_bytes(spec)
        alike = alike and real == simulated
        cells.append(f"{loop}, cache {use_cache}: {real / MIB:6.2f} MiB {simulated / real:.5f}")
    print(f"{family:<12}", "  ".join(cells), flush=True)
    return alike


def main() -> int:
    """Compare the families; 1 where one is not alike."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="families whose name holds this text")
    chosen = [name for name in FAMILIES if parser.parse_args().only in name]
    found = [compare(name) for name in chosen]
    print(f"transformers {transformers.__version__}: {sum(found)} of {len(found)} alike")
    return 0 if all(found) else 1


if __name__ == "__main__":
    sys.exit(main())
