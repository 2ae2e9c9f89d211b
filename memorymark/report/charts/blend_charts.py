"""The share of a second model in the probability of each token of a text."""

from __future__ import annotations

from collections.abc import Sequence

from memorymark.report.charts.palette import GROUND, LINE
from memorymark.report.charts.vega import Spec, across, axis, by_label, chart, layer, words
from memorymark.units import percent

_MOST_POINTS, _HEIGHT, _POINTS = 400, 260, 100.0
_OF_TOKENS, _GIVEN = "Of the tokens", "As it was given"


def blend_shares_chart(shares: Sequence[float], given: float) -> Spec:
    """Draw the share of a second model in each token; of a long text, means of several tokens.

    Args:
        shares: Of each token in order, from 0 to 1.
        given: The weight of the second model.
    """
    rows = [
        {**row, "name": _OF_TOKENS, "text": percent(row["share"] / _POINTS)}
        for row in _means(shares)
    ]
    x = across("token", "Token of the text", max(len(shares), 1), 8)
    y = axis("share", "Second model (%)", _POINTS, 5)
    colour = by_label("name", {_OF_TOKENS: LINE, _GIVEN: GROUND})
    tooltip = [words("token", title="Token"), words("text", title="Share")]
    drawn = {"x": x, "y": y, "color": colour, "tooltip": tooltip}
    line = layer(rows, "line", drawn, point=len(rows) <= _MOST_POINTS // 4)
    level = layer(
        [{"share": given * _POINTS, "name": _GIVEN}], "rule", {"y": y, "color": colour},
        strokeWidth=2, strokeDash=[6, 4],
    )  # fmt: skip
    mean = percent(sum(shares) / len(shares)) if shares else "none"
    described = (
        f"Share of the second model in each of {len(shares):,} tokens: mean {mean}, given "
        f"{percent(given)}."
    )
    return chart([level, line], described, _HEIGHT)


def _means(shares: Sequence[float]) -> list[dict[str, float]]:
    """Return points in percent, no more than a chart can show, each at its last token."""
    step = -(-len(shares) // _MOST_POINTS) or 1
    parts = [shares[start : start + step] for start in range(0, len(shares), step)]
    ends = [min(start + step, len(shares)) for start in range(0, len(shares), step)]
    return [
        {"token": end, "share": _POINTS * sum(part) / len(part)}
        for end, part in zip(ends, parts, strict=True)
    ]
