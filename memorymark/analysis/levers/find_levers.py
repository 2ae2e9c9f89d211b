"""All levers of one training on one card: tried alone and together, ranked, put to use."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from memorymark.analysis.levers.combined_levers import INSTEAD, Combined, possible
from memorymark.analysis.levers.make_it_fit import MakeItFit
from memorymark.analysis.levers.ranking import (
    Pulled,
    gain,
    is_worth_naming,
    ranked,
    with_efficient,
)
from memorymark.analysis.levers.side_by_side import Outcome, SideBySide
from memorymark.analysis.levers.smallest_card import SmallestCards, smallest_cards
from memorymark.analysis.levers.trying import Attempts, Tried
from memorymark.analysis.reporter import Reporter
from memorymark.errors import WorkloadError
from memorymark.gpus.catalogue import Gpu
from memorymark.probes.probe import Probe
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.event import CancelToken, EventKind, OnEvent, ignore
from memorymark.records.lever import Lever, LeverReport, MissingLever
from memorymark.records.trial import Trial
from memorymark.units import percent
from memorymark.workloads.trial_spec import TrialSpec

if TYPE_CHECKING:
    from memorymark.workloads.base import Workload

AS_IT_IS = "As it is"
_EXPECTED_TRIALS = 30
_SAME_TIME = 0.0005


def find_levers(
    probe: Probe,
    workload: Workload,
    config: TrainingConfig,
    options: AnalysisOptions | None = None,
    *,
    gpu: Gpu | None = None,
    cards: Iterable[tuple[Gpu, Probe]] = (),
    on_event: OnEvent = ignore,
    cancel: CancelToken | None = None,
    processes: int = 1,
) -> LeverReport:
    """Try what would make room for a training, and rank it.

    Args:
        probe: Simulates the card.
        workload: What is trained.
        config: How it is trained now.
        options: The current batch, the search and the costs.
        gpu: The catalogue's row of the card, where it has one.
        cards: Cards among which the smallest is looked for, with the probe of each.
        on_event: Called with each event.
        cancel: Checked before each simulation.
        processes: How many processes may try levers at a time: forked children of this one.

    Raises:
        Cancelled: Somebody has cancelled.
        MemoryMarkError: The training cannot be simulated as it is.
    """
    started, created_at = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    reporter = Reporter(on_event, cancel or CancelToken(), _EXPECTED_TRIALS)
    options, described = options or AnalysisOptions(), workload.describe(config)
    attempts = Attempts(probe, workload, described, options, reporter, gpu)
    reporter.enter("before", f"Simulating batch {attempts.batch_size} as it is")
    before = attempts.try_changes({})
    if isinstance(before, str):
        raise WorkloadError(before)
    attempts.least = not before.fits
    work = _Work(attempts, reporter, before)
    pulled = work.pull(possible(described, attempts.batch_size), processes)
    fitting = work.make_it_fit()
    found = work.smallest({gpu.key: (gpu, card) for gpu, card in cards})
    first, levers = with_efficient(work.before, [each.lever for each in ranked(before, pulled)])
    taken = {lever.name for lever in levers}
    reporter.tell(EventKind.NOTE, f"Done after {reporter.trials} trials", progress=1.0)
    return LeverReport(
        workload=workload.name,
        config=described,
        target=probe.target,
        options=options,
        before=first,
        levers=levers,
        unavailable=tuple(each for each in work.missing if each.name not in taken),
        make_it_fit=fitting,
        make_it_fit_ended=work.was_ended,
        smallest_card=found.smallest,
        cheapest_card=found.cheapest,
        cards=found.tried,
        findings=tuple(work.findings),
        elapsed_seconds=time.perf_counter() - started,
        run_id=secrets.token_hex(4),
        created_at=created_at,
        software=dict(before.trial.software),
    )


class _Work:
    """The levers of one training while they are tried."""

    def __init__(self, attempts: Attempts, reporter: Reporter, before: Tried) -> None:
        self._attempts, self._reporter, self._tried = attempts, reporter, before
        self._alone: dict[str, Tried] = {}
        self._refused: set[str] = set()
        self.before = attempts.lever(AS_IT_IS, before, None)
        self.missing: list[MissingLever] = []
        self.findings: list[str] = []
        self.was_ended = False

    def pull(self, levers: Sequence[Combined], processes: int) -> list[Pulled]:
        """Try levers; note those that cannot be tried, and those that gain nothing."""
        self._reporter.enter("levers", "Trying what would make room")
        with SideBySide(self._attempts, levers, self._try_lever, processes) as tries:
            alone = list(self._each(tries, [x for x in levers if len(x.levers) == 1]))
            together = [x for x in levers if len(x.levers) > 1 and not self._is_left_out(x)]
            return [*alone, *self._each(tries, together)]

    def _each(self, tries: SideBySide, levers: Sequence[Combined]) -> Iterator[Pulled]:
        """Yield the levers that gain anything."""
        for combined, (tried, lever) in zip(levers, tries.outcomes(levers), strict=True):
            key = combined.levers[0].key if len(combined.levers) == 1 else None
            if isinstance(tried, str):
                self._refused |= {key} if key else set()
                self._miss(combined, tried)
                continue
            if key is not None:
                self._alone[key] = tried
            if found := self._pulled(combined, tried, lever):
                yield found

    def _is_left_out(self, combined: Combined) -> bool:
        """Whether a combination has a lever that was refused, or one with a better in its place."""
        keys = {lever.key for lever in combined.levers}
        better = {INSTEAD[key] for key in keys & INSTEAD.keys()}
        return bool(keys & self._refused or better - self._refused)

    def _try_lever(self, attempts: Attempts, combined: Combined) -> Outcome:
        tried = attempts.try_changes(combined.changes)
        if isinstance(tried, str) or self._changes_nothing(tried):
            return Outcome(tried, None)
        lever = attempts.lever(combined.name, tried, self._tried, combined.notes)
        return Outcome(tried, lever)

    def make_it_fit(self) -> tuple[Lever, ...]:
        """Return the cheapest set of levers that makes the batch fit, step by step."""
        if self._tried.fits:
            return ()
        self._reporter.enter("make-it-fit", "Looking for the cheapest levers that make it fit")
        search = MakeItFit(self._attempts, self._tried, self._alone)
        found = search.cheapest()
        steps = () if found is None else (self.before, *search.steps(found))
        self.findings += search.findings
        self.was_ended = search.was_ended
        if found is None and not search.was_ended:
            self.findings.append(
                "No set of these levers makes the batch fit on this card: take a smaller batch, a "
                "smaller model or a card with more memory."
            )
        return steps

    def smallest(self, cards: dict[str, tuple[Gpu, Probe]]) -> SmallestCards:
        """Find the smallest card on which the training fits as it is."""
        attempts = self._attempts
        if cards:
            self._reporter.enter("cards", "Looking for the smallest card that fits")

        def run(gpu: Gpu) -> Trial:
            self._reporter.cancel.check()
            spec = TrialSpec(attempts.workload, attempts.config, attempts.batch_size)
            return cards[gpu.key][1].run_trial(spec)

        gpus = [gpu for gpu, _ in cards.values()]
        return smallest_cards(gpus, run, attempts.config, attempts.options.plan)

    def _pulled(self, combined: Combined, tried: Tried, lever: Lever | None) -> Pulled | None:
        """Return a lever with its record; None where it gains nothing."""
        if lever is None:
            self._miss(combined, "It changes nothing here.")
            return None
        pulled = Pulled(combined, tried, lever)
        if is_worth_naming(self._tried, pulled, self.before.max_batch_size):
            return pulled
        changed = gain(self._tried, tried)
        memory, speed = changed.memory, changed.time
        reason = f"It gains nothing here: {_change(memory)} memory, {_change(speed)} time."
        self._miss(combined, reason)
        return None

    def _changes_nothing(self, tried: Tried) -> bool:
        return not gain(self._tried, tried).is_any and self._is_the_same(tried)

    def _is_the_same(self, tried: Tried) -> bool:
        now, then = tried.trial, self._tried.trial
        is_as_fast = abs(gain(self._tried, tried).time) < _SAME_TIME
        return is_as_fast and (now.fits, now.memory_bytes, tried.batch_size) == (
            then.fits, then.memory_bytes, self._tried.batch_size,
        )  # fmt: skip

    def _miss(self, combined: Combined, reason: str) -> None:
        """Note why a lever is not taken, once for all that have its name."""
        if any(missing.name == combined.name for missing in self.missing):
            return
        self.missing.append(MissingLever(combined.name, dict(combined.changes), reason))


def _change(gained: float) -> str:
    """Write what a share gained does to its figure, as in "+3.0 %"."""
    if abs(gained) < _SAME_TIME:
        return "the same"
    return f"{'-' if gained > 0 else '+'}{percent(abs(gained))}"
