"""The sidebar of every page: this machine, the price, what is trained and how often, the key."""

from __future__ import annotations

import math
from contextlib import suppress

import streamlit as st

from memorymark.errors import NotAllowed, UsageError
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.inputs import PLAN, PRICE
from memorymark.records.option import Option, options_of
from memorymark.ui import say
from memorymark.ui.engine import app_service, sign_in_problem, signed_in_address, visitor
from memorymark.ui.machine_view import draw_machine
from memorymark.ui.option_widgets import bounds, show
from memorymark.ui.setup.choices import has_chosen, remember, reset, shown_analysis, value_of
from memorymark.ui.setup.current import current_batch, current_form, set_value
from memorymark.ui.setup.setup_record import BATCH, GENERATION_FORM, OPTIONS, TRAINED_FORM

_OPTIONS = options_of(AnalysisOptions)
_LARGEST_PRICE = 20.0
_LEAST_END = 128  # of the slider of the batch; or so many times the largest that fits
_BEYOND = 1.25
_HARD_TO_READ = 10_000


def draw_sidebar(with_plan: bool) -> None:
    """Draw the sidebar, of costs what the page works out; it may draw the plan itself instead."""
    draw_machine()
    form = current_form()
    if form is not GENERATION_FORM:  # it costs nothing that is worked out
        _price()
    if form is TRAINED_FORM:
        _batch()
    if form is TRAINED_FORM and with_plan:
        with st.expander("Dataset and runs", icon=":material/dataset:"):
            draw_plan()
    if has_chosen():
        st.button(
            "Reset values",
            on_click=reset,
            icon=":material/undo:",
            type="tertiary",
            help="Use the values of the run shown, or of the catalogue.",
        )
    _guard()


def _price() -> None:
    option, price = _OPTIONS[PRICE], value_of(PRICE)
    smallest, _ = bounds(option)
    shown = option.kind(price or smallest)
    st.session_state["side_price_per_hour"] = shown
    st.slider(
        option.label,
        smallest,
        max(_LARGEST_PRICE, shown),
        shown,
        step=0.01,
        format="$%.2f",
        key="side_price_per_hour",
        on_change=remember,
        args=(PRICE,),
    )
    if price is None:
        st.caption("No price is known for this GPU. Set one to see costs.")


def _batch() -> None:
    """Draw the current batch once more: to move it, and see the figures follow."""
    option, batch, shown = OPTIONS[BATCH], current_batch(), shown_analysis()
    largest = (shown and shown.max_batch_size) or 0
    most = max(_LEAST_END, math.ceil(_BEYOND * largest), batch)
    key = "side_batch"
    show(key, batch)
    st.slider(
        "Current batch",
        int(option.smallest),
        most,
        batch,
        key=key,
        on_change=_take_batch,
        help=option.help,
    )


def _take_batch() -> None:
    with suppress(UsageError):  # the slider's ends hold in the browser only
        set_value(BATCH, OPTIONS[BATCH].check(st.session_state["side_batch"]))


def draw_plan() -> None:
    """Draw what is trained and how often."""
    with st.grid(3, min_column_width=160):
        for name in PLAN:
            _number(_OPTIONS[name])


def _number(option: Option) -> None:
    key, value = f"side_{option.name}", value_of(option.name)
    st.session_state[key] = None if value is None else option.kind(value)
    with st.container(gap="xxsmall"):
        st.number_input(
            option.label,
            *bounds(option),
            value=None,
            step=option.kind(1),
            format="%g" if option.kind is float else None,
            key=key,
            on_change=remember,
            args=(option.name,),
        )
        if (value or 0) >= _HARD_TO_READ:  # the field takes no separators
            say.caption("{}", f"{value:,.6g}" if option.kind is float else f"{value:,}")


def _guard() -> None:
    settings = app_service().settings
    if settings.run_key is not None:
        st.text_input(
            "Run key",
            type="password",
            key="given_run_key",
            persist_state="session",
            on_change=_enter_key,
            help="Required to start or delete runs. The owner of this machine has it.",
        )
        if refused := st.session_state.pop("run_key_refused", None):
            say.warning("{}", refused)
    if settings.sign_in:
        _sign_in()


def _enter_key() -> None:
    """Compare the key once, when it is entered: what is drawn later is no guess."""
    entered = visitor()
    if entered.run_key:
        try:
            app_service().check(entered)
        except NotAllowed as error:
            st.session_state["run_key_refused"] = str(error)


def _sign_in() -> None:
    if st.user.get("is_logged_in", False):
        say.caption("Signed in as {}", st.user.get("email"))
        if signed_in_address() is None:
            say.warning("The provider of the sign-in did not verify this address.")
        st.button("Sign out", on_click=st.logout, icon=":material/logout:")
    else:
        problem = sign_in_problem()
        st.button("Sign in", on_click=st.login, icon=":material/login:", disabled=bool(problem))
        if problem:
            say.warning("{}", problem)
