"""Scores estimated step times against published ones, those kept apart from the fit by themselves.

    python benchmarks/step_times.py [--sample N] [--json FILE]

Each row of ground_truth/step_times.csv is simulated as it was run (attention written out or fused,
optimizer without foreach, fast normalization in timm's inference benchmark) by the function that
users call. Rows whose family of models or whose card is kept apart took no part in the fit of
`memorymark/simulator/time/calibration.py` (benchmarks/calibrate_time.py); only their score says how
far to trust an estimate. Rows of models that the installed timm cannot build any more are counted;
rows of models that were rebuilt before they were timed are left out.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import random
import re
import statistics
import sys
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from memorymark.errors import MemoryMarkError
from memorymark.gpus.catalogue import find_gpu
from memorymark.probes.simulated import SimulatedProbe
from memorymark.probes.simulations import Simulations
from memorymark.records.config import TrainingConfig
from memorymark.records.trial import Stage
from memorymark.workloads.registry import resolve
from memorymark.workloads.trial_spec import TrialSpec

ROWS = Path(__file__).parent / "ground_truth" / "step_times.csv"
# No row of these was used in the fit.
CARDS_APART = frozenset(("rtx-6000-ada", "a100-80gb-pcie"))
# Of each three families of models, one was not used in the fit: by a sum over its name, not by
# choice.
_APART_OF = 3
_ROOMY_BYTES = 1 << 40
_BERT_LARGE = {
    "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
    "intermediate_size": 4096,
}  # fmt: skip
_PUBLISHERS = re.compile(r"^(gluon|tv|ssl|swsl|ig|legacy|eca|ese|gc|ens|dm)_")
_WIDTH = re.compile(r"\d+x\d+d")
# Built for training and rebuilt for inference (timm's `reparameterize_model`). The runs with this
# software were of the rebuilt ones: on the card that both were run on they take 0.54 to 0.72 of the
# time of the runs before, and no other model takes less than 0.79.
_REBUILT, _REBUILT_SINCE = ("fastvit", "repghostnet"), "torch 2.91"
# Kin, of which one must not be fitted on while the other is kept apart.
_KIN = {
    "resnet": ("resnet", "resnext", "skresn", "seresn", "resnest"),
    "vit": ("vit", "deit", "eva", "flexivit", "samvit"),
    "efficientnet": (
        "efficientnet", "mnasnet", "mobilenet", "spnasnet", "fbnet", "mixnet", "tinynet", "rexnet",
    ),
    "csp": ("csp", "cs", "darknet"),
    "mlp": ("gmlp", "gmixer", "mixer", "resmlp"),
    "metaformer": ("poolformer", "caformer", "convformer"),
}  # fmt: skip


@dataclass(frozen=True)
class TimedRow:
    """One published step.

    Attributes:
        id: Its name; several sizes of one model share it.
        model: The workload's name, as the source has it.
        gpu: The card's key.
        stage: How far the step went.
        config: How it was run.
        batch_size: Samples in one step.
        seconds: The published step.
        publisher: "timm" or "lambda".
    """

    id: str
    model: str
    gpu: str
    stage: Stage
    config: TrainingConfig
    batch_size: int
    seconds: float
    publisher: str

    @property
    def family(self) -> str:
        """The family of its model."""
        return family_of(self.model)

    @property
    def is_apart(self) -> bool:
        """Whether it took no part in the fit."""
        return self.gpu in CARDS_APART or is_family_apart(self.family)


@dataclass(frozen=True)
class Scored:
    """One row beside its estimate, in seconds."""

    row: TimedRow
    estimate: float
    low: float
    high: float

    @property
    def error(self) -> float:
        """Estimated over published, less one."""
        return self.estimate / self.row.seconds - 1

    @property
    def is_within(self) -> bool:
        """Whether the published time lies in the band."""
        return self.low <= self.row.seconds <= self.high


def family_of(model: str) -> str:
    """Return the family of a model by its name.

    Example:
        >>> family_of("timm:gluon_seresnext50_32x4d")
        'resnet'
    """
    name = _PUBLISHERS.sub("", model.rpartition(":")[2])
    letters = re.match(r"[a-z]+", name)
    first = letters[0] if letters else name
    kin = (family for family, names in _KIN.items() if any(first.startswith(n) for n in names))
    return next(kin, first)


def is_family_apart(family: str) -> bool:
    """Return whether a family of models took no part in the fit."""
    return zlib.crc32(family.encode()) % _APART_OF == 0


def load(file: Path = ROWS) -> list[TimedRow]:
    """Return the published steps."""
    with file.open(encoding="utf-8", newline="") as lines:
        return [_row(values) for values in csv.DictReader(lines) if not _is_rebuilt(values)]


def _is_rebuilt(values: dict[str, str]) -> bool:
    """Return whether a row is of another model than its name says."""
    name = values["model"].rpartition(":")[2]
    return name.startswith(_REBUILT) and values["software"].startswith(_REBUILT_SINCE)


def _row(values: dict[str, str]) -> TimedRow:
    publisher = "timm" if values["model"].startswith("timm:") else "lambda"
    stage = Stage(values["stage"])
    return TimedRow(
        id=values["id"],
        model=values["model"],
        gpu=values["gpu"],
        stage=stage,
        config=_config(values, publisher, stage),
        batch_size=int(values["batch_size"]),
        seconds=float(values["step_ms"]) / 1000,
        publisher=publisher,
    )


def _config(values: dict[str, str], publisher: str, stage: Stage) -> TrainingConfig:
    """Return how a row was run: torch 1.12 had no foreach optimizers."""
    options: dict[str, Any] = {"precision": values["precision"], "attention": values["attention"]}
    if values["image_size"]:
        options["image_size"] = int(values["image_size"])
        options["channels_last"] = values["channels_last"] == "True"
    if values["seq_len"]:
        options |= {"seq_len": int(values["seq_len"]), "task": "question-answering"}
    if stage is Stage.FORWARD_ONLY:
        return TrainingConfig(optimizer="none", dropout=False, **options)
    if values["optimizer"] == "adamw fused":
        return TrainingConfig(optimizer="adamw", optimizer_impl="fused", **options)
    impl = "for-loop" if publisher == "timm" else "default"
    return TrainingConfig(optimizer="sgd-momentum", optimizer_impl=impl, **options)


def score(row: TimedRow, folder: Path, shared: Simulations | None = None) -> Scored | None:
    """Estimate a row. None where its model cannot be built or simulated today.

    Args:
        row: The row.
        folder: Where the configuration of a model without a name is written.
        shared: Simulations of the same training, for other cards.
    """
    # NVIDIA's BERT takes less memory than plain PyTorch: whether a row fits is not scored here.
    probe = SimulatedProbe(replace(find_gpu(row.gpu), total_bytes=_ROOMY_BYTES))
    probe.share(shared or Simulations())
    try:
        trial = probe.run_trial(spec_of(row, folder))
    except MemoryMarkError:
        return None
    if trial.step_seconds is None:
        return None
    return Scored(row, trial.step_seconds, trial.step_seconds_low, trial.step_seconds_high)


def score_all(rows: Sequence[TimedRow], folder: Path) -> list[Scored | None]:
    """Estimate rows, those that were trained alike one after the other."""
    alike: dict[tuple[Any, ...], list[TimedRow]] = defaultdict(list)
    for row in rows:
        alike[row.model, row.stage, row.config, row.batch_size].append(row)
    found = {}
    for group in alike.values():
        shared = Simulations()
        found |= {id(row): score(row, folder, shared) for row in group}
    return [found[id(row)] for row in rows]


def spec_of(row: TimedRow, folder: Path) -> TrialSpec:
    """Return what is simulated for a row, and set timm as it was.

    Raises:
        MemoryMarkError: Its model cannot be built any more.
    """
    _set_timm(row)
    workload = resolve(_name_of(row.model, folder))
    return TrialSpec(workload, row.config, row.batch_size, row.stage)


def _set_timm(row: TimedRow) -> None:
    """Let timm build a model as the benchmark did.

    Its inference runs normalized in half precision ("fast norm"): models that are mostly
    normalization are half as fast without it.
    """
    if row.publisher == "timm":
        from timm.layers import set_fast_norm, set_fused_attn

        set_fused_attn(row.config.attention == "sdpa")
        set_fast_norm(row.stage is Stage.FORWARD_ONLY)


def _name_of(model: str, folder: Path) -> str:
    """Return a model's name today: timm has renamed some, and BERT large needs a configuration."""
    if model.startswith("bert-large"):
        from transformers import BertConfig

        BertConfig(**_BERT_LARGE).save_pretrained(folder)
        return f"hf:{folder}"
    if model.startswith("bert "):
        return "bert"
    library, _, name = model.partition(":")
    if library == "timm":
        from timm.models import _registry

        renamed = getattr(_registry, "_deprecated_models", {}).get(name, "").partition(".")[0]
        own = _PUBLISHERS.sub("", name)
        # timm takes all of Instagram's ResNeXt for the narrowest of them.
        name = (
            own if renamed and _WIDTH.findall(renamed) != _WIDTH.findall(own) else renamed or name
        )
    return f"{library}:{name}"


def summary(scored: Sequence[Scored]) -> dict[str, float | int]:
    """Return how far the estimates of some rows are off, as shares."""
    errors = sorted(abs(each.error) for each in scored)
    return {
        "rows": len(errors),
        "median_error": statistics.median(errors),
        "nine_in_ten_within": errors[math.ceil(0.9 * len(errors)) - 1],
        "within_30_percent": sum(error <= 0.3 for error in errors) / len(errors),
        "within_band": sum(each.is_within for each in scored) / len(scored),
        "median_signed_error": statistics.median(each.error for each in scored),
    }


def summaries(scored: Iterable[Scored]) -> dict[str, dict[str, float | int]]:
    """Return the summaries of what was fitted on and what was kept apart, and of parts of it."""
    groups: dict[str, list[Scored]] = defaultdict(list)
    for each in scored:
        if not each.row.is_apart:
            groups["fitted on"].append(each)
            continue
        groups["kept apart"].append(each)
        card_apart = each.row.gpu in CARDS_APART
        groups["kept apart: card" if card_apart else "kept apart: family"].append(each)
        groups[f"kept apart, {each.row.stage}"].append(each)
        groups[f"kept apart, {each.row.gpu}"].append(each)
        groups[f"kept apart, family {each.row.family}"].append(each)
    return {name: summary(groups[name]) for name in sorted(groups)}


def card_order(scored: Iterable[Scored]) -> dict[str, float]:
    """Return, by training, the share of pairs of cards whose order of throughput is right."""
    trainings: dict[str, list[Scored]] = defaultdict(list)
    for each in scored:
        if each.row.publisher == "lambda":
            name = f"{each.row.model}, {'fp16' if each.row.config.precision.is_amp else 'fp32'}"
            trainings[name].append(each)
    return {name: _right_pairs(found) for name, found in trainings.items()}


def _right_pairs(scored: list[Scored]) -> float:
    rates = [
        (each.row.batch_size / each.row.seconds, each.row.batch_size / each.estimate)
        for each in scored
    ]
    pairs = [(a, b) for i, a in enumerate(rates) for b in rates[i + 1 :]]
    return sum((a[0] < b[0]) == (a[1] < b[1]) for a, b in pairs) / max(1, len(pairs))


def size_ratios(scored: Iterable[Scored]) -> dict[str, float | int]:
    """Return how far the ratio of two estimates of one model on one card is off, at two sizes.

    Their errors are alike: what is left in the ratio is what an estimate can tell two runs of one
    model apart by.
    """
    runs: dict[tuple[Any, ...], list[Scored]] = defaultdict(list)
    for each in scored:
        row = each.row
        runs[row.id, row.gpu, row.batch_size].append(each)
    errors = [
        abs(math.log((1 + a.error) / (1 + b.error)))
        for found in runs.values()
        for i, a in enumerate(found)
        for b in found[i + 1 :]
        if a.row.config.image_size != b.row.config.image_size
    ]
    if not errors:
        return {"pairs": 0}
    nine = sorted(errors)[math.ceil(0.9 * len(errors)) - 1]
    return {
        "pairs": len(errors), "median_error": statistics.median(errors), "nine_in_ten_within": nine
    }  # fmt: skip


def main() -> None:
    """Score all rows, or a sample of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, help="score so many rows, chosen at random")
    parser.add_argument("--json", type=Path, help="write the scores here")
    parser.add_argument("--folder", type=Path, default=Path(".bert-large"))
    given = parser.parse_args()
    rows = load()
    if given.sample:
        rows = random.Random(0).sample(rows, given.sample)
    results = score_all(rows, given.folder)
    scored = [each for each in results if each is not None]
    document = {
        "rows": len(rows),
        "not_built": sorted(
            {row.model for row, each in zip(rows, results, strict=True) if each is None}
        ),
        "scores": summaries(scored),
        "card_order": card_order(scored),
        "size_ratios": size_ratios(scored),
    }
    for name, found in document["scores"].items():
        print(
            f"{name:34} {found['rows']:5} rows, median error {found['median_error']:.1%}, nine in "
            f"ten within {found['nine_in_ten_within']:.1%}, in the band {found['within_band']:.1%}"
        )
    print("Order of cards:", document["card_order"])
    print("Ratio of two sizes:", document["size_ratios"])
    print(f"{len(rows) - len(scored)} rows could not be built: {document['not_built']}")
    if given.json:
        given.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
