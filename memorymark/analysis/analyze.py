"""The analysis: searches the max batch size, then measures throughput below it."""

from __future__ import annotations

import dataclasses
import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from memorymark.analysis.accumulation import with_effective_batch
from memorymark.analysis.attempt import attempt, trial_without_figures
from memorymark.analysis.ladder import next_rung
from memorymark.analysis.levers.advice import possible_changes, with_gains
from memorymark.analysis.levers.trying import Attempts, needed_bytes
from memorymark.analysis.marks import with_options
from memorymark.analysis.reporter import Reporter
from memorymark.analysis.search import SearchResult, find_max_batch, not_monotone
from memorymark.analysis.worst_case import at_longest, check_reads_text, with_lengths
from memorymark.errors import Cancelled, UsageError, one_sentence
from memorymark.gpus.catalogue import load_catalogue
from memorymark.probes.probe import Probe
from memorymark.records.analysis import Analysis
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.event import CancelToken, EventKind, OnEvent, ignore
from memorymark.records.mark import Advice
from memorymark.records.trial import Outcome, Source, Stage, Trial
from memorymark.workloads.trial_spec import TrialSpec

if TYPE_CHECKING:
    from memorymark.workloads.base import Workload

_ENDED = "The run ended before the search was done."


def analyze_on(
    probe: Probe,
    workload: Workload,
    config: TrainingConfig,
    options: AnalysisOptions | None = None,
    *,
    on_event: OnEvent = ignore,
    cancel: CancelToken | None = None,
    guess: int | None = None,
) -> Analysis:
    """Find the largest batch that fits, and the batch that is worth running.

    After the search, the current batch and a few below the max are tried where no trial is near
    them yet. Where nothing fits, or the current batch does not, changes that would make room are
    tried in a simulation of the device, if there is one. Where nothing fits, or something fails
    after the first trial, the analysis says so and is returned all the same.

    Args:
        probe: Runs the trials.
        workload: What is trained.
        config: How it is trained.
        options: What the user wants to know.
        on_event: Called with each event.
        cancel: Checked before each trial.
        guess: Where the max batch is expected, as from a simulation.

    Raises:
        Cancelled: The user cancelled or interrupted; carries what was known by then.
        MemoryMarkError: The workload cannot be built or fed, or the device is unusable.
    """
    reporter = Reporter(on_event, cancel or CancelToken())
    options = options or AnalysisOptions()
    described = workload.describe(at_longest(config, options))
    check_reads_text(described, options, workload.name)
    work = _Work(probe, workload, described, options, reporter)
    try:
        return work.analyze(guess)
    except (Cancelled, KeyboardInterrupt) as stop:
        stopped = work.partial("Cancelled by the user.")
        raise Cancelled(partial=stopped) from stop
    except Exception as error:
        if not work.trials:
            raise
        return work.partial(one_sentence(error))


class _Work:
    """One analysis while it runs."""

    def __init__(
        self,
        probe: Probe,
        workload: Workload,
        config: TrainingConfig,
        options: AnalysisOptions,
        reporter: Reporter,
    ) -> None:
        self.probe, self.workload, self.config, self.options = probe, workload, config, options
        self.reporter = reporter
        self.trials: list[Trial] = []
        self.notes: list[str] = []
        self.started = time.perf_counter()
        self.created_at = datetime.now(UTC).isoformat(timespec="seconds")
        self.run_id = secrets.token_hex(4)

    def analyze(self, guess: int | None) -> Analysis:
        """Search, measure throughput below the max, and put together what is known."""
        target = self.probe.target
        self.reporter.enter("search", f"Searching for the largest batch that fits on {target.name}")
        found = find_max_batch(
            self.trial_at,
            granularity=self.options.granularity,
            upper=self.options.upper_bound,
            capacity_bytes=target.capacity_bytes,
            guess=guess,
        )
        if found.max_batch_size is not None:
            self.reporter.enter("throughput", f"Largest batch that fits: {found.max_batch_size}")
            found = self.climbed(found)
        advice = self.advice(found) if found.complete else ()
        analysis = self.analysis(found, advice)
        if found.complete and self.options.effective_batch_size is not None:
            analysis = with_effective_batch(analysis, self.beside)
        if found.complete:
            analysis = with_lengths(analysis, self.beside)
        self.reporter.tell(EventKind.NOTE, f"Done after {len(self.trials)} trials", progress=1.0)
        return analysis

    def climbed(self, found: SearchResult) -> SearchResult:
        """Try batches below the max; an error there ends it, and what was found stands."""
        before = len(self.trials)
        try:
            self.climb(found)
        except Exception as error:
            return dataclasses.replace(found, complete=False, error=one_sentence(error))
        for trial in self.trials[before:]:
            if trial.outcome is Outcome.ERROR:
                self.notes.append(f"Batch {trial.batch_size} ended in an error: {trial.error}")
        return found

    def climb(self, found: SearchResult) -> None:
        """Try the current batch and those below the max between which the answers lie."""
        rungs = 0
        while (batch_size := next_rung(self.analysis(found), rungs)) is not None:
            self.trial_at(batch_size)
            rungs += batch_size != self.options.current_batch_size

    def spec(self, batch_size: int) -> TrialSpec:
        """Return what a trial of a batch size runs."""
        return TrialSpec(self.workload, self.config, batch_size)

    def advice(self, found: SearchResult) -> tuple[Advice, ...]:
        """List changes that make room for the smallest batch tried, or for the current one."""
        if found.max_batch_size is None:
            self.reporter.enter(
                "advice", "Not even the smallest batch fits: trying what would make room"
            )
            batch_size = min(trial.batch_size for trial in self.trials)
        elif self.analysis(found).current.fits is False:
            batch_size = self.options.current_batch_size
            self.reporter.enter(
                "advice", f"Batch {batch_size} does not fit: trying what would make room"
            )
        else:
            return ()
        changes = possible_changes(self.config)
        if not self.can_simulate or (simulation := self.probe.simulation()) is None:
            return changes
        known = (t for t in self.trials if t.batch_size == batch_size)
        before = next((t for t in known if t.source is Source.SIMULATED), None)
        try:
            attempts = self.attempts(simulation, batch_size)
            if before is None:
                tried = attempts.try_changes({})
                before = None if isinstance(tried, str) else tried.trial
            needed = None if before is None else needed_bytes(before)
            return with_gains(attempts, needed, changes)
        except Exception as error:
            self.notes.append(f"What each change saves is not known: {one_sentence(error)}")
            return changes

    def beside(self, config: TrainingConfig, batch_size: int) -> Trial:
        """Run a trial of another config, which is none of the search's; an error is its outcome."""
        self.reporter.starting(batch_size)
        try:
            spec = TrialSpec(self.workload, config, batch_size)
        except UsageError as error:
            return trial_without_figures(
                self.probe.target, self.workload.name, config, batch_size, Stage.STEP,
                one_sentence(error),
            )  # fmt: skip
        trial = attempt(self.probe, spec, self.trials)
        self.reporter.finished(trial)
        return trial

    def attempts(self, simulation: Probe, batch_size: int) -> Attempts:
        """Return what tries levers at a batch in a simulation."""
        options = dataclasses.replace(self.options, current_batch_size=batch_size)
        gpu = load_catalogue().get(simulation.target.gpu_key or "")
        return Attempts(simulation, self.workload, self.config, options, self.reporter, gpu)

    @property
    def can_simulate(self) -> bool:
        """Whether a simulation may run what a measured target runs."""
        simulated = self.probe.target.source is Source.SIMULATED
        return simulated or not (self.workload.runs_own_code or self.config.compile)

    def trial_at(self, batch_size: int) -> Trial:
        """Run a trial; it is stored before its event is sent, as Ctrl-C may come then."""
        self.reporter.starting(batch_size)
        trial = attempt(self.probe, self.spec(batch_size), self.trials)
        self.trials.append(trial)
        self.reporter.finished(trial, lambda: self.partial(_ENDED))
        return trial

    def partial(self, reason: str) -> Analysis:
        """Put together what is known although the work is not done."""
        oom = min((t.batch_size for t in self.trials if t.outcome is Outcome.OOM), default=None)
        fitting = [trial.batch_size for trial in self.trials if trial.fits]
        largest = max((n for n in fitting if oom is None or n < oom), default=None)
        found = SearchResult(largest, (), self.options.granularity, complete=False, error=reason)
        return self.analysis(found)

    def analysis(self, found: SearchResult, advice: tuple[Advice, ...] = ()) -> Analysis:
        """Put together what is known so far."""
        record = Analysis(
            workload=self.workload.name,
            target=self.probe.target,
            config=self.config,
            options=self.options,
            trials=tuple(self.trials),
            max_batch_size=found.max_batch_size,
            search_granularity=found.granularity,
            findings=(*found.findings, *_about_bound(found), *_findings(self.trials), *self.notes),
            advice=advice,
            complete=found.complete,
            stopped_by=found.error,
            elapsed_seconds=time.perf_counter() - self.started,
            run_id=self.run_id,
            created_at=self.created_at,
            software={k: v for trial in self.trials for k, v in trial.software.items()},
        )
        return with_options(record)


def _about_bound(found: SearchResult) -> list[str]:
    if not found.at_upper_bound or found.max_batch_size is None:
        return []
    return [
        f"The search ended at batch {found.max_batch_size}, the limit that was set (dataset size "
        "or --max-batch-size), not at the memory's: larger batches may fit."
    ]


def _findings(trials: list[Trial]) -> list[str]:
    """Gather what trials brought to light, each sentence once."""
    found = [not_monotone(trials)] if not_monotone(trials) else []
    thrashing = [trial for trial in trials if trial.fits and trial.thrashing]
    if thrashing:
        first = min(thrashing, key=lambda trial: trial.batch_size)
        simulated = first.source is Source.SIMULATED
        slower = "expect it to be slower than shown" if simulated else "that makes it slow"
        found.append(f"At {first.batch_size} PyTorch must keep freeing cached memory; {slower}.")
    for trial in trials:
        found += [finding for finding in trial.findings if finding not in found]
    return found
