"""Kinds of prices and live prices on the page of the comparison."""

from __future__ import annotations

import pytest

from memorymark.cli import main
from memorymark.gpus.catalogue import find_gpu
from memorymark.gpus.price_list import Price, price_of
from memorymark.service import fetched_prices
from memorymark.service.history import RunHistory

NOW = "2026-11-22 03:30 UTC"


@pytest.fixture
def compared(app):
    """The page of a comparison of two GPUs, one of them at the user's own price."""
    call = ["compare", "bert", "--gpus", "a100-40gb,a10,l4", "--prices", "l4:9.5"]
    assert main(call) == 0
    app.query_params["run"] = RunHistory().list()[0].run_id
    return lambda: app.switch_page("pages/cost_comparison.py").run()


def table(app):
    found = next(drawn.value for drawn in app.dataframe if "$/million samples" in drawn.value)
    return found.set_index("GPU")


def texts(app):
    return " ".join(each.value for each in (*app.caption, *app.warning, *app.code))


def test_prices_of_one_kind_are_never_mixed_with_another(compared):
    app = compared()
    a100 = find_gpu("a100-40gb").name
    assert table(app).loc[a100, "$/hour (edit)"] == find_gpu("a100-40gb").usd_per_hour
    app.segmented_control(key="price_kind").set_value("Spot").run()
    assert not app.exception
    shown = table(app)
    assert shown.loc[a100, "$/hour (edit)"] == price_of("a100-40gb", "spot").usd_per_hour
    assert shown.loc[a100, "Price source"] == "DataCrunch spot"
    assert shown["$/hour (edit)"].isna().sum() == 1, "no spot price of an A10 is known"
    assert 9.5 in list(shown["$/hour (edit)"]), "the user's own price stays"
    assert "--price-kind spot" in texts(app)


def test_without_the_owners_setting_nothing_can_be_asked(compared, monkeypatch):
    asked = []
    monkeypatch.setattr(fetched_prices.FetchedPrices, "get", lambda self: asked.append(1))
    app = compared()
    assert "live_prices" not in {switch.key for switch in app.toggle}
    assert "the owner of this machine" in texts(app)
    app.session_state["live_prices"] = True  # as of a browser that does not heed it
    app.run()
    assert not app.exception and not asked


@pytest.fixture
def asking(monkeypatch):
    """Let the app ask; return what sets the answer."""
    monkeypatch.setenv("MEMORYMARK_LIVE_PRICES", "1")

    def answer(fetch):
        monkeypatch.setattr(
            fetched_prices.FetchedPrices.__init__, "__defaults__", (fetch, lambda: 0.0)
        )

    return answer


def test_live_prices_come_with_the_time_of_their_fetch(asking, compared):
    asking(lambda: (Price("a10", "AWS", "on-demand", 0.31, "one", "gpuhunt", NOW),))
    app = compared()
    app.toggle(key="live_prices").set_value(True).run()
    assert not app.exception
    row = table(app).loc[find_gpu("a10").name]
    assert (row["$/hour (edit)"], row["Price source"], row["Price date"]) == (
        0.31, "AWS on-demand", NOW,
    )  # fmt: skip
    assert NOW in texts(app) and "--prices live,l4:9.5" in texts(app)
    assert "The link below does not carry them." in texts(app)
    assert table(app).loc[find_gpu("l4").name, "$/hour (edit)"] == 9.5


def test_a_failure_is_told_and_the_list_is_shown(asking, compared):
    from memorymark.errors import NotAvailable

    def fetch():
        raise NotAvailable("Live prices cannot be fetched: no network.")

    asking(fetch)
    app = compared()
    app.toggle(key="live_prices").set_value(True).run()
    assert not app.exception
    assert "no network. The prices of the list are shown" in texts(app)
    assert table(app).loc[find_gpu("a10").name, "$/hour (edit)"] == find_gpu("a10").usd_per_hour
