"""One place decides a GPU's price: the user's, a live one, the list's; kinds are never mixed."""

import pytest

from memorymark.gpus.catalogue import find_gpu
from memorymark.gpus.price_book import PriceBook
from memorymark.gpus.price_list import Price
from memorymark.records.comparison import GIVEN

A10, L4, A10G, A100 = map(find_gpu, ("a10", "l4", "a10g", "a100-40gb"))


def live(gpu, usd, kind="on-demand", provider="RunPod"):
    return Price(gpu, provider, kind, usd, "one", "gpuhunt's catalogue", "2026-11-22 03:30 UTC")


def test_without_a_wish_it_is_the_catalogues_price():
    quote = PriceBook().quote(A10)
    assert quote.usd_per_hour == A10.usd_per_hour is not None
    assert (quote.source, quote.observed_at) == (A10.price_source, A10.price_observed_at)
    assert [*PriceBook().told([A10, A10G])] == []


def test_a_live_price_comes_before_the_list_and_the_users_before_both():
    book = PriceBook({"l4": 9.0}, live=[live("a10", 0.5), live("l4", 0.4)])
    assert book.quote(A10).usd_per_hour == 0.5
    assert book.quote(A10).observed_at == "2026-11-22 03:30 UTC"
    assert "RunPod on-demand" in book.quote(A10).source
    assert (book.quote(L4).usd_per_hour, book.quote(L4).source) == (9.0, GIVEN)
    assert book.priced(A10).usd_per_hour == 0.5 and book.priced(A10).key == "a10"


def test_where_no_live_price_is_found_the_list_is_used_and_said():
    book = PriceBook(live=[live("l4", 0.4)])
    assert book.quote(A10).usd_per_hour == A10.usd_per_hour
    assert "No live price was found for a10" in " ".join(book.told([A10, L4]))
    assert "a10g" in " ".join(book.told([A10G])) and "--prices a10g:USD" in [*book.told([A10G])][-1]


@pytest.mark.parametrize("kind", ["on-demand", "marketplace", "spot"])
def test_a_kind_is_never_mixed_with_another(kind):
    """Every price is of the kind that was asked for, or unknown."""
    book = PriceBook(kind=kind, live=[live("a10", 0.1, "spot"), live("a10", 0.3, "marketplace")])
    for gpu in (A10, L4, A10G, A100):
        source = book.quote(gpu).source
        assert source is None or source.split(",")[0].endswith(kind)
    assert book.quote(A100).usd_per_hour is not None


def test_a_spot_price_is_never_taken_unasked():
    assert PriceBook(live=[live("a10", 0.1, "spot")]).quote(A10).usd_per_hour == A10.usd_per_hour
    spot = PriceBook(kind="spot").quote(A100)
    assert spot.usd_per_hour < A100.usd_per_hour and "DataCrunch spot" in spot.source


def test_why_live_prices_failed_is_told():
    book = PriceBook(live=(), problem="Live prices cannot be fetched: no network.")
    assert [*book.told([A10])] == ["Live prices cannot be fetched: no network."]
    assert book.quote(A10).usd_per_hour == A10.usd_per_hour
