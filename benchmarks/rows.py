"""Measured runs as rows: reading them, and rebuilding what was trained."""

from __future__ import annotations

import atexit
import csv
import json
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from workload_set import PREFIX, build_workload

from memorymark.gpus.catalogue import find_gpu_by_device_name, load_catalogue
from memorymark.records.config import Optimizer, Task, TrainingConfig
from memorymark.workloads import Workload

GROUND_TRUTH = Path(__file__).parent / "ground_truth" / "measured.csv"
FIRST_VERSION = GROUND_TRUTH.with_name("first_version.csv")
CNN_WORKSPACES = GROUND_TRUTH.with_name("cnn_workspaces.csv")

_OPTIMIZERS = {
    "adamw_hf": "adamw",
    "adamw_torch (foreach)": "adamw",
    "torch.optim.Adam (foreach)": "adam",
}
_PRECISIONS = {"fp32 (TF32 matmul off)": "fp32", "pure-bf16": "bf16"}
_CAPABILITIES = {"3060": (8, 6), "4060": (8, 9), "A100": (8, 0), "V100": (7, 0), "A10G": (8, 6)}
_CAPABILITY_ELSEWHERE = (8, 0)


@dataclass(frozen=True)
class Row:
    """One measured run.

    Attributes:
        id: Its name in the file.
        family: What it is reported under.
        model: The workload's name.
        config: How it was trained.
        batch_size: Samples in one forward pass.
        gpu: The GPU that it ran on, as the source names it.
        compute_capability: Of that GPU.
        capacity_bytes: Of that GPU; None where it is not stated.
        metric: "reserved" or "allocated": what the reading is compared with.
        value_bytes: The reading; None where the run ended out of memory without one.
        out_of_memory: Whether the run ended out of memory.
        peers: What other tools predicted for the run, by name.
        context_bytes: What of the capacity was not for tensors; None takes the catalogue's.
        step_seconds: The measured time of a step; None where it was not taken.
    """

    id: str
    family: str
    model: str
    config: TrainingConfig
    batch_size: int
    gpu: str
    compute_capability: tuple[int, int]
    capacity_bytes: int | None
    metric: str
    value_bytes: int | None
    out_of_memory: bool
    peers: dict[str, int]
    context_bytes: int | None = None
    step_seconds: float | None = None


def load_rows(file: Path = GROUND_TRUTH) -> list[Row]:
    """Return the rows that can be simulated; `hfdoc` rows use code that no longer exists."""
    with file.open(encoding="utf-8", newline="") as lines:
        return [_row(values) for values in csv.DictReader(lines) if _is_usable(values)]


def load_measured(file: Path) -> list[Row]:
    """Return the runs of a file that benchmarks/measured.py wrote, two rows for each."""
    document = json.loads(file.read_text(encoding="utf-8"))
    contexts = [trial.get("context_bytes") for trial in document["trials"]]
    context = max((value for value in contexts if value is not None), default=None)
    return [
        _measured_row(trial, metric, document["machine"], context)
        for trial in document["trials"]
        for metric in ("allocated", "reserved")
        if trial["outcome"] != "error" and not trial["config"]["compile"]
    ]


def load_traces(file: Path) -> list[Path]:
    """Return the allocation traces that belong to a file of measured runs."""
    document = json.loads(file.read_text(encoding="utf-8"))
    named = (trace["file"] for trace in document.get("traces", ()))
    return [file.with_name(name) for name in named if name is not None]


def _measured_row(
    trial: dict[str, Any], metric: str, machine: dict[str, Any], context_bytes: int | None
) -> Row:
    config = TrainingConfig.from_dict(trial["config"])
    settings = (trial["model"], config.precision, config.optimizer, f"b{trial['batch_size']}")
    budget, total = trial["capacity_bytes"], machine["total_bytes"]
    has_budget = budget is not None and budget < total
    return Row(
        id=" ".join(str(part) for part in settings),
        family=f"{trial['model'].removeprefix(PREFIX)} {metric}",
        model=trial["model"],
        config=config,
        batch_size=trial["batch_size"],
        gpu=machine["gpu"],
        compute_capability=tuple(machine["compute_capability"]),
        capacity_bytes=budget if has_budget else total,
        metric=metric,
        value_bytes=trial[f"peak_{metric}_bytes"],
        out_of_memory=trial["outcome"] == "oom",
        peers={},
        # A budget limits the allocator alone: the context is not within it.
        context_bytes=0 if has_budget else context_bytes,
        step_seconds=trial["step_seconds"],
    )


def model_of(model: str) -> str | Workload:
    """Return what a row trained, as users give it: a name, or the workload of workload_set.py.

    A published model is named by a folder with its configuration, which needs no network.
    """
    name = model.removeprefix("hf:")
    if name in _SHAPES:
        return f"hf:{_folder(name)}"
    return build_workload(model) if model.startswith(PREFIX) else model


def target_of(row: Row) -> tuple[str, int | None]:
    """Return the card that a row is simulated for, by its key, and the memory budget.

    A card that is not named is taken as the largest of its compute capability.
    """
    known = find_gpu_by_device_name(row.gpu) or load_catalogue().get(row.gpu.lower())
    alike = (g for g in load_catalogue().values() if g.compute_capability == row.compute_capability)
    gpu = known or max(alike, key=lambda gpu: gpu.total_bytes)
    context = row.context_bytes
    if row.capacity_bytes is None or (known and context is None):
        return gpu.key, None
    return gpu.key, row.capacity_bytes - (gpu.likely_context_bytes if context is None else context)


@cache
def _folder(name: str) -> str:
    """Write the configuration of a published model into a folder that ends with the process."""
    folder = tempfile.mkdtemp(prefix=f"{name.replace('/', '--')}-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _hf_config(name).save_pretrained(folder)
    return folder


def _is_usable(values: dict[str, str]) -> bool:
    return not values["id"].startswith("hfdoc")


def _row(values: dict[str, str]) -> Row:
    peers = {name: values[f"peer_{name}_bytes"] for name in ("xmem", "dnnmem")}
    return Row(
        id=values["id"],
        family=_family(values),
        model=_model(values["model"]),
        config=_config(values),
        batch_size=int(values["batch_size"]),
        gpu=values["gpu"],
        compute_capability=_capability(values["gpu"]),
        capacity_bytes=int(values["capacity_bytes"]) if values["capacity_bytes"] else None,
        metric="allocated" if values["metric"] == "max_memory_allocated" else "reserved",
        value_bytes=int(values["value_bytes"]) if values["value_bytes"] else None,
        out_of_memory=values["out_of_memory"] == "true",
        peers={name: int(value) for name, value in peers.items() if value},
    )


def _family(values: dict[str, str]) -> str:
    if not values["id"].startswith("xmem"):
        return values["id"].split("-")[0]
    return "cnn" if values["model"].startswith("torchvision:") else "transformer"


def _model(name: str) -> str:
    return "torchvision:vit_l_16" if name.startswith("torchvision vit_l_16") else name


def _config(values: dict[str, str]) -> TrainingConfig:
    task = values["task"].split(" ")[0]
    labels = int(values["num_labels"]) if values["num_labels"] else None
    if values["id"].startswith("rasbt"):
        task, labels = "image-classification", 10
    optimizer = _OPTIMIZERS.get(values["optimizer"], values["optimizer"])
    attention = values["attention"] if values["attention"] in ("eager", "sdpa") else "sdpa"
    return TrainingConfig(
        task=Task(task),
        num_labels=labels,
        seq_len=int(values["seq_len"] or 128),
        image_size=int(values["image_size"] or 224),
        precision=_PRECISIONS.get(values["precision"], values["precision"]),
        optimizer=Optimizer(optimizer),
        zero_grad=values["zero_grad"],
        attention=attention,
        dropout=values["train_mode"] == "train",
        gradient_checkpointing=values["gradient_checkpointing"].startswith("y"),
        gradient_accumulation=int(values["gradient_accumulation"]),
    )


def _capability(gpu: str) -> tuple[int, int]:
    found = (value for name, value in _CAPABILITIES.items() if name in gpu)
    return next(found, _CAPABILITY_ELSEWHERE)


_SHAPES: dict[str, tuple[str, dict[str, object]]] = {
    "EleutherAI/gpt-neo-125M": (
        "GPTNeoConfig",
        {
            "hidden_size": 768,
            "num_layers": 12,
            "num_heads": 12,
            "attention_types": [[["global", "local"], 6]],
        },
    ),
    "facebook/opt-125m": ("OPTConfig", {}),
    "google-t5/t5-small": ("T5Config", {"decoder_start_token_id": 0}),
    "microsoft/deberta-v3-base": (
        "DebertaV2Config",
        {
            "hidden_size": 768,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "intermediate_size": 3072,
            "vocab_size": 128100,
            "type_vocab_size": 0,
            "relative_attention": True,
            "position_buckets": 256,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": ["p2c", "c2p"],
            "max_relative_positions": -1,
            "position_biased_input": False,
        },
    ),
    "google/vit-base-patch16-224": ("ViTConfig", {"num_labels": 1000}),
}


def _hf_config(name: str) -> object:
    import transformers

    kind, values = _SHAPES[name]
    return getattr(transformers, kind)(**values)
