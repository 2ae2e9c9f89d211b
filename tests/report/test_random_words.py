"""Over random analyses, no sentence says a figure that nobody would say, or one that is not so."""

from __future__ import annotations

import dataclasses
import re

from fakes import FakeProbe, FakeWorkload, measured_target, simulated_target
from hypothesis import given, settings
from hypothesis import strategies as st

from memorymark.analysis.analyze import analyze_on
from memorymark.analysis.compare import comparison_of
from memorymark.errors import Cancelled
from memorymark.gpus.catalogue import find_gpu
from memorymark.records.analysis import Analysis
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.costs import Plan
from memorymark.records.event import CancelToken, EventKind
from memorymark.records.trial import Outcome
from memorymark.report.comparison_lines import comparison_lines
from memorymark.report.sentences import analysis_lines
from memorymark.report.verdict import verdict
from memorymark.units import GIB, MIB

NEVER = re.compile(
    r"-\$0\.00|(?<![\d.,-])1(\.0+)? times|(?<![\w.])-0(\.0+)?(?![\d.])|\bnan\b|\binf\b|None"
    r"|-[\d.]+ m?s\b|\$-"
)
SPEEDS = st.one_of(st.none(), st.sampled_from([1e-9, 1e-6, 1e-4, 0.001, 0.05, 3.0]))


@st.composite
def analyses(draw) -> Analysis:
    target = draw(st.sampled_from([measured_target(8 * GIB), simulated_target(8 * GIB)]))
    probe = FakeProbe(
        draw(st.integers(0, 9 * GIB)),
        draw(st.integers(8 * MIB, 4 * GIB)),
        target=target,
        overhead_seconds=draw(st.sampled_from([1e-9, 1e-4, 0.02, 5.0])),
        seconds_per_sample=draw(SPEEDS),
    )
    options = AnalysisOptions(
        current_batch_size=draw(st.sampled_from([1, 2, 7, 8, 16, 100, 5000])),
        granularity=draw(st.sampled_from([1, 8, 32])),
        headroom=draw(st.sampled_from([0.0, 0.05, 0.5])),
        price_per_hour=draw(st.sampled_from([None, 0.0, 1e-9, 1.29, 1e9])),
        dataset_size=draw(st.sampled_from([None, 1, 10**6, 10**12])),
        runs_per_year=draw(st.sampled_from([None, 0.5, 12])),
    )
    token, left = CancelToken(), iter(range(draw(st.sampled_from([0, 1, 3, 99]))))

    def on_event(event):
        if event.kind is EventKind.TRIAL_FINISHED and next(left, None) is None:
            token.cancel()

    work = FakeWorkload(), TrainingConfig(), options
    try:
        return analyze_on(probe, *work, on_event=on_event, cancel=token)
    except Cancelled as stop:
        return stop.partial


def failed_above(analysis: Analysis) -> bool:
    found = analysis.max_batch_size or 0
    return any(t.outcome is Outcome.OOM and t.batch_size > found for t in analysis.trials)


@settings(max_examples=60, deadline=None)
@given(analyses())
def test_what_is_said_of_an_analysis_is_so(analysis):
    said = [verdict(analysis), *analysis_lines(analysis), *analysis.remarks, *analysis.findings]
    assert [line for line in said if NEVER.search(line)] == []
    head = said[0]
    if "at least" in head:
        assert not analysis.complete or not failed_above(analysis)
    elif analysis.max_batch_size is not None:
        assert failed_above(analysis)
    if "already fine" in head or "about as fast" in head:
        assert analysis.costs.usd_per_run in (None, 0.0)
        assert analysis.speedup is None or abs(analysis.speedup - 1) < 0.06
    if "faster" in head.replace("clearly faster", "") or "times as fast" in head:
        assert analysis.speedup > 1
    if "slower" in head:
        assert analysis.speedup < 1


@settings(max_examples=20, deadline=None)
@given(st.lists(analyses(), min_size=1, max_size=3))
def test_what_is_said_of_a_comparison_is_so(found):
    gpus = [find_gpu(key) for key in ("t4", "l4", "a10")]
    plan = Plan(dataset_size=1000, runs_per_year=12)
    priced = [dataclasses.replace(gpu, usd_per_hour=0.0) for gpu in gpus[:1]] + gpus[1:]
    comparison = comparison_of(list(zip(priced, found, strict=False)), plan)
    assert [line for line in comparison_lines(comparison) if NEVER.search(line)] == []
