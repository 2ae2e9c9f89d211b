"""The app asks the providers once for all its visitors, and only where the owner lets it."""

import pytest

from memorymark.errors import NotAllowed, NotAvailable
from memorymark.gpus.price_list import Price
from memorymark.records.request import Request, RequestKind
from memorymark.service.access import AppService
from memorymark.service.fetched_prices import FetchedPrices
from memorymark.service.guard import Visitor
from memorymark.settings import Settings

PRICE = Price("a10", "AWS", "on-demand", 0.31, "one", "gpuhunt", "2026-11-22 03:30 UTC")


class Clock:
    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


def test_prices_are_fetched_once_for_a_quarter_of_an_hour():
    asked, clock = [], Clock()
    fetched = FetchedPrices(lambda: asked.append(1) or (PRICE,), clock)
    assert fetched.get().prices == fetched.get().prices == (PRICE,)
    assert fetched.get().observed_at == "2026-11-22 03:30 UTC"
    clock.now_s = 14 * 60
    fetched.get()
    assert len(asked) == 1
    clock.now_s = 16 * 60
    fetched.get()
    assert len(asked) == 2


def test_a_failure_is_kept_for_a_minute_so_that_a_closed_network_is_not_asked_at_every_look():
    asked, clock = [], Clock()

    def fail():
        asked.append(1)
        raise NotAvailable("no network.")

    fetched = FetchedPrices(fail, clock)
    assert fetched.get().problem == fetched.get().problem == "no network."
    assert len(asked) == 1
    clock.now_s = 61
    fetched.get()
    assert len(asked) == 2


def test_the_app_asks_only_where_the_owner_lets_it(tmp_path, monkeypatch):
    monkeypatch.setattr(FetchedPrices, "get", lambda self: (PRICE,))
    shut = AppService(Settings(tmp_path, first_run=False), execute=lambda *_, **__: None)
    with pytest.raises(NotAllowed, match="MEMORYMARK_LIVE_PRICES=1"):
        shut.live_prices(Visitor())
    request = Request(RequestKind.COMPARISON, "bert", live_prices=True)
    with pytest.raises(NotAllowed, match="MEMORYMARK_LIVE_PRICES=1"):
        shut.start(request, Visitor())
    settings = Settings(tmp_path, first_run=False, live_prices=True, run_key="a key")
    open_ = AppService(settings, execute=lambda *_, **__: None)
    with pytest.raises(NotAllowed, match="key"):
        open_.live_prices(Visitor())
    assert open_.live_prices(Visitor(run_key="a key")) == (PRICE,)
