"""Prices of this moment, from the providers' catalogues that gpuhunt collects.

gpuhunt downloads one catalogue for each provider and asks a few of them directly. An item is a
whole machine: its price is divided by its GPUs, so that processor, memory and disk are in it.
Machines are told apart by the GPU's name and memory alone, not by its form (SXM or PCIe).
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from memorymark.errors import MissingPackage, NotAvailable
from memorymark.gpus.price_list import MARKETPLACE, ON_DEMAND, SPOT, Price

_TIMEOUT_S = 30.0
# gpuhunt's name and GB of memory by the key of the catalogue: gpuhunt.KNOWN_NVIDIA_GPUS.
NAMES = {
    "p100": ("P100", 16), "t4": ("T4", 16), "v100-16gb": ("V100", 16), "v100-32gb": ("V100", 32),
    "rtx-3060": ("RTX3060", 12), "rtx-3090": ("RTX3090", 24), "rtx-4060": ("RTX4060", 8),
    "rtx-4080": ("RTX4080", 16), "rtx-4090": ("RTX4090", 24), "rtx-5090": ("RTX5090", 32),
    "a6000": ("A6000", 48), "rtx-6000-ada": ("RTX6000Ada", 48), "l4": ("L4", 24),
    "a10": ("A10", 24), "a10g": ("A10G", 24), "l40s": ("L40S", 48), "a100-40gb": ("A100", 40),
    "a100-80gb": ("A100", 80), "a100-80gb-pcie": ("A100", 80), "h100-80gb": ("H100", 80),
    "gh200-96gb": ("GH200", 96), "h200": ("H200", 141), "b200": ("B200", 180),
}  # fmt: skip
# How people know them; others are named as gpuhunt does.
_PROVIDERS = {
    "aws": "AWS", "azure": "Azure", "cloudrift": "CloudRift", "gcp": "GCP",
    "lambdalabs": "Lambda", "nebius": "Nebius", "oci": "Oracle Cloud", "runpod": "RunPod",
    "vastai": "Vast.ai", "verda": "Verda",
}  # fmt: skip
_MARKETPLACES = ("vastai",)


def live_prices(
    fetch: Callable[[], Iterable[Any]] | None = None, timeout_s: float = _TIMEOUT_S
) -> tuple[Price, ...]:
    """Fetch the lowest price of each provider, kind and GPU of the catalogue.

    Args:
        fetch: Returns gpuhunt's catalogue items; None asks the providers.
        timeout_s: How long to wait in seconds.

    Raises:
        MissingPackage: gpuhunt is not installed.
        NotAvailable: No catalogue can be fetched, or none in time.
    """
    items = _in_time(fetch or _fetcher(), timeout_s)
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    lowest: dict[tuple[str, str, str], Price] = {}
    for item in items:
        for price in _prices_in(item, now):
            key = (price.gpu, price.provider, price.kind)
            if key not in lowest or price.usd_per_hour < lowest[key].usd_per_hour:
                lowest[key] = price
    if not lowest:
        raise NotAvailable("The providers' catalogues hold no price of a GPU that is known here.")
    return tuple(lowest.values())


def _fetcher() -> Callable[[], Iterable[Any]]:
    try:
        import gpuhunt
    except ImportError as error:
        raise MissingPackage("gpuhunt", "A live price") from error
    names = sorted({name for name, _ in NAMES.values()})
    return lambda: gpuhunt.default_catalog().query(gpu_vendor="nvidia", gpu_name=names)


def _in_time(fetch: Callable[[], Iterable[Any]], timeout_s: float) -> list[Any]:
    """Wait for what is fetched; gpuhunt itself waits as long as a connection stands."""
    ended: list[Any] = []

    def work() -> None:
        try:
            with _quiet():
                ended.append([*fetch()])
        except Exception as error:  # of any provider's client
            ended.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(timeout_s)
    if not ended:
        raise NotAvailable(f"No live prices came within {timeout_s:g} s.")
    if isinstance(ended[0], Exception):
        raise NotAvailable(f"Live prices cannot be fetched: {_reason(ended[0])}.") from ended[0]
    return ended[0]


def _reason(error: BaseException) -> str:
    """Return what an error says, and what was behind it, such as a closed network."""
    said = str(error).strip().rstrip(".") or type(error).__name__
    behind = error.__cause__
    if behind is None:
        return said
    reason = getattr(behind, "reason", behind)
    return f"{said} ({getattr(reason, 'strerror', None) or reason})"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep gpuhunt's log, with its tracebacks, from those who asked for prices."""
    log = logging.getLogger("gpuhunt")
    before, silent = log.propagate, logging.NullHandler()
    log.propagate = False
    log.addHandler(silent)
    try:
        yield
    finally:
        log.removeHandler(silent)
        log.propagate = before


def _prices_in(item: Any, now: str) -> Iterable[Price]:
    """Return the prices that a machine stands for: of each GPU with its name and memory."""
    if not item.gpu_count or not item.price or item.gpu_memory is None:
        return
    kind = SPOT if item.spot else MARKETPLACE if item.provider in _MARKETPLACES else ON_DEMAND
    for gpu, (name, memory_gb) in NAMES.items():
        if str(item.gpu_name).lower() == name.lower() and round(item.gpu_memory) == memory_gb:
            yield Price(
                gpu=gpu,
                provider=_PROVIDERS.get(item.provider, item.provider),
                kind=kind,
                usd_per_hour=item.price / item.gpu_count,
                product=_product(item),
                source=f"gpuhunt's catalogue of {item.provider}",
                observed_at=now,
            )


def _product(item: Any) -> str:
    count = f"{item.gpu_count} x " if item.gpu_count > 1 else ""
    return f"{item.instance_name} ({count}{item.gpu_name} {item.gpu_memory:g}GB) in {item.location}"
