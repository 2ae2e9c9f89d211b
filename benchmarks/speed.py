"""Measures how fast the simulator is, and how much memory it takes itself.

    python benchmarks/speed.py [--runs 5] [--check] [--json FILE] [--profile NAME]

Times are after import and after one estimate that is thrown away: what a user waits for in a
running program. Wall seconds on a machine that does other work are too long; processor seconds
beside them tell. The 8-billion-parameter model runs in a process of its own, whose largest
resident memory, libraries included, is read. With --check the exit code is 1 where a bound is
broken; --profile prints where the time of one task goes.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import platform
import pstats
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import torch

import memorymark
from memorymark.placement.forks import processors
from memorymark.probes.common import software
from memorymark.records.config import TrainingConfig
from memorymark.units import GIB
from memorymark.workloads.base import Workload

GPU = "a100-40gb"
# Both batches fit: where one does not, its trace is replayed once more, at the capacity.
ROOMY_GPU = "b200"
MODELS = ("bert", "gpt2", "resnet")
SMALL_BATCH, LARGE_BATCH = 8, 512
_PROFILE_LINES = 25
# Time must not grow with the batch; the margin is the spread of short runs.
_SAME_TIME = 1.25
# ru_maxrss counts in KiB on Linux and in bytes on macOS (getrusage, man page 2).
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Figure:
    """One measured figure and its bound.

    Attributes:
        name: What was measured.
        value: The median over the runs, in the unit that the name says.
        worst: The largest of the runs.
        cpu: Median processor seconds, where the figure is a time.
        bound: What it must not exceed; None where there is no bound.
    """

    name: str
    value: float
    worst: float
    cpu: float | None
    bound: float | None

    @property
    def holds(self) -> bool:
        """Whether the median is within the bound."""
        return self.bound is None or self.value <= self.bound


def llama_8b() -> Workload:
    """Return meta-llama/Llama-3.1-8B by its shape, 8.03 billion parameters."""
    from transformers import LlamaConfig

    from memorymark.workloads.huggingface import HuggingFaceWorkload

    shape = LlamaConfig(
        vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
        num_attention_heads=32, num_key_value_heads=8, max_position_embeddings=131072,
    )  # fmt: skip
    return HuggingFaceWorkload("llama-8b", shape)


def mamba_130m() -> Workload:
    """Return state-spaces/mamba-130m by its shape; it loops over time in Python."""
    from transformers import MambaConfig

    from memorymark.workloads.huggingface import HuggingFaceWorkload

    return HuggingFaceWorkload("mamba-130m", MambaConfig(num_hidden_layers=24))


def rwkv() -> Workload:
    """Return four layers of an RWKV as wide as its smallest, RWKV-4-169m."""
    from transformers import RwkvConfig

    from memorymark.workloads.huggingface import HuggingFaceWorkload

    return HuggingFaceWorkload("rwkv", RwkvConfig(hidden_size=768, num_hidden_layers=4))


def _estimate(model: str | Workload, batch_size: int, gpu: str = GPU, **training: Any) -> Any:
    config = TrainingConfig(**training)
    return memorymark.estimate(model, config, batch_size=batch_size, gpu=gpu)


TASKS: dict[str, Callable[[], Any]] = {
    **{f"estimate {m}": lambda m=m: _estimate(m, SMALL_BATCH) for m in MODELS},
    "estimate mamba-130m, 512 tokens": lambda: _estimate(mamba_130m(), SMALL_BATCH, seq_len=512),
    "estimate rwkv, 1024 tokens": lambda: _estimate(rwkv(), SMALL_BATCH, seq_len=1024),
    "analyze bert": lambda: memorymark.analyze("bert", gpu=GPU),
    "analyze llama-8b": lambda: memorymark.analyze(
        llama_8b(), TrainingConfig(precision="bf16"), gpu=ROOMY_GPU
    ),
    "compare bert": lambda: memorymark.compare_costs("bert"),
    "estimate llama-8b": lambda: _estimate(llama_8b(), 1, precision="bf16", optimizer="adamw"),
}


@cache
def live_bert() -> tuple[Any, Any, Any]:
    """Return bert-base as a script has it: the model, a batch of 16 by 128 tokens, AdamW."""
    from transformers import BertConfig, BertForSequenceClassification

    model = BertForSequenceClassification(BertConfig()).train()
    ids = torch.randint(30_000, (16, 128))
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids[:, 0] % 2}
    return model, batch, torch.optim.AdamW(model.parameters())


def fits_bert() -> Any:
    """Ask whether the batch of that script fits."""
    model, batch, optimizer = live_bert()
    return memorymark.fits(model, batch, optimizer=optimizer, gpu=GPU)


def levers_of_all(processes: int = 1) -> None:
    """Find the levers of all three models."""
    for model in MODELS:
        memorymark.levers(model, gpu=GPU, processes=processes)


LEVERS = f"levers {', '.join(MODELS)}"
# As the command line and the app have it done.
SIDE_BY_SIDE = f"{LEVERS}, all processors"
TASKS |= {
    "fits bert": fits_bert,
    LEVERS: levers_of_all,
    SIDE_BY_SIDE: lambda: levers_of_all(processors()),
}

# Seconds that the longer tasks may take on two cores that do nothing else.
BOUNDS = {
    "fits bert": 2.0,
    LEVERS: 20.0,
    SIDE_BY_SIDE: 20.0,
    "analyze bert": 1.5,
    "analyze llama-8b": 3.0,
    "compare bert": 6.0,
    "estimate mamba-130m, 512 tokens": 12.0,
    "estimate rwkv, 1024 tokens": 12.0,
}


def timed(task: Callable[[], Any], runs: int) -> tuple[list[float], list[float]]:
    """Run a task once unseen, then several times; return wall and processor seconds."""
    task()
    wall, cpu = [], []
    for _ in range(runs):
        start = time.perf_counter(), _cpu_seconds()
        task()
        wall.append(time.perf_counter() - start[0])
        cpu.append(_cpu_seconds() - start[1])
    return wall, cpu


def _cpu_seconds() -> float:
    """Return the processor seconds of this process and of its children that have ended."""
    return sum(os.times()[:4])


def _seconds(name: str, task: Callable[[], Any], runs: int, bound: float) -> Figure:
    wall, cpu = timed(task, runs)
    median = statistics.median
    return Figure(f"{name}, seconds", median(wall), max(wall), median(cpu), bound)


def batch_ratio(model: str, runs: int) -> Figure:
    """Return how much more processor time a large batch takes than a small one."""
    _, small = timed(lambda: _estimate(model, SMALL_BATCH, ROOMY_GPU), runs)
    _, large = timed(lambda: _estimate(model, LARGE_BATCH, ROOMY_GPU), runs)
    ratios = [b / a for a, b in zip(sorted(small), sorted(large), strict=True)]
    name = f"estimate {model}, batch {LARGE_BATCH} over batch {SMALL_BATCH}"
    return Figure(name, statistics.median(ratios), max(ratios), None, _SAME_TIME)


def large_model(runs: int) -> list[Figure]:
    """Estimate the model of 8 billion parameters, each time in a process of its own."""
    found = [_in_a_process() for _ in range(runs)]
    wall, cpu, resident = ([run[key] for run in found] for key in ("wall", "cpu", "resident"))
    median = statistics.median
    return [
        Figure("estimate llama-8b, seconds", median(wall), max(wall), median(cpu), 6.0),
        Figure("estimate llama-8b, process GiB", median(resident), max(resident), None, 3.0),
    ]


def _in_a_process() -> dict[str, float]:
    call = [sys.executable, __file__, "--one"]
    done = subprocess.run(call, capture_output=True, text=True, check=True, timeout=300)
    return json.loads(done.stdout.splitlines()[-1])


def one_large_estimate() -> dict[str, float]:
    """Import, then estimate the large model; its seconds and the process's largest memory."""
    workload = llama_8b()
    _estimate("bert", 1)  # loads what the first estimate of any model loads
    start = time.perf_counter(), time.process_time()
    _estimate(workload, 1, precision="bf16", optimizer="adamw")
    wall, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT
    return {"wall": wall, "cpu": cpu, "resident": peak / GIB}


def measure(runs: int) -> list[Figure]:
    """Measure everything."""
    figures = [_seconds(f"estimate {m}", TASKS[f"estimate {m}"], runs, 1.0) for m in MODELS]
    few = max(1, runs // 2)
    figures += [_seconds(name, TASKS[name], few, bound) for name, bound in BOUNDS.items()]
    figures.extend(batch_ratio(model, runs) for model in MODELS)
    return figures + large_model(max(1, runs // 2))


def machine() -> dict[str, Any]:
    """Return what the times depend on."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cpu_cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "software": software(),
    }


def profile(name: str) -> None:
    """Print where the time of one task goes."""
    task = TASKS[name]
    task()
    profiler = cProfile.Profile()
    profiler.runcall(task)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(_PROFILE_LINES)


def _print(figures: list[Figure], facts: dict[str, Any]) -> None:
    versions = ", ".join(f"{name} {facts['software'][name]}" for name in ("torch", "transformers"))
    print(f"{facts['processor']}, {facts['cpu_cores']} cores, load {facts['load']:.1f}; {versions}")
    print(f"{'':<44}{'median':>8}{'worst':>8}{'CPU':>8}{'bound':>8}")
    for figure in figures:
        cpu = "—" if figure.cpu is None else f"{figure.cpu:.2f}"
        bound = "—" if figure.bound is None else f"{figure.bound:.2f}"
        over = "" if figure.holds else "  OVER"
        print(f"{figure.name:<44}{figure.value:>8.2f}{figure.worst:>8.2f}{cpu:>8}{bound:>8}{over}")
    if facts["load"] > (facts["cpu_cores"] or 1):
        print("This machine does other work too: medians are too long, the CPU column is not.")


def main() -> int:
    """Measure, print, and say whether the bounds hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--check", action="store_true", help="exit with 1 where a bound is broken")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--profile", choices=list(TASKS), help="profile one task and stop")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one_large_estimate()))
        return 0
    if options.profile:
        profile(options.profile)
        return 0
    figures, facts = measure(options.runs), machine()
    _print(figures, facts)
    if options.json:
        document = {"machine": facts, "figures": [asdict(f) | {"holds": f.holds} for f in figures]}
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return int(options.check and not all(figure.holds for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
