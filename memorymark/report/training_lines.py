"""A training in words: the answer, its figures, its budgets, what it would take elsewhere."""

from __future__ import annotations

from memorymark import units
from memorymark.records.session_run import Verdict
from memorymark.records.training_comparison import TrainingComparison
from memorymark.records.training_run import Forecast, StoppedBy, TrainingRun

_ENDED = {
    StoppedBy.LENGTH: "to its end",
    StoppedBy.TIME_BUDGET: "until its time was used up",
    StoppedBy.EARLY: "until the evaluation's loss fell no more",
    StoppedBy.USER: "until it was stopped",
    StoppedBy.NOT_FINITE: "until the loss was no number",
    StoppedBy.OUT_OF_MEMORY: "until memory ran out",
    StoppedBy.DISK: "until the disk took no more",
}
_MOST_ROWS = 30


def training_sentence(run: TrainingRun) -> str:
    """Say what a training came to, in one sentence."""
    what = (
        f"{run.model} was trained on {run.target.name} for {_steps(run)}, {_ENDED[run.stopped_by]}"
    )
    if run.eval_loss is not None:
        return f"{what}: evaluation loss {run.eval_loss:.4f}, measured."
    if run.train_loss is not None:
        return f"{what}: training loss {run.train_loss:.4f}, measured."
    return f"{what}."


def training_figures(run: TrainingRun) -> list[tuple[str, str]]:
    """Return the names and values of what was read; what is not known is left out."""
    rate = run.per_second
    unit = "samples" if run.tokens is None else "tokens"
    batch = (
        f"{run.batch_size:,} × {run.config.gradient_accumulation:,} = {run.effective_batch_size:,}"
    )
    found = [
        ("parameters trained", f"{run.trainable_parameters:,} of {run.parameters:,}"),
        ("batch × accumulation = effective", batch),
        ("steps", _of(run.steps, run.total_steps)),
        ("tokens", _known(run.tokens)),
        ("samples", _known(run.samples)),
        ("training time", units.seconds(run.seconds)),
        ("time of all", units.seconds(run.elapsed_seconds)),
        (f"{unit} a second", None if rate is None else f"{rate:,.0f}"),
        ("training loss", _loss(run.train_loss)),
        ("evaluation loss", _loss(run.eval_loss)),
        ("best evaluation loss", _best(run)),
        ("perplexity a token", _number(run.perplexity)),
        ("perplexity a byte", _number(run.perplexity_per_byte)),
        ("peak memory, measured", units.mib_or_gib(run.peak_memory_bytes)),
        ("peak memory, predicted", units.mib_or_gib(run.predicted_peak_bytes)),
        ("memory budget", units.mib_or_gib(run.memory_budget_bytes)),
        ("checkpoints", run.checkpoint),
        ("model", run.model_folder),
    ]
    return [(name, value) for name, value in found if value not in (None, units.UNKNOWN)]


def verdict_lines(run: TrainingRun) -> list[str]:
    """Say for each budget whether it was kept."""
    return [
        f"{name.capitalize()}: {kept.verdict}. {kept.reason}"
        for name, kept in run.verdicts.items()
        if kept.verdict is not Verdict.NOT_PROVEN
    ]


def forecast_rows(run: TrainingRun) -> list[list[str]]:
    """Return a row for each GPU: what fits, the cheapest first."""
    ordered = sorted(run.forecasts, key=_by_cost)
    return [
        [
            each.gpu,
            {True: "yes", False: "no", None: units.UNKNOWN}[each.fits],
            units.mib_or_gib(each.peak_reserved_bytes),
            _time(each),
            units.usd(each.usd),
        ]
        for each in ordered[:_MOST_ROWS]
    ]


def training_notes(run: TrainingRun) -> tuple[str, ...]:
    """Return what to know of the result, a sentence each."""
    return (*run.findings, *run.assumptions)


def comparison_sentence(found: TrainingComparison) -> str:
    """Say which of the trainings came to the smaller loss on the same data."""
    known = [run for run in found.runs if run.eval_loss is not None]
    if len(known) < 2:
        return f"{found.model} were trained on {found.target.name}."
    best, *others = sorted(known, key=lambda run: run.eval_loss)
    losses = ", ".join(f"{run.model} to {run.eval_loss:.4f}" for run in others)
    return (
        f"On the same data {best.model} came to the smaller evaluation loss: {best.eval_loss:.4f}, "
        f"{losses}; measured on {found.target.name}."
    )


def comparison_rows(found: TrainingComparison) -> list[list[str]]:
    """Return a row for each reading, with a cell for each training."""
    columns = [dict(training_figures(run)) for run in found.runs]
    for column, usd in zip(columns, found.costs_usd, strict=True):
        if usd is not None:
            column["cost of the steps"] = units.usd(usd)
    names = dict.fromkeys(name for column in columns for name in column)
    return [[name, *(column.get(name, units.UNKNOWN) for column in columns)] for name in names]


def training_lines(run: TrainingRun) -> list[str]:
    """Return a training as lines of text."""
    figures = [f"{name}: {value}" for name, value in training_figures(run)]
    return [training_sentence(run), *figures, *verdict_lines(run), *training_notes(run)]


def _time(forecast: Forecast) -> str:
    if forecast.seconds is None:
        return units.UNKNOWN
    band = units.likely_seconds(forecast.seconds_low, forecast.seconds_high)
    return f"{units.seconds(forecast.seconds)}{band}"


def _by_cost(forecast: Forecast) -> tuple[bool, bool, float, str]:
    usd = forecast.usd
    return not forecast.fits, usd is None, usd or 0.0, forecast.gpu


def _steps(run: TrainingRun) -> str:
    return f"{run.steps:,} step{'' if run.steps == 1 else 's'}"


def _of(done: int, total: int | None) -> str:
    return f"{done:,}" if total is None else f"{done:,} of {total:,}"


def _known(value: int | None) -> str | None:
    return None if value is None else f"{value:,}"


def _loss(value: float | None) -> str | None:
    return None if value is None else f"{value:.4f}"


def _best(run: TrainingRun) -> str | None:
    if run.best_eval_loss is None:
        return None
    return f"{run.best_eval_loss:.4f} after step {run.best_step:,}"


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:,.3f}"
