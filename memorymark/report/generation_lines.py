"""A generation in sentences and figures: what was written, how fast, and what it held."""

from __future__ import annotations

from memorymark.records.generation_run import Ending, GenerationRun
from memorymark.units import UNKNOWN, count, mib_or_gib, percent, rate, seconds

_ENDINGS = {
    Ending.END: "The text came to its end",
    Ending.LENGTH: "The text was ended at the number of new tokens that was asked for",
    Ending.STOPPED: "The text was stopped",
    Ending.OUT_OF_MEMORY: "Out of memory",
    Ending.ANSWERED: "The image was classified",
}


def generation_sentence(run: GenerationRun) -> str:
    """Say in one sentence how it ended and what it held.

    Example:
        >>> from memorymark.records.generation_plan import GenerationPlan
        >>> from memorymark.records.generation_run import WeightsFrom
        >>> from memorymark.records.serving_config import ServingConfig
        >>> from memorymark.records.trial import Source, Target
        >>> cpu = Target("CPU", "cpu", Source.MEASURED, None)
        >>> generation_sentence(GenerationRun(
        ...     "gpt2", ServingConfig(), GenerationPlan(), cpu, WeightsFrom.RANDOM, Ending.END,
        ...     weights_bytes=1, peak_allocated_bytes=2 * 1024**2, predicted_peak_bytes=2 * 1024**2,
        ... ))
        'gpt2 on CPU (measured): The text came to its end; it held 2.0 MiB, 2.0 MiB were predicted.'
    """
    if run.error is not None:
        return f"{_place(run)}: {_ENDINGS[run.stopped_by]}: {run.error}"
    held = ""
    if run.peak_allocated_bytes is not None:
        held = f"; it held {mib_or_gib(run.peak_allocated_bytes)}"
        if run.predicted_peak_bytes is not None:
            held += f", {mib_or_gib(run.predicted_peak_bytes)} were predicted"
    return f"{_place(run)}: {_ENDINGS[run.stopped_by]}{held}."


def generation_figures(run: GenerationRun) -> list[tuple[str, str]]:
    """Return the figures of a run as pairs of name and value."""
    figures = [
        ("load", seconds(run.load_seconds)),
        ("first token" if not run.labels else "answer", seconds(run.first_token_seconds)),
        *blend_figures(run),
        ("prompt", _tokens(run.prompt_tokens)),
        ("prompt tokens/s", rate(run.prefill_tokens_per_second)),
        ("new tokens", count(run.new_tokens)),
        ("new tokens/s after the first", rate(run.decode_tokens_per_second)),
        ("weights", mib_or_gib(run.weights_bytes)),
        ("cache", mib_or_gib(run.cache_bytes)),
        ("peak allocated, measured", mib_or_gib(run.peak_allocated_bytes)),
        ("peak allocated, predicted", mib_or_gib(run.predicted_peak_bytes)),
        ("error of the prediction", error_words(run)),
        ("peak reserved", mib_or_gib(run.peak_reserved_bytes)),
        ("capacity", mib_or_gib(run.target.capacity_bytes)),
    ]
    of_text = ("prompt", "prompt tokens/s", "new tokens", "new tokens/s after the first", "cache")
    return [(name, value) for name, value in figures if not (run.labels and name in of_text)]


def error_words(run: GenerationRun) -> str:
    """Write by how much the prediction was off.

    Where both are the same to the byte, it says so.
    """
    if run.prediction_error is None:
        return UNKNOWN
    if run.prediction_error == 0:
        return "none, to the byte"
    return f"{run.prediction_error:+.2%}".replace("%", " %")


def label_lines(run: GenerationRun) -> list[str]:
    """Write the likeliest classes."""
    return [f"{label.name}: {percent(label.share)}" for label in run.labels]


def generation_notes(run: GenerationRun) -> tuple[str, ...]:
    """Return what to know of a run, one sentence each."""
    return (*run.findings, *run.assumptions)


def generation_lines(run: GenerationRun) -> list[str]:
    """Write a run as lines of text."""
    lines = [generation_sentence(run), *([run.text] if run.text else []), *label_lines(run)]
    lines += [f"{name}: {value}" for name, value in generation_figures(run)]
    return lines + [f"Note: {note}" for note in generation_notes(run)]


def _tokens(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value:,} tokens"


def blend_figures(run: GenerationRun) -> list[tuple[str, str]]:
    """Return what a second model had to do with the text; nothing where there is none."""
    if run.plan.blend is None:
        return []
    name = f"share of {run.plan.blend}"
    figures = [(f"{name}, given", percent(run.plan.blend_share))]
    if run.mean_blend_share is not None:
        ends = " to ".join(percent(end) for end in (min(run.blend_shares), max(run.blend_shares)))
        figures.append((f"{name} in the tokens", f"{percent(run.mean_blend_share)} ({ends})"))
    return figures


def _place(run: GenerationRun) -> str:
    if run.plan.blend is not None:
        share = percent(run.plan.blend_share)
        blended = f"{run.model} blended with {share} of {run.plan.blend}"
        return f"{blended} on {run.target.name} ({run.target.source})"
    return f"{run.model} on {run.target.name} ({run.target.source})"
