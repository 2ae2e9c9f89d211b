"""Trains nanoGPT's published CPU recipe with MemoryMark and with a plain PyTorch loop, in one run.

    python benchmarks/plain_training.py TEXT [--steps 2000] [--json FILE]

The recipe (nanoGPT's README: character-level Shakespeare, 4 layers, 4 heads, 128 wide, block 64,
batch 12, 2,000 steps, no dropout) is reported with a validation loss of 1.88. Both train the same
model of transformers from the same weights on the same batches, in turns of a hundred steps, so
that other work on the machine meets both; the ratio of their seconds is what it costs to be
watched. Their losses are compared step by step.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from memorymark.data.open_text import open_text
from memorymark.data.text_samples import split
from memorymark.probes.cpu import CpuProbe
from memorymark.records.config import TrainingConfig
from memorymark.records.generation_run import WeightsFrom
from memorymark.records.training_plan import TrainingPlan
from memorymark.trainer.order import Order
from memorymark.trainer.schedule import learning_rate
from memorymark.trainer.training import Training, in_epoch
from memorymark.trainer.training_job import TrainingJob
from memorymark.units import GIB
from memorymark.workloads.checkpoint import Checkpoint
from memorymark.workloads.huggingface import HuggingFaceWorkload

_BLOCK, _BATCH, _TURN = 64, 12, 100


def model_config() -> GPT2Config:
    """Return the recipe's model, over bytes."""
    return GPT2Config(
        vocab_size=256, n_positions=_BLOCK, n_embd=128, n_layer=4, n_head=4, resid_pdrop=0.0,
        embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip


def recipe(steps: int) -> TrainingPlan:
    """Return the recipe's plan."""
    return TrainingPlan(
        steps=steps, learning_rate=1e-3, schedule="cosine", final_rate=0.1, warmup=100,
        weight_decay=0.1, beta2=0.99, eval_batches=1000,
    )  # fmt: skip


class PlainLoop:
    """The loop as people write it."""

    def __init__(self, model: GPT2LMHeadModel, samples: object, plan: TrainingPlan) -> None:
        self._model, self._samples, self._plan = model, samples, plan
        self._order = Order(len(samples), plan.seed)
        self._optimizer = torch.optim.AdamW(
            model.parameters(), lr=1e-3, weight_decay=plan.weight_decay, betas=(0.9, plan.beta2)
        )
        self.losses: list[float] = []

    def step(self, total: int) -> None:
        """Train one step."""
        done = len(self.losses)
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(self._plan, done, total)
        parts = self._order.by_epoch(done * _BATCH, _BATCH)
        read = [in_epoch(self._samples, epoch, indices) for epoch, indices in parts]
        batch = {name: torch.cat([torch.from_numpy(x[name]) for x in read]) for name in read[0]}
        self._optimizer.zero_grad()
        loss = self._model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        self._optimizer.step()
        self.losses.append(loss.item())


def main() -> None:
    """Train both and print what it came to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("text", type=Path)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    print(json.dumps(found := prepared(given.text, given.steps), indent=2))
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n")


def prepared(text: Path, steps: int) -> dict[str, object]:
    """Make both trainings of the recipe on a text, and compare them."""
    samples, evaluation = split(open_text(text, None, Path(".texts")), _BLOCK, 0.1)
    workload = HuggingFaceWorkload("nanogpt", model_config())
    config = workload.describe(TrainingConfig(task="causal-lm", seq_len=_BLOCK, grad_clip=1.0))
    plan = recipe(steps)
    random = Checkpoint(None, WeightsFrom.RANDOM)
    job = TrainingJob(workload, config, plan, _BATCH, samples, evaluation, random)
    training = Training(job, CpuProbe(GIB))
    model = GPT2LMHeadModel(model_config())
    model.load_state_dict(training.model.state_dict())
    plain = PlainLoop(model.train(), samples, plan)
    return compared(training, plain, steps)


def compared(training: Training, plain: PlainLoop, steps: int) -> dict[str, object]:
    """Train both in turns; return seconds, losses and the evaluation's loss."""
    seconds, losses = {"memorymark": 0.0, "plain": 0.0}, []
    with training.limit.held():
        for first in range(0, steps, _TURN):
            began = time.perf_counter()
            losses += [training.run_step(steps).loss for _ in range(min(_TURN, steps - first))]
            seconds["memorymark"] += time.perf_counter() - began
            began = time.perf_counter()
            for _ in range(min(_TURN, steps - first)):
                plain.step(steps)
            seconds["plain"] += time.perf_counter() - began
        return {
            "steps": steps,
            "seconds": seconds,
            "ratio": seconds["memorymark"] / seconds["plain"],
            "equal_losses": sum(a == b for a, b in zip(losses, plain.losses, strict=True)),
            "last_loss": losses[-1],
            "eval_loss": training.evaluate(),
            "peak_bytes": training.limit.peak_bytes()[0],
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
        }


if __name__ == "__main__":
    main()
