"""What version 0.1.0 printed, byte for byte, from the same commands today.

Times, ids and versions differ from run to run and are left out. Under another torch or
transformers than the kept records name, memory may differ, and keys and types are compared.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import re
import shlex
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import clock_of_0_1_0
import pytest
from since_0_1_0 import (
    with_added,
    without_advice,
    without_forward_parts,
    without_ignored_lengths,
    without_optimal,
    without_search,
    without_time_said,
    without_workspaces,
)
from torch import Tensor

from memorymark.cli import main
from memorymark.gpus import catalogue
from memorymark.training.step import TrainingStep

KEPT = Path(__file__).parent / "kept"
RECORDS = json.loads(gzip.decompress((KEPT / "records-0.1.0.json.gz").read_bytes()))

# The last one was added later, and is held by tests/memory/test_holder_groups.py.
_ALWAYS = {"elapsed_seconds", "created_at", "run_id", "software", "holder_groups"}
_MEASURED = {
    "step_seconds", "first_step_seconds", "samples_per_second", "current_samples_per_second",
    "optimal_samples_per_second", "max_samples_per_second", "speedup", "compile_seconds",
    "break_even_steps", "reasons", "verdict", "costs",
}  # fmt: skip


# Sentences that were reworded since: the old one as a pattern, the new one.
REWORDED = {
    r"([\d.,]+ MiB) asked for with": r"tried to allocate \1 with",
    r", and ([\d.,]+ GiB) are there": r", capacity \1",
    r"Batch (\d+) is the largest that may be tried .*?, not what the memory holds\.": (
        r"The search ended at batch \1, the limit that was set (dataset size or --max-batch-size), "
        r"not at the memory's: larger batches may fit."
    ),
    r"cuDNN's workspaces are an allowance by rule, not known\.": (
        "cuDNN workspaces are an estimate by rule: the reserved peak is a range, and the step "
        "fits where it does without those that are optional."
    ),
    r"its seconds are taken at the rate of fp32": "its step time is estimated at the fp32 rate",
    r"Seconds are an estimate from": "Step time is an estimate from",
    r"The backward pass holds (\S+) times what forward only holds, (\w+) the usual 2.0 to 3.0: "
    r"(.*?), or the forward pass alone holds much": (
        r"Forward and backward need \1 times the memory of forward alone, \2 the typical 2 to 3: "
        r"\3, or the forward-only peak is itself high"
    ),
}  # fmt: skip


# Searches that take other trials than version 0.1.0's, since a quick look shortens them and the
# knee is looked for between trials: those that both have, current and max among them.
SEARCHED = {
    "analyze-bert": {16, 1432, 1440, 1448, 1536, 1544},
    "analyze-simulated": {8, 16, 64},
    "analyze-budget": {8, 16, 26, 32, 43, 86, 87, 89, 93, 101, 109, 113, 115, 116, 117},
}

# Whether the optimal batch is exact on the grid, which that version did not ask.
EXACT = {"analyze-bert", "analyze-simulated", "analyze-budget", "analyze-cpu"}

# Where the optimal batch was the best of those that happened to be tried: what it was, what it is.
OPTIMAL = {"analyze-bert": (1432, 824), "analyze-budget": (32, 41)}


def letting_the_loss_go(backward: Callable[[TrainingStep, Tensor], None]) -> Any:
    """Let the loss go after the backward pass, as version 0.1.0 did: a loop keeps it for longer."""

    def backward_of_0_1_0(step: TrainingStep, loss: Tensor) -> None:
        backward(step, loss)
        step.loss = None

    return backward_of_0_1_0


@pytest.fixture
def prices_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalogue with the prices that version 0.1.0 knew: newer ones change dollars only."""
    rows = json.loads(RECORDS["compare-tiny"]["stdout"])["gpus"]
    names = ("usd_per_hour", "price_source", "price_observed_at")
    known = {row["gpu"]: {name: row[name] for name in names} for row in rows}
    today = catalogue._rows()
    then = tuple(dataclasses.replace(gpu, **known.get(gpu.key, {})) for gpu in today)
    monkeypatch.setattr(catalogue, "_rows", lambda: then)


def reworded(text: str) -> str:
    for old, new in REWORDED.items():
        text = re.sub(old, new, text)
    return text


def without_times(value: Any, source: str) -> Any:
    """Leave out what no two runs share."""
    if isinstance(value, list):
        return [without_times(item, source) for item in value]
    if not isinstance(value, dict):
        return value
    source = value.get("source", source)
    hidden = _ALWAYS | (_MEASURED if source == "measured" else set())
    return {
        key: "left out" if key in hidden else without_times(item, source)
        for key, item in value.items()
    }


def shape(value: Any) -> Any:
    """Return the keys and types of a document; numbers and null are alike, lists are not read."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    number = value is None or isinstance(value, int | float)
    return "number or null" if number else type(value).__name__


def software_of(value: Any) -> dict[str, str]:
    if isinstance(value, dict) and "software" in value:
        return value["software"]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next(filter(None, map(software_of, items)), {})


def is_installed(software: dict[str, str]) -> bool:
    packages = ("torch", "transformers", "torchvision")
    kept = {name: software[name].partition("+")[0] for name in packages if name in software}
    return all(metadata.version(name).partition("+")[0] == text for name, text in kept.items())


def test_every_kind_of_document_is_kept() -> None:
    kinds = {record["command"].split(" kept_model")[0].split()[0] for record in RECORDS.values()}
    assert kinds == {"analyze", "estimate", "measure", "validate", "compare"}
    assert all(len(record["stdout"]) > 2000 for record in RECORDS.values())


@pytest.mark.usefixtures("prices_then")
@pytest.mark.parametrize("name", RECORDS)
def test_json_is_what_it_was(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(KEPT)
    monkeypatch.setenv("MEMORYMARK_HOME", str(tmp_path))
    monkeypatch.setattr(TrainingStep, "_backward", letting_the_loss_go(TrainingStep._backward))
    clock_of_0_1_0.set_back(monkeypatch)
    kept = RECORDS[name]
    code = main([*shlex.split(kept["command"]), "--json"])
    printed, said = capsys.readouterr()
    assert code == (1 if name == "analyze-nothing-fits" else 0), said
    then, now = (
        with_added(json.loads(reworded(kept["stdout"])), use_cache="auto"),
        json.loads(printed),
    )
    if "kept_model:" in kept["command"]:
        then = without_ignored_lengths(then)
    if is_installed(software_of(then)):
        then, now = (
            without_time_said(
                without_forward_parts(without_workspaces(without_times(document, "simulated")))
            )
            for document in (then, now)
        )
        then, now = without_advice(then), without_advice(now)
        if name in EXACT:
            then["optimal_is_exact"] = True
        if name in OPTIMAL:
            assert (then["optimal_batch_size"], now["optimal_batch_size"]) == OPTIMAL[name]
            then, now = without_optimal(then), without_optimal(now)
        if name in SEARCHED:
            then, now = (without_search(each, SEARCHED[name]) for each in (then, now))
        assert json.dumps(now, indent=2) == json.dumps(then, indent=2)
    else:
        assert shape(now) == shape(then)
