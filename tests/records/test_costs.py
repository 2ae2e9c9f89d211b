from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorymark.records.costs import (
    Offer,
    Plan,
    compare_offers,
    pareto_efficient,
    run_cost,
    savings,
)


def test_a_run_by_hand():
    cost = run_cost(Plan(1.29, dataset_size=100_000, epochs=3, runs_per_year=50), 250.0)
    assert cost.hours_per_run == pytest.approx(300_000 / 250 / 3600)
    assert cost.usd_per_run == pytest.approx(0.43)
    assert cost.usd_per_year == pytest.approx(21.5)
    assert cost.usd_per_million_samples == pytest.approx(1_000_000 / 250 / 3600 * 1.29)


def test_what_is_unknown_stays_unknown():
    nothing = run_cost(Plan(), None)
    assert {value for value in vars(nothing).values()} == {None}
    without_data = run_cost(Plan(price_per_hour=1.0), 100.0)
    assert without_data.usd_per_run is None
    assert without_data.usd_per_million_samples == pytest.approx(1e6 / 100 / 3600)
    assert run_cost(Plan(1.0, 1000), 0.0).usd_per_run is None


def test_a_free_gpu_costs_nothing():
    assert run_cost(Plan(price_per_hour=0.0, dataset_size=1000), 10.0).usd_per_run == 0.0


def test_savings_are_before_less_after():
    saved = savings(Plan(2.0, dataset_size=720_000, runs_per_year=10), 100.0, 200.0)
    assert saved.usd_per_run == pytest.approx(2.0)
    assert saved.usd_per_year == pytest.approx(20.0)
    assert saved.hours_per_run == pytest.approx(1.0)
    assert savings(Plan(2.0, 720_000), 200.0, 100.0).usd_per_run == pytest.approx(-2.0)
    assert savings(Plan(2.0, 720_000), None, 100.0).usd_per_run is None


def test_offers_are_sorted_by_cost_and_the_efficient_ones_marked():
    offers = [
        Offer("dear-and-slow", 4.0, 100.0),
        Offer("fast", 3.0, 300.0),
        Offer("cheap", 0.5, 100.0),
        Offer("no-price", None, 500.0),
        Offer("no-speed", 1.0, None),
    ]
    rows = compare_offers(Plan(price_per_hour=99.0, dataset_size=360_000), offers)
    names = [row.offer.name for row in rows]
    assert names == ["cheap", "fast", "dear-and-slow", "no-price", "no-speed"]
    assert [row.efficient for row in rows] == [True, True, False, False, False]
    assert rows[0].cost.usd_per_run == pytest.approx(0.5)


coordinate = st.one_of(st.none(), st.integers(0, 6).map(float))


@given(st.lists(st.tuples(coordinate, coordinate), max_size=12))
def test_a_point_is_efficient_if_and_only_if_nothing_beats_it(points):
    known = [p for p in points if None not in p]
    for point, efficient in zip(points, pareto_efficient(points), strict=True):
        beaten = None in point or any(
            q != point and q[0] <= point[0] and q[1] <= point[1] for q in known
        )
        assert efficient is not beaten
