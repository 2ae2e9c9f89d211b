"""The chart of a second model's share in each token."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorymark.report.charts.blend_charts import blend_shares_chart


@given(st.lists(st.floats(0, 1), max_size=1500), st.floats(0, 1))
def test_a_chart_has_all_tokens_in_few_points(shares, weight):
    level, line = blend_shares_chart(shares, weight)["layer"]
    points = line["data"]["values"]
    assert len(points) <= 400 and bool(points) is bool(shares)
    assert level["data"]["values"][0]["share"] == 100 * weight
    if shares:
        assert points[-1]["token"] == len(shares)
        assert min(shares) - 1e-9 <= points[0]["share"] / 100 <= max(shares) + 1e-9


def test_each_token_of_a_short_text_has_its_own_point():
    spec = blend_shares_chart([0.25, 0.75], 0.4)
    points = spec["layer"][1]["data"]["values"]
    assert [(point["token"], point["share"]) for point in points] == [(1, 25), (2, 75)]
    assert [point["text"] for point in points] == ["25 %", "75 %"]
    said = "Share of the second model in each of 2 tokens: mean 50 %, given 40 %."
    assert spec["description"] == said


def test_a_long_text_has_means():
    points = blend_shares_chart([0.0, 1.0] * 400, 0.5)["layer"][1]["data"]["values"]
    assert len(points) == 400
    assert all(point["share"] == pytest.approx(50) for point in points)
