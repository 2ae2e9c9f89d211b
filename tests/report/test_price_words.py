"""The sentence on whose prices a comparison is made with."""

from memorymark.report.price_words import price_owner, price_words


def row(gpu, usd=1.0, source="RunPod on-demand, x; seen at y", at="2026-10-01"):
    priced = usd is not None
    return {
        "gpu": gpu, "name": f"NVIDIA {gpu.upper()}", "usd_per_hour": usd,
        "price_source": source if priced else None, "price_observed_at": at if priced else None,
    }  # fmt: skip


def test_prices_of_one_provider():
    assert price_words([row("a"), row("b")]) == (
        "Prices: RunPod on-demand for 2 GPUs, seen 2026-10-01."
    )


def test_prices_of_several_providers_are_told_apart():
    said = price_words([row("a"), row("b"), row("c", 2.0, "Lambda on-demand, c", "2026-07-01")])
    assert said.startswith(
        "Prices: RunPod on-demand for 2 GPUs, Lambda on-demand for 1 GPU, "
        "seen 2026-07-01 to 2026-10-01. Compare GPUs of one provider first"
    )


def test_a_missing_price_is_named_with_what_to_do():
    said = price_words([row("a"), row("a10g", None)], how="type one into the table")
    assert said.endswith(" No price for A10G: type one into the table.")


def test_a_price_that_was_typed_in_is_yours():
    said = price_words([row("a"), row("a10g", None)], edited=["a10g"])
    assert "RunPod on-demand for 1 GPU, your price for 1 GPU" in said and "No price" not in said


def test_no_price_at_all():
    assert price_words([row("a", None)]) == "Prices: none known. No price for A."


def test_records_of_older_versions_name_their_providers_too():
    assert price_owner("Modal on-demand price, as listed by techbytes.app") == "Modal on-demand"
    assert price_owner(None) is None
