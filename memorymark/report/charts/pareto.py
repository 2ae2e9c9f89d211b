"""Points with names on two logarithmic axes; those that no other beats are marked and joined."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memorymark.report.charts.label_places import label_places
from memorymark.report.charts.palette import MARK_COLOURS, TEXT
from memorymark.report.charts.vega import NUMBER, Spec, by_label, chart, layer, number, words

# A plot is at least as wide as the greatest of these that is not above its width: names are
# placed for each, since those that have room on a wide page collide on a narrow one.
WIDTHS = (230, 420, 640, 860)
PLOT_HEIGHT = 300  # what axes and legend leave of the height, or more
_HEIGHT = 420
_MARGIN = 0.12


@dataclass(frozen=True)
class Axes:
    """The two axes.

    Attributes:
        x: The field across.
        y: The field up.
        x_title: What stands along the first, with its unit.
        y_title: What stands along the second, with its unit.
        x_ends: The fields of the two ends of a band across, of figures that are estimates.
        y_ends: The same, of a band up.
    """

    x: str
    y: str
    x_title: str
    y_title: str
    x_ends: tuple[str, ...] = ()
    y_ends: tuple[str, ...] = ()

    def efficient(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the points that no other beats, from left to right."""
        return sorted((row for row in rows if row["efficient"]), key=lambda row: row[self.x])

    def pixels(self, rows: Sequence[Mapping[str, Any]], width: float) -> list[tuple[float, float]]:
        """Return where points lie in a plot of a width."""
        across, up = (
            _placed([row[field] for row in rows], _shown(rows, field, ends))
            for field, ends in ((self.x, self.x_ends), (self.y, self.y_ends))
        )
        return [(x * width, (1 - y) * PLOT_HEIGHT) for x, y in zip(across, up, strict=True)]

    def encoding(self, rows: Sequence[Mapping[str, Any]]) -> Spec:
        """Return the encoding of the points' places."""
        return {
            "x": _log_axis(self.x, self.x_title, _shown(rows, self.x, self.x_ends)),
            "y": _log_axis(self.y, self.y_title, _shown(rows, self.y, self.y_ends)),
        }


def pareto_chart(
    rows: Sequence[dict[str, Any]],
    axes: Axes,
    *,
    colours: Mapping[str, str],
    tooltip: Mapping[str, str],
    described: str,
) -> Spec:
    """Draw points; the efficient ones are joined.

    Names are written where they cover nothing, those of the first points first; the tooltips and
    the table below the chart have them all.

    Args:
        rows: The points, the most important first, each with its `name`, its `kind`, whether it is
            `efficient`, and the fields of axes and tooltip; those of bands where it has one.
        axes: The axes.
        colours: The colour of each kind.
        tooltip: Titles by the fields that a tooltip has.
        described: What the chart shows, in words.
    """
    both = axes.encoding(rows)
    colour = by_label("kind", colours, symbolType="circle")
    told = [words(field, title=title) for field, title in tooltip.items()]
    layers = [
        *_band_layers(rows, axes, colour),
        layer(axes.efficient(rows), "line", both, color=MARK_COLOURS["optimal"], strokeDash=[4, 4]),
        layer(
            rows, "point", {**both, "color": colour, "tooltip": told},
            filled=True, size=90, opacity=1,
        ),
        *_name_layers(rows, axes),
    ]  # fmt: skip
    return chart(layers, described, _HEIGHT)


def _placed(values: Sequence[float], shown: Sequence[float]) -> list[float]:
    """Return where values lie on a logarithmic axis, from 0 to 1."""
    low, high = (math.log(end) for end in _domain(shown))
    return [(math.log(value) - low) / (high - low) for value in values]


def _shown(rows: Sequence[Mapping[str, Any]], field: str, ends: tuple[str, ...]) -> list[float]:
    """Return all that an axis shows of a field: its values, and the ends of their bands."""
    return [row[name] for row in rows for name in (field, *ends) if name in row]


def _domain(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of a logarithmic axis with a margin on both sides."""
    if not values:
        return 1.0, 10.0
    low, high = min(values), max(values)
    span = max(math.log(high / low), math.log(1.5))
    return low * math.exp(-span * _MARGIN), high * math.exp(span * _MARGIN)


def _log_axis(field: str, title: str, values: Sequence[float]) -> Spec:
    """Encode a number on a logarithmic axis with a margin on both sides."""
    return number(
        field,
        title=title,
        scale={"type": "log", "domain": list(_domain(values)), "nice": False},
        axis={"format": NUMBER, "tickCount": 6, "labelOverlap": "greedy", "labelSeparation": 6},
    )


def _band_layers(rows: Sequence[Mapping[str, Any]], axes: Axes, colour: Spec) -> list[Spec]:
    """Draw where estimates are likely to lie; nothing where none is an estimate."""
    fields = (*axes.x_ends, *axes.y_ends)
    banded = [row for row in rows if all(field in row for field in fields)]
    if not fields or not banded:
        return []
    encoding = {**axes.encoding(rows), "color": colour}
    for along, ends in (("x", axes.x_ends), ("y", axes.y_ends)):
        if ends:
            low, high = ends
            encoding[along] = {**encoding[along], "field": low}
            encoding[f"{along}2"] = {"field": high}
    return [layer(banded, "rule", encoding, strokeWidth=3, strokeCap="round", opacity=0.3)]


def _name_layers(rows: Sequence[dict[str, Any]], axes: Axes) -> list[Spec]:
    """Write the names of points, for each width those that have room there.

    The line of the efficient ones is not written over.
    """
    both, layers = axes.encoding(rows), []
    said, ends = [row["name"] for row in rows], [*WIDTHS[1:], None]
    for least, end in zip(WIDTHS, ends, strict=True):
        points = axes.pixels(rows, least)
        line = sorted(p for p, row in zip(points, rows, strict=True) if row["efficient"])
        places = label_places(said, points, least, PLOT_HEIGHT, line)
        is_drawn = f"width >= {least if least > WIDTHS[0] else 0}"
        is_drawn += f" && width < {end}" if end else ""
        for align in ("left", "right", "center"):
            placed = [
                {**row, "dx": place.dx, "dy": place.dy}
                for row, place in zip(rows, places, strict=True)
                if place is not None and place.align == align
            ]
            if placed:
                style = {
                    "align": align,
                    "baseline": "middle",
                    "fontSize": 12,
                    "color": TEXT,
                    "dx": {"expr": "datum.dx"},
                    "dy": {"expr": "datum.dy"},
                    "opacity": {"expr": f"{is_drawn} ? 1 : 0"},
                }
                layers.append(layer(placed, "text", {**both, "text": words("name")}, **style))
    return layers
