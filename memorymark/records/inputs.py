"""What a link carries beside its run: the inputs of the costs that a visitor changed."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any

from memorymark.errors import UsageError, quoted
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.option import options_of
from memorymark.records.prices import PriceKind, prices_text, read_prices
from memorymark.records.request import Request

PRICE = "price_per_hour"
PLAN = ("dataset_size", "epochs", "runs_per_year")
MONEY = (PRICE, *PLAN)
PRICES = "prices"
PRICE_KIND = "price_kind"
INPUT_NAMES = (*MONEY, PRICES, PRICE_KIND)
_MOST_SAID = 3  # an address can name any number of GPUs


@dataclass(frozen=True)
class Inputs:
    """Inputs that were changed.

    Attributes:
        values: Options by name; None where one was emptied.
        prices: Dollars per hour by key of the GPU catalogue.
        price_kind: The kind of price that a comparison is shown at; None for that of its run.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    prices: Mapping[str, float] = field(default_factory=dict)
    price_kind: PriceKind | None = None


def inputs_to_query(inputs: Inputs) -> dict[str, str]:
    """Write inputs as parameters of an address; an emptied one is an empty parameter.

    Example:
        >>> inputs_to_query(Inputs({"epochs": 3, "dataset_size": None}, {"l4": 0.8}))
        {'dataset_size': '', 'epochs': '3', 'prices': 'l4:0.8'}
        >>> inputs_to_query(Inputs(price_kind=PriceKind.SPOT))
        {'price_kind': 'spot'}
    """
    said = {
        name: "" if inputs.values[name] is None else str(inputs.values[name])
        for name in MONEY
        if name in inputs.values
    }
    if inputs.prices:
        said[PRICES] = prices_text(inputs.prices)
    if inputs.price_kind is not None:
        said[PRICE_KIND] = str(inputs.price_kind)
    return said


def inputs_from_query(
    query: Mapping[str, str], gpus: Container[str]
) -> tuple[Inputs, tuple[str, ...]]:
    """Read inputs from the parameters of an address.

    Args:
        query: The parameters.
        gpus: The keys of the GPUs that have a price.

    Returns:
        The inputs, and a sentence for each that is not accepted and was left out.
    """
    declared = {**options_of(AnalysisOptions), PRICE_KIND: options_of(Request)[PRICE_KIND]}
    values, refused = {}, []
    for name in (*MONEY, PRICE_KIND):
        text = query.get(name)
        try:
            if text is not None:
                values[name] = declared[name].parse(text) if text.strip() else None
        except UsageError as error:
            refused.append(str(error))
    kind = values.pop(PRICE_KIND, None)
    prices, more = _read_prices(query.get(PRICES, ""), gpus)
    return Inputs(values, prices, kind), (*refused, *more)


def _read_prices(text: str, gpus: Container[str]) -> tuple[dict[str, float], list[str]]:
    try:
        prices = dict(read_prices(text))
    except UsageError as error:
        return {}, [str(error)]
    known = {name: price for name, price in prices.items() if name in gpus}
    unknown = [name for name in prices if name not in gpus]
    said = [
        f"There is no GPU {quoted(name)} in the catalogue to give a price."
        for name in unknown[:_MOST_SAID]
    ]
    more = len(unknown) - len(said)
    return known, [*said, *([f"{more:,} more names are of no GPU either."] if more else [])]
