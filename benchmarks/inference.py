"""Scores simulated inference against published figures.

    python benchmarks/inference.py [--rows FILE] [--configs FOLDER] [--only TEXT] [--json FILE]

Each row of ground_truth/inference.csv that can be expressed is simulated as it was run, by what
`memorymark sessions` runs: one session that reads its prompt and generates, with the version of
transformers that was measured (`--transformers`), one pass of an encoder (a simulated trial),
copies between host and device (the catalogue). Rows that say all of their settings are strict;
where a setting is the script's default, or is not printed, the row is inferred: the two are scored
apart. So are models of other families than the constants of the estimate of time were chosen on.
For every other row the reason is counted.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from encoders import encoded
from inference_models import find_workload
from inference_rows import COPIES, ROWS, SECONDS, Figure, load

from memorymark.bounds import Bounds, working_within
from memorymark.errors import MemoryMarkError
from memorymark.probes.simulated import SimulatedProbe
from memorymark.records.config import Task
from memorymark.records.serving_config import CacheKind, ServingConfig
from memorymark.records.session_run import Act, SessionPlan, SessionRun
from memorymark.workloads.serving_spec import ServingSpec

_TIMES = 40.0  # as often as one's own work the bounds of a simulation are set
_WITHIN = 0.03


@dataclass(frozen=True)
class Scored:
    """One figure beside its simulation, in the same unit.

    Attributes:
        figure: The row.
        found: The simulated figure.
        low: The least that is likely; None where it has no band.
        high: The most.
    """

    figure: Figure
    found: float
    low: float | None = None
    high: float | None = None

    @property
    def error(self) -> float:
        """Simulated over published, less one."""
        return self.found / self.figure.published - 1

    @property
    def is_within(self) -> bool:
        """Whether the published figure lies in the band; without one, whether it is near."""
        if self.low is None or self.high is None:
            return abs(self.error) <= _WITHIN
        return self.low <= self.figure.published <= self.high


def score(figure: Figure, configs: Path | None = None) -> Scored | str:
    """Return a row with its score, or why it has none."""
    why = figure.why_not()
    if why is not None:
        return why
    try:
        return _copied(figure) if figure.metric in COPIES else _simulated(figure, configs)
    except MemoryMarkError as error:
        return f"{type(error).__name__}: {error}".partition(" (")[0][:120]


def _copied(figure: Figure) -> Scored | str:
    gpu = figure.gpu
    if gpu is None:
        return "the card is not in the catalogue"
    to_device = figure.metric == COPIES[0]
    rate = gpu.host_to_device_bytes_per_second
    if not to_device:
        rate = gpu.device_to_host_bytes_per_second
    if rate is None:
        return "the catalogue does not know the card's link to the host"
    return Scored(figure, *(each / 1e9 for each in rate))


def _simulated(figure: Figure, configs: Path | None) -> Scored | str:
    workload = find_workload(figure.values["model"], configs)
    if workload is None:
        return "the model's configuration is not known here"
    if figure.is_encoding:
        return _of_trial(figure, encoded(figure, workload))
    return _of_generation(figure, _generated(_Setting.of(figure), configs))


@dataclass(frozen=True)
class _Setting:
    """What rows have in common that are one simulation."""

    figure: Figure
    key: tuple[object, ...]

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Setting) and self.key == other.key

    @classmethod
    def of(cls, figure: Figure) -> _Setting:
        same = (
            "model",
            "dtype",
            "quantization",
            "batch_size",
            "prompt_tokens",
            "new_tokens",
            "cache",
            "gpu",
        )
        values = tuple(figure.values[name] for name in same)
        versions = figure.transformers_version, figure.is_compiled
        told = figure.attention, *versions, figure.prompt_tokens
        return cls(figure, (*values, *told))


@lru_cache(maxsize=8)
def _generated(setting: _Setting, configs: Path | None) -> SessionRun:
    figure = setting.figure
    workload = find_workload(figure.values["model"], configs)
    prompt, new = figure.prompt_tokens or 1, max(figure.new_tokens or 1, 1)
    if figure.values["task"].startswith("prefill"):
        new = 1
    room = figure.cache_tokens if figure.cache is CacheKind.STATIC else None
    config = ServingConfig(
        weights=figure.weights,
        batch_size=figure.batch_size,
        context_tokens=max(room or 0, prompt + new),
        output_tokens=new,
        attention=figure.attention,
        cache=figure.cache,
        compiled=figure.is_compiled,
        expandable_segments=False,  # nobody who published set up the allocator
        task=_task_of(workload),
        transformers_version=figure.transformers_version,
    )
    spec = ServingSpec(workload, config, SessionPlan(sessions=1, turns=1))
    with working_within(Bounds().multiplied(_TIMES), lambda: None):
        return SimulatedProbe(figure.simulated_gpu).run_sessions(spec)


def _task_of(workload: object) -> Task | None:
    """Return the task in which a model generates, where its configuration names no class."""
    config = getattr(workload, "_hf_config", None)
    if getattr(config, "is_encoder_decoder", False):
        return None
    return Task.CAUSAL_LM


def _of_generation(figure: Figure, run: SessionRun) -> Scored | str:
    if run.error is not None:
        return "it does not fit as simulated"
    prompt, *decoded = run.timeline
    assert prompt.act is Act.PREFILL
    if figure.metric == "peak_allocated":
        only = "phase prefill" in figure.values["notes"]
        return Scored(figure, prompt.peak_bytes if only else run.peak_allocated_bytes)
    if figure.metric == "peak_reserved":
        return Scored(figure, run.peak_reserved_bytes)
    if figure.metric == "nvidia_smi_used":
        return Scored(figure, run.peak_reserved_bytes + figure.context_bytes)
    if figure.metric == "first_token_seconds":
        return _timed(figure, run, prompt.seconds)
    if not decoded:
        return "one token alone has no rate"
    timed = run.timeline if figure.counts_prefill else decoded
    return _timed(figure, run, sum(each.seconds for each in timed), len(timed))


def _timed(figure: Figure, run: SessionRun, seconds: float, tokens: int = 0) -> Scored:
    """Return the score of seconds, or of the rate of so many tokens in them."""
    low, high = run.band(seconds)
    if not tokens:
        return Scored(figure, seconds, low, high)
    made = figure.batch_size * tokens
    return Scored(figure, made / seconds, made / high, made / low)


def _of_trial(figure: Figure, trial: object) -> Scored | str:
    """Return the score of an encoder's pass."""
    if figure.metric in SECONDS:
        seconds = (trial.step_seconds, trial.step_seconds_low, trial.step_seconds_high)
        return Scored(figure, *seconds) if trial.step_seconds else "no seconds are estimated"
    readings = {
        "peak_allocated": trial.peak_allocated_bytes,
        "peak_reserved": trial.peak_reserved_bytes,
        "nvidia_smi_used": trial.process_bytes,
    }
    found = readings.get(figure.metric)
    return Scored(figure, found) if found else "it does not fit"


def summary(scored: Sequence[Scored]) -> dict[str, float | int]:
    """Return how far the simulations of some rows are off, as shares."""
    errors = sorted(abs(each.error) for each in scored)
    return {
        "rows": len(errors),
        "median_error": statistics.median(errors),
        "nine_in_ten_within": errors[math.ceil(0.9 * len(errors)) - 1],
        "within_band": sum(each.is_within for each in scored) / len(scored),
        "median_signed_error": statistics.median(each.error for each in scored),
    }


def groups_of(each: Scored) -> list[tuple[str, ...]]:
    """Return the groups that a score counts in, the widest first."""
    figure = each.figure
    sure = "strict" if figure.is_strict else "inferred"
    if figure.weights is not None and figure.weights.is_quantized:
        sure += f", {figure.weights}"
    sure += ", other code" if figure.is_other_code else ""
    groups = [(sure, figure.metric)]
    if figure.metric in SECONDS:
        apart = "kept apart" if figure.is_apart else "fitted on"
        groups.append((sure, figure.metric, apart))
    groups.append((sure, figure.metric, figure.family, figure.values["gpu"]))
    return groups


def summaries(scored: Iterable[Scored]) -> dict[str, dict[str, float | int]]:
    """Return the summaries of all groups of some scores."""
    groups: dict[tuple[str, ...], list[Scored]] = defaultdict(list)
    for each in scored:
        for group in groups_of(each):
            groups[group].append(each)
    return {", ".join(name): summary(groups[name]) for name in sorted(groups)}


def score_all(figures: Iterable[Figure], configs: Path | None) -> list[Scored | str]:
    """Score rows, those that are one simulation one after the other."""
    figures = list(figures)
    order = sorted(range(len(figures)), key=lambda n: str(_Setting.of(figures[n]).key))
    found: dict[int, Scored | str] = {n: score(figures[n], configs) for n in order}
    return [found[n] for n in range(len(figures))]


def main() -> None:
    """Score all rows, or those of a source or a model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=Path, default=ROWS, help="the published figures")
    parser.add_argument("--configs", type=Path, help="more configurations, one to a file")
    parser.add_argument("--only", default="", help="rows whose source or model has this text")
    parser.add_argument("--strict", action="store_true", help="rows alone that infer nothing")
    parser.add_argument(
        "--installed", action="store_true",
        help="score with the installed transformers, whatever the version that was measured",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, help="write the scores here")
    given = parser.parse_args()
    figures = [
        dataclasses.replace(each, is_installed=given.installed)
        for each in load(given.rows)
        if (each.is_strict or not given.strict)
        and given.only.lower() in f"{each.values['source']} {each.values['model']}".lower()
    ]
    results = score_all(figures, given.configs)
    scored = [each for each in results if isinstance(each, Scored)]
    document = {
        "rows": len(figures),
        "scores": summaries(scored),
        "left_out": dict(Counter(each for each in results if isinstance(each, str)).most_common()),
    }
    for name, found in document["scores"].items():
        print(
            f"{name:74} {found['rows']:4} rows, median {found['median_error']:6.1%} "
            f"({found['median_signed_error']:+.1%}), nine in ten within "
            f"{found['nine_in_ten_within']:6.1%}, in the band {found['within_band']:.0%}"
        )
    print(f"{len(scored)} of {len(figures)} rows are scored; of the others:")
    for why, count in document["left_out"].items():
        print(f"{count:5} {why}")
    if given.json:
        given.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
