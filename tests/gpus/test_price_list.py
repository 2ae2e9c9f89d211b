"""The prices are data: keys, providers, sources and dates have their own tests."""

import re
from datetime import date

import pytest

from memorymark.gpus import price_list as prices
from memorymark.gpus.catalogue import find_gpu, rentable_gpus
from memorymark.gpus.price_list import KINDS, all_prices, main_provider, price_of, prices_of

PROVIDERS = {"RunPod", "Lambda", "Modal", "Vast.ai", "DataCrunch"}
each_price = pytest.mark.parametrize(
    "price", all_prices(), ids=lambda price: f"{price.gpu}-{price.provider}-{price.observed_at}"
)


@each_price
def test_every_price_is_of_a_known_gpu_and_provider(price):
    assert price.gpu in rentable_gpus()
    assert price.provider in PROVIDERS
    assert price.kind in KINDS
    assert 0.01 < price.usd_per_hour < 20
    assert len(price.product) > 1


@each_price
def test_every_price_has_a_source_and_a_date(price):
    assert re.search(r"\b[\w-]+\.(com|app)/|MemoryMark", price.source)
    assert re.fullmatch(r"\d{4}-\d{2}(-\d{2})?", price.observed_at)
    first = date.fromisoformat(f"{price.observed_at}-01"[:10])
    assert date(2025, 1, 1) <= first <= date.today()


def test_no_provider_asks_two_prices_for_a_gpu_on_one_day():
    rows = [(price.gpu, price.provider, price.kind, price.observed_at) for price in all_prices()]
    assert len(rows) == len(set(rows))


def test_the_first_version_prices_are_kept():
    kept = {
        price.gpu: (price.provider, price.usd_per_hour)
        for price in all_prices()
        if price.observed_at == "2025-11"
    }
    assert kept == {"a10": ("Lambda", 0.60), "a100-40gb": ("Lambda", 1.29)}


def test_one_provider_has_most_of_the_catalogues_prices():
    """And no two of its prices were seen on different days."""
    shown = [price for key in rentable_gpus() if (price := price_of(key))]
    main = [price for price in shown if price.provider == main_provider()]
    assert len(main) > len(rentable_gpus()) / 2
    assert {price.kind for price in main} == {"on-demand"}
    assert len({price.observed_at for price in main}) == 1


def make(gpu, provider, usd, kind="on-demand", observed_at="2026-01-01"):
    return prices.Price(gpu, provider, kind, usd, "one GPU", "a page", observed_at)


@pytest.fixture
def known(monkeypatch):
    """Replaces the rows of the file."""

    def replace(*rows):
        for kept in (prices._newest, prices.main_provider):
            kept.cache_clear()
        monkeypatch.setattr(prices, "all_prices", lambda: rows)

    yield replace
    for kept in (prices._newest, prices.main_provider):
        kept.cache_clear()


def test_the_provider_with_most_gpus_comes_first_though_another_is_cheaper(known):
    known(make("a", "Wide", 2.0), make("b", "Wide", 3.0), make("a", "Narrow", 1.0))
    assert main_provider() == "Wide"
    assert price_of("a").provider == "Wide"
    assert [price.provider for price in prices_of("a")] == ["Wide", "Narrow"]


def test_else_the_cheapest_list_price_and_only_then_a_marketplace(known):
    known(
        make("a", "Wide", 2.0), make("b", "Wide", 2.0),
        make("c", "Dear", 3.0), make("c", "Cheap", 2.0), make("c", "Market", 1.0, "marketplace"),
        make("d", "Market", 0.5, "marketplace"),
    )  # fmt: skip
    assert price_of("c").provider == "Cheap"
    assert price_of("d").provider == "Market"
    assert price_of("e") is None


def test_the_newest_price_of_a_provider_counts(known):
    known(
        make("a", "Wide", 1.0, observed_at="2025-11"),
        make("a", "Wide", 2.0, observed_at="2026-10-01"),
    )
    assert [price.usd_per_hour for price in prices_of("a")] == [2.0]


def test_the_catalogue_says_whose_price_it_shows_and_when_it_was_seen():
    gpu, price = find_gpu("a10"), price_of("a10")
    assert gpu.price_source.startswith("Lambda on-demand, ")
    assert (gpu.usd_per_hour, gpu.price_observed_at) == (price.usd_per_hour, price.observed_at)
    unpriced = find_gpu("a10g")
    assert unpriced.usd_per_hour is unpriced.price_source is unpriced.price_observed_at is None
