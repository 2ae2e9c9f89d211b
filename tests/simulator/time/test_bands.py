"""The band of an estimate: as wide as what is not known."""

import pytest

from memorymark.gpus.catalogue import find_gpu
from memorymark.records.config import Precision
from memorymark.simulator.time.bands import Family, band_of, family_of
from memorymark.simulator.time.clock import StepTime
from memorymark.simulator.time.kernels import Kind


def step(host_seconds=0.1, **shares):
    shares = {Kind[name.upper()]: share for name, share in shares.items()} or {Kind.PRODUCT: 1.0}
    return StepTime(1.0, 1.0, host_seconds, shares)


def factor(found):
    return found.high_seconds / found.low_seconds


def band(found=None, gpu="rtx-3090", precision=Precision.AMP_FP16):
    return band_of(found or step(), find_gpu(gpu), precision)


def test_a_band_lies_around_its_estimate():
    found = band()
    assert found.low_seconds < 1.0 < found.high_seconds
    assert found.low_seconds * found.high_seconds == pytest.approx(1.0)


def test_it_is_wider_for_cards_formats_and_hosts_that_are_not_known():
    seen, other, unseen = (factor(band(gpu=key)) for key in ("rtx-3090", "a10", "h100-80gb"))
    assert seen < other < unseen < factor(band(gpu="m4-16gb"))
    assert factor(band(precision=Precision.FP32)) > seen
    assert factor(band(step(host_seconds=2.0))) > seen


def test_the_family_is_what_takes_the_time():
    assert family_of(step()) is Family.PRODUCTS
    assert family_of(step(product=0.5, convolution=0.5)) is Family.CONVOLUTIONS
    assert family_of(step(convolution=0.9, depthwise_last=0.1)) is Family.DEPTHWISE
    assert family_of(step(convolution=0.8, grouped=0.2)) is Family.GROUPED
    widths = [factor(band(step(**{kind: 1.0}))) for kind in ("product", "convolution", "grouped")]
    assert widths == sorted(widths)


def test_the_sentence_names_the_factor_and_what_widens_it():
    plain, wider = band().sentence, band(gpu="t4").sentence
    assert "factor of 1.16" in plain and "matrix products" in plain and "wider" not in plain
    assert "no published step times of such a card" in wider


def test_a_band_of_apples_says_whose_kernels_are_taken():
    said = band(gpu="m4-16gb").sentence
    assert "MPS's kernels are taken to reach the shares of peaks that CUDA's do" in said
