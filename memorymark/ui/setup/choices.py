"""What costs are worked out for: prices, data set, epochs and runs per year.

What a visitor chose holds until it is reset; without a choice, the values of the run that is shown
hold, or the catalogue's. A price belongs to its GPU: with another target comes another price. A
comparison has prices of its own, of a kind that is chosen above its table, or edited in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from memorymark.errors import UsageError
from memorymark.gpus.catalogue import load_catalogue
from memorymark.records.analysis import Analysis
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.costs import Plan
from memorymark.records.inputs import (
    INPUT_NAMES,
    MONEY,
    PLAN,
    PRICE,
    Inputs,
    inputs_from_query,
    inputs_to_query,
)
from memorymark.records.option import options_of
from memorymark.records.prices import PriceKind
from memorymark.service.first_run import FIRST_OPTIONS
from memorymark.ui.setup.current import current_batch, current_target
from memorymark.ui.setup.setup_record import BATCH
from memorymark.ui.setup.targets import gpu_of, target_of_result

NAMES = (BATCH, *MONEY)
_CHOSEN, _PRICES, _EDITED = "chosen", "chosen_prices", "edited_prices"
_KIND = "chosen_price_kind"
_ANALYSIS, _PLAN = "shown_analysis", "shown_plan"


def choices() -> AnalysisOptions:
    """Return the values that the figures of this page are worked out for."""
    return AnalysisOptions(**values_on(current_target()))


def values_on(target: str) -> dict[str, Any]:
    """Return the same by name, at the price of a target."""
    return {**{name: value_of(name) for name in NAMES}, PRICE: _price_on(target)}


def value_of(name: str) -> Any:
    """Return what the visitor chose, else what the shown run says, else the first value."""
    if name == BATCH:
        return current_batch()
    if name == PRICE:
        return _price_on(current_target())
    chosen = st.session_state.setdefault(_CHOSEN, {})
    if name in chosen:
        return chosen[name]
    shown, analysis = st.session_state.get(_PLAN), shown_analysis()
    if shown is None and analysis is not None:
        shown = analysis.options.plan
    return getattr(FIRST_OPTIONS if shown is None else shown, name)


def _price_on(target: str) -> float | None:
    """Return the price of a target: the visitor's, that of the run shown on it, the catalogue's."""
    chosen = chosen_price(target)
    if chosen is not None:
        return chosen
    shown = shown_analysis()
    if shown is not None and target_of_result(shown.target) == target:
        return shown.options.price_per_hour
    gpu = gpu_of(target)
    return gpu.usd_per_hour if gpu else None


def chosen_price(target: str) -> float | None:
    """Return the price that the visitor set for a target; None where none was set."""
    return st.session_state.get(_PRICES, {}).get(target)


def options_to_ask() -> dict[str, Any]:
    """Return the values that a new analysis starts with, as fields of AnalysisOptions.

    A price that was not touched is left out: the engine takes the target's own, while the shown
    run may be of another GPU.
    """
    target = current_target()
    values = values_on(target)
    if target not in st.session_state.get(_PRICES, {}):
        del values[PRICE]
    return values


def plan_to_ask() -> dict[str, Any]:
    """Return the values that a new comparison starts with, which has prices of its own."""
    return {name: value_of(name) for name in PLAN}


def edited_prices() -> dict[str, float]:
    """Return the prices of the comparison's table that the visitor edited, by GPU."""
    return st.session_state.get(_EDITED, {})


def edit_prices(prices: Mapping[str, float]) -> None:
    """Keep prices by GPU, in place of all that were edited before."""
    st.session_state[_EDITED] = dict(prices)
    write_inputs()


def price_kind() -> PriceKind | None:
    """Return the kind of price that comparisons are shown at; None for that of their run."""
    return st.session_state.get(_KIND)


def choose_price_kind(kind: PriceKind | None) -> None:
    """Keep the kind of price that comparisons are shown at."""
    st.session_state[_KIND] = kind
    write_inputs()


def set_shown(analysis: Analysis | None, plan: Plan | None = None) -> None:
    """Note which analysis the page shows, and the plan of the comparison that it shows."""
    st.session_state[_ANALYSIS], st.session_state[_PLAN] = analysis, plan


def shown_analysis() -> Analysis | None:
    """Return the analysis that was shown last, without the visitor's choices."""
    return st.session_state.get(_ANALYSIS)


def remember(name: str) -> None:
    """Keep what a widget of the sidebar was set to; its limits hold in the browser only."""
    try:
        value = options_of(AnalysisOptions)[name].check(st.session_state[f"side_{name}"])
    except UsageError:
        return
    if name == PRICE:
        st.session_state.setdefault(_PRICES, {})[current_target()] = value
    else:
        st.session_state.setdefault(_CHOSEN, {})[name] = value
    write_inputs()


def has_chosen() -> bool:
    """Say whether the visitor chose anything."""
    return any(st.session_state.get(name) for name in (_CHOSEN, _PRICES, _EDITED, _KIND))


def reset() -> None:
    """Forget what the visitor chose: the values of the run that is shown hold again."""
    _choose(Inputs())
    write_inputs()


def inputs() -> Inputs:
    """Return what the visitor chose, as a link carries it."""
    chosen = dict(st.session_state.get(_CHOSEN, {}))
    prices = st.session_state.get(_PRICES, {})
    if current_target() in prices:
        chosen[PRICE] = prices[current_target()]
    return Inputs(chosen, edited_prices(), price_kind())


def read_inputs() -> tuple[str, ...]:
    """Take the choices from the address of the page, in place of all that were made before.

    Returns:
        A sentence for each that is not understood.
    """
    found, refused = inputs_from_query(st.query_params, load_catalogue())
    _choose(found)
    return refused


def write_inputs() -> None:
    """Let the address of the page say the choices."""
    said = inputs_to_query(inputs())
    for name in INPUT_NAMES:
        if name in said and st.query_params.get(name) != said[name]:
            st.query_params[name] = said[name]
        elif name not in said and name in st.query_params:
            del st.query_params[name]


def link_inputs(options: AnalysisOptions | None) -> dict[str, str]:
    """Return what a link to a run carries beside its id: what differs from the run's own.

    Args:
        options: What the run was asked for; None where it is not known, or says no batch.
    """
    is_other = options is not None and options.current_batch_size != current_batch()
    batch = {BATCH: str(current_batch())} if is_other else {}
    return batch | inputs_to_query(inputs())


def _choose(chosen: Inputs) -> None:
    values = dict(chosen.values)
    prices = {current_target(): values.pop(PRICE)} if PRICE in values else {}
    st.session_state[_CHOSEN], st.session_state[_PRICES] = values, prices
    st.session_state[_EDITED], st.session_state[_KIND] = dict(chosen.prices), chosen.price_kind
