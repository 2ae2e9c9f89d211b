"""Which prices a comparison is shown at: those of its run, of one kind, or of this moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import streamlit as st

from memorymark.errors import NotAllowed
from memorymark.gpus.catalogue import load_catalogue
from memorymark.gpus.price_book import PriceBook
from memorymark.records.comparison import GIVEN, ComparedGpu
from memorymark.records.prices import PriceKind, Quote
from memorymark.service.admission import NO_LIVE_PRICES
from memorymark.service.fetched_prices import Fetched
from memorymark.ui import say
from memorymark.ui.engine import app_service, visitor
from memorymark.ui.setup.choices import choose_price_kind, price_kind

_KEY = "price_kind"
_AS_COMPARED = "Default"
_KINDS: dict[str, PriceKind | None] = {
    _AS_COMPARED: None,
    "On demand": PriceKind.ON_DEMAND,
    "Marketplace": PriceKind.MARKETPLACE,
    "Spot": PriceKind.SPOT,
}
_LABELS = {kind: label for label, kind in _KINDS.items()}


@dataclass(frozen=True)
class PriceChoice:
    """What the visitor chose.

    Attributes:
        kind: The kind of price; None leaves those of the run.
        live: Whether prices of this moment are wanted.
        fetched: What came of asking for them.
    """

    kind: PriceKind | None = None
    live: bool = False
    fetched: Fetched = field(default_factory=Fetched)

    def quotes(self, rows: Sequence[ComparedGpu]) -> Mapping[str, Quote]:
        """Return the prices that take the place of the run's; the user's own stay."""
        if self.kind is None and not self.fetched.prices:
            return {}
        book = PriceBook(kind=self.kind and str(self.kind), live=self.fetched.prices)
        catalogue = load_catalogue()
        return {
            row.gpu: book.quote(catalogue[row.gpu])
            for row in rows
            if row.gpu in catalogue and row.price_source != GIVEN
        }


def draw_price_choice() -> PriceChoice:
    """Draw kind and switch, and say when live prices were fetched, or why not."""
    allowed = app_service().settings.live_prices
    kind = price_kind()
    st.session_state[_KEY] = _LABELS[kind]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.segmented_control(
            "Prices", list(_KINDS), key=_KEY, required=True, on_change=_take_kind,
            help="Default takes each GPU's usual price, of another kind where there is only that; "
            "the others show one kind alone. Spot machines may be taken back at any time.",
        )  # fmt: skip
        live = allowed and st.toggle("Live prices", key="live_prices")
    if not allowed:
        say.caption("{}", NO_LIVE_PRICES)
    if not live:
        return PriceChoice(kind)
    fetched = _fetched()
    if fetched.problem:
        say.warning("{} The prices of the list are shown, with the day of each.", fetched.problem)
    else:
        say.caption(
            "Live prices, fetched through gpuhunt: {}. The link below does not carry them.",
            fetched.observed_at,
        )
    return PriceChoice(kind, live=True, fetched=fetched)


def _take_kind() -> None:
    choose_price_kind(_KINDS[st.session_state[_KEY] or _AS_COMPARED])


def _fetched() -> Fetched:
    try:
        with st.spinner("Fetching the providers' prices"):
            return app_service().live_prices(visitor())
    except NotAllowed as error:
        return Fetched(problem=str(error))
