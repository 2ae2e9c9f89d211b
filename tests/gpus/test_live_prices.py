"""Live prices, from made-up items of gpuhunt's own classes: nothing here asks the network."""

import builtins
import logging
import re
import threading

import gpuhunt
import pytest

from memorymark.errors import MissingPackage, NotAvailable
from memorymark.gpus.catalogue import rentable_gpus
from memorymark.gpus.live_prices import NAMES, live_prices


def item(gpu="A100", memory=40.0, price=2.0, count=1, spot=False, provider="runpod", **more):
    return gpuhunt.CatalogItem(
        provider=provider, instance_name="big", location="eu-1", price=price, cpu=8, memory=64,
        gpu_count=count, gpu_name=gpu, gpu_memory=memory, spot=spot, disk_size=None,
        gpu_vendor=gpuhunt.AcceleratorVendor.NVIDIA, **more,
    )  # fmt: skip


def found(*items):
    return {(p.gpu, p.provider, p.kind): p for p in live_prices(lambda: items)}


def test_every_gpu_of_the_catalogue_has_gpuhunts_name():
    assert NAMES.keys() == rentable_gpus().keys()
    known = {(each.name, each.memory) for each in gpuhunt.KNOWN_NVIDIA_GPUS}
    assert set(NAMES.values()) <= known


def test_a_machines_price_is_shared_by_its_gpus_and_the_lowest_of_a_provider_counts():
    prices = found(item(price=8.8, count=4), item(price=3.0), item(price=2.5, provider="aws"))
    assert prices["a100-40gb", "RunPod", "on-demand"].usd_per_hour == pytest.approx(2.2)
    assert prices["a100-40gb", "AWS", "on-demand"].usd_per_hour == 2.5
    assert "4 x A100 40GB" in prices["a100-40gb", "RunPod", "on-demand"].product


def test_spot_marketplace_and_list_prices_are_kept_apart():
    prices = found(item(), item(spot=True, price=0.7), item(provider="vastai", price=0.5))
    assert {key[2]: price.usd_per_hour for key, price in prices.items()} == {
        "on-demand": 2.0, "spot": 0.7, "marketplace": 0.5,
    }  # fmt: skip


def test_name_and_memory_tell_gpus_apart():
    prices = found(item(memory=80.0), item(gpu="MI300X", memory=192.0), item(gpu="L4", memory=24.0))
    assert {key[0] for key in prices} == {"a100-80gb", "a100-80gb-pcie", "l4"}


def test_a_price_says_who_when_and_where():
    (price,) = found(item(gpu="T4", memory=16.0)).values()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", price.observed_at)
    assert price.described.startswith("RunPod on-demand, big (T4 16GB) in eu-1; seen at gpuhunt's")


def closed():
    logging.getLogger("gpuhunt._internal.catalog").error("with a traceback")
    raise gpuhunt.GPUHuntError("Failed to load catalogs of all providers") from OSError("no route")


def test_a_closed_network_is_one_sentence_and_no_log(caplog):
    with pytest.raises(NotAvailable, match=r"cannot be fetched: Failed .* \(no route\)\.$"):
        live_prices(closed)
    assert not caplog.records
    assert logging.getLogger("gpuhunt").propagate


def test_a_provider_that_never_answers_does_not_hold_us_up():
    forever = threading.Event()
    with pytest.raises(NotAvailable, match=r"within 0.05 s"):
        live_prices(lambda: forever.wait() or (), timeout_s=0.05)
    forever.set()


def test_a_catalogue_without_any_known_gpu_is_said():
    with pytest.raises(NotAvailable, match="no price"):
        live_prices(lambda: [item(gpu="MI300X")])


def test_without_gpuhunt_the_command_that_installs_it_is_said(monkeypatch):
    real = builtins.__import__

    def missing(name, *rest):
        if name == "gpuhunt":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(MissingPackage, match="pip install gpuhunt"):
        live_prices()


def test_the_providers_are_asked_through_gpuhunts_own_query(monkeypatch):
    catalog = gpuhunt.Catalog(auto_reload=False)
    asked = {}

    def query(**given):
        asked.update(given)
        return [item()]

    monkeypatch.setattr(catalog, "query", query)
    monkeypatch.setattr(gpuhunt, "default_catalog", lambda: catalog)
    assert live_prices()[0].usd_per_hour == 2.0
    assert asked["gpu_vendor"] == "nvidia" and {"A100", "RTX4090"} <= set(asked["gpu_name"])
