"""Levers in sentences: what gains most, what makes it fit, and the smallest card."""

from __future__ import annotations

from memorymark.records.lever import Card, Lever, LeverReport
from memorymark.records.request import Request
from memorymark.report.setting_words import budget_words
from memorymark.report.settings_phrase import join_settings, target_phrase, training_phrase
from memorymark.units import count, gib, likely_rate, likely_usd, mib_or_gib, percent, rate, usd


def levers_sentence(report: LeverReport) -> str:
    """Say whether the training fits as it is, and what gains most."""
    before, batch = report.before, count(report.batch_size)
    where = f"{report.workload} at batch size {batch} on {target_phrase(report.target)}"
    if not before.fits:
        return f"{where} does not fit. {_fitting_sentence(report)}"
    best = next(iter(report.levers), None)
    needs = f"{where} takes {mib_or_gib(before.memory_bytes)}."
    if best is None:
        return f"{needs} No change of the list saves memory or money."
    return f"{needs} Best: {best.name}{_gains(report, best)}."


def levers_phrase(report: LeverReport, asked: Request | None = None) -> str:
    """Name what the levers are of."""
    budget = report.target.budget_bytes if asked is None else asked.memory_budget
    return join_settings(
        [
            report.workload,
            target_phrase(report.target),
            f"batch size {count(report.batch_size)}",
            training_phrase(report.config, asked),
            budget_words(budget),
        ]
    )


def cards_sentence(report: LeverReport) -> str | None:
    """Name the smallest card on which the training fits as it is; None where none was looked for.

    The smallest by memory, and the cheapest by the hour where that is another one.
    """
    smallest, cheapest = report.smallest_card, report.cheapest_card
    batch = count(report.batch_size)
    if not report.cards:
        return None
    if smallest is None:
        return f"No card of the catalogue holds batch size {batch} of this training as it is."
    said = f"Smallest card that fits batch size {batch} as it is: {_card(smallest)}"
    if cheapest is not None and cheapest.gpu != smallest.gpu:
        return f"{said}; cheapest: {_card(cheapest)}."
    return f"{said}{', also the cheapest' if cheapest is not None else ''}."


def lever_lines(report: LeverReport, asked: Request | None = None) -> list[str]:
    """Write levers as lines of text."""
    lines = [levers_sentence(report), levers_phrase(report, asked), ""]
    lines += [_line(lever) for lever in report.levers]
    lines += [f"Make it fit: {_line(step)}" for step in report.make_it_fit]
    cards = cards_sentence(report)
    lines += [cards] if cards else []
    return [*lines, *(f"Note: {finding}" for finding in report.findings)]


def fits_words(lever: Lever | Card) -> str:
    """Say whether it fits."""
    return {True: "yes", False: "no", None: "not tried"}[lever.fits]


def cost_words(lever: Lever | Card) -> str:
    """Write what a million samples cost, and between which dollars that is likely to lie."""
    cost, band = lever.cost_per_million_samples, lever.cost_band
    return f"{usd(cost)} per million samples{likely_usd(band)}"


def _fitting_sentence(report: LeverReport) -> str:
    if not report.make_it_fit:
        return "No set of the levers makes it fit."
    names = [step.name for step in report.make_it_fit[1:]]
    last = report.make_it_fit[-1]
    way = "Cheapest way found" if report.make_it_fit_ended else "Cheapest way"
    price = f", {cost_words(last)}" if last.cost_per_million_samples is not None else ""
    return (
        f"{way} to make it fit: {', '.join(names)}: {mib_or_gib(last.memory_bytes)}, "
        f"{rate(last.samples_per_second)} samples/s{likely_rate(last.speed_band)}{price}."
    )


def _gains(report: LeverReport, best: Lever) -> str:
    before, said = report.before, []
    if best.saved_bytes and before.memory_bytes:
        share = best.saved_bytes / before.memory_bytes
        said.append(f"{percent(abs(share))} {'less' if share > 0 else 'more'} memory")
    if best.samples_per_second and before.samples_per_second:
        said.append(f"{best.samples_per_second / before.samples_per_second:.2f} times as fast")
    return f", {' and '.join(said)}" if said else ""


def _card(card: Card) -> str:
    price = "" if card.usd_per_hour is None else f", {usd(card.usd_per_hour)} per hour"
    speed = card.samples_per_second
    pace = "" if speed is None else f", {rate(speed)} samples/s{likely_rate(card.speed_band)}"
    return f"{card.name} ({gib(card.total_bytes)}{price}){pace}"


def _line(lever: Lever) -> str:
    parts = [
        f"{mib_or_gib(lever.memory_bytes)}" + ("" if lever.fits else ", does not fit"),
        f"saves {mib_or_gib(lever.saved_bytes)}" if (lever.saved_bytes or 0) > 0 else "",
        f"largest batch {count(lever.max_batch_size)}",
        f"{rate(lever.samples_per_second)} samples/s{likely_rate(lever.speed_band)}",
        cost_words(lever),
    ]
    return f"{lever.name}: {', '.join(filter(None, parts))}. {lever.notes}".rstrip()
