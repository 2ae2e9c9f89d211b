"""What a visitor chose in the sidebar. A choice holds until it is reset; without one, the
values of the run that is shown hold, or the catalogue's. A price belongs to its GPU: with another
target comes another price."""

from __future__ import annotations

from typing import Any

import streamlit as st

from memorymark.analysis.marks import with_options
from memorymark.errors import UsageError
from memorymark.records.analysis import Analysis
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.option import options_of
from memorymark.records.request import Request, RequestKind
from memorymark.records.trial import Trial
from memorymark.ui import say
from memorymark.ui.engine import app_service, visitor
from memorymark.ui.redraw import redraw
from memorymark.ui.setup import BATCH, current_batch, current_target
from memorymark.ui.targets import gpu_of, target_of_result

MONEY = ("price_per_hour", "dataset_size", "epochs", "runs_per_year")
NAMES = (BATCH, *MONEY)
_PRICE, _PRICES = "price_per_hour", "chosen_prices"
_POLL_SECONDS = 0.5
_FIRST = {
    "dataset_size": 1_000_000,
    "epochs": 1,
    "runs_per_year": 12,
}


def choices() -> AnalysisOptions:
    """Return the values that the figures of this page are worked out for."""
    return AnalysisOptions(**_values(current_target()))


def _values(target: str) -> dict[str, Any]:
    return {**{name: value_of(name) for name in NAMES}, _PRICE: _price_on(target)}


def value_of(name: str) -> Any:
    """Return what the visitor chose, else what the shown run says, else the first value."""
    if name == BATCH:
        return current_batch()
    if name == _PRICE:
        return _price_on(current_target())
    chosen = st.session_state.setdefault("chosen", {})
    if name in chosen:
        return chosen[name]
    shown = shown_analysis()
    return _FIRST[name] if shown is None else getattr(shown.options, name)


def _price_on(target: str) -> float | None:
    """Return the price of a target: the visitor's, that of the run shown on it, the catalogue's."""
    prices = st.session_state.get(_PRICES, {})
    if target in prices:
        return prices[target]
    shown = shown_analysis()
    if shown is not None and target_of_result(shown.target) == target:
        return shown.options.price_per_hour
    gpu = gpu_of(target)
    return gpu.usd_per_hour if gpu else None


def options_to_ask() -> dict[str, Any]:
    """Return the values that a new analysis starts with, as fields of AnalysisOptions.

    A price that was not touched is left out: the engine takes the target's own, while the shown
    run may be of another GPU.
    """
    target = current_target()
    values = _values(target)
    if target not in st.session_state.get(_PRICES, {}):
        del values[_PRICE]
    return values


def plan_to_ask() -> dict[str, Any]:
    """Return the values that a new comparison starts with, which has prices of its own."""
    return {name: value_of(name) for name in ("dataset_size", "epochs", "runs_per_year")}


def set_shown(analysis: Analysis | None) -> None:
    """Note which analysis the page shows."""
    st.session_state["shown_analysis"] = analysis


def shown_analysis() -> Analysis | None:
    """Return the analysis that was shown last, without the visitor's choices."""
    return st.session_state.get("shown_analysis")


def remember(name: str) -> None:
    """Keep what a widget of the sidebar was set to; its limits hold in the browser only."""
    try:
        value = options_of(AnalysisOptions)[name].check(st.session_state[f"side_{name}"])
    except UsageError:
        return
    if name == _PRICE:
        st.session_state.setdefault(_PRICES, {})[current_target()] = value
    else:
        st.session_state.setdefault("chosen", {})[name] = value


def has_chosen() -> bool:
    """Say whether the visitor chose anything."""
    return bool(st.session_state.get("chosen") or st.session_state.get(_PRICES))


def reset() -> None:
    """Forget what the visitor chose."""
    st.session_state["chosen"], st.session_state[_PRICES] = {}, {}


def as_chosen(analysis: Analysis) -> Analysis:
    """Work out an analysis for what the visitor chose; as it is where nothing differs."""
    values = _values(target_of_result(analysis.target))
    changed = {
        name: value for name, value in values.items() if value != getattr(analysis.options, name)
    }
    if not changed:
        return analysis
    redrawn = with_options(analysis, **changed)
    if redrawn.current.memory_bytes is None and redrawn.current.trial is None:
        supplied = outside_trial(redrawn)
        return with_options(analysis, supplied=supplied, **changed) if supplied else redrawn
    return redrawn


def outside_trial(analysis: Analysis) -> Trial | None:
    """Return a simulated trial of a current batch that lies outside of the trials that exist."""
    if analysis.target.gpu_key is None:
        return None
    request = outside_request(analysis)
    answer = app_service().estimate(request, analysis.current.batch_size, visitor())
    return answer and answer.trial


def outside_request(analysis: Analysis) -> Request:
    """Return what the simulation of another batch is asked for."""
    return Request(
        RequestKind.ANALYSIS,
        analysis.workload,
        analysis.config,
        gpu=analysis.target.gpu_key,
        memory_budget=analysis.capacity_bytes,
    )


def wait_for_estimate(analysis: Analysis) -> None:
    """Say that a simulation is on its way, and draw the page once more when it is there."""
    if _is_pending(analysis):
        _watch(analysis)


@st.fragment(run_every=_POLL_SECONDS)
def _watch(analysis: Analysis) -> None:
    if not _is_pending(analysis):
        redraw()
    batch_size = analysis.current.batch_size
    say.caption("Simulating batch size {:,}, outside the range tried …", batch_size)


def _is_pending(analysis: Analysis) -> bool:
    if analysis.target.gpu_key is None or analysis.current.batch_size is None:
        return False
    return app_service().is_estimating(outside_request(analysis), analysis.current.batch_size)
