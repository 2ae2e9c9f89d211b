"""Whichever names set the precision of fp32 arithmetic: it is read without an error and kept."""

import pytest
import torch
from torch import nn

import memorymark
from memorymark.placement.fp32_precision import precision_restorer


def readout():
    def said(read):
        try:
            return read()
        except RuntimeError:
            return "refused"

    backends = torch.backends
    return [
        said(torch.get_float32_matmul_precision), said(lambda: backends.cudnn.allow_tf32),
        backends.fp32_precision, backends.cuda.matmul.fp32_precision,
        backends.cudnn.fp32_precision, backends.cudnn.conv.fp32_precision,
        backends.mkldnn.matmul.fp32_precision,
    ]  # fmt: skip


def everywhere():
    torch.backends.fp32_precision = "tf32"


def nowhere():
    torch.backends.fp32_precision = "ieee"


def in_matmul():
    torch.backends.cuda.matmul.fp32_precision = "tf32"


def in_convolutions():
    torch.backends.cudnn.allow_tf32 = False


def by_the_older_name():
    torch.set_float32_matmul_precision("high")


EACH = [everywhere, nowhere, in_matmul, in_convolutions, by_the_older_name]


@pytest.fixture(autouse=True)
def as_before(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMORYMARK_HOME", str(tmp_path))
    restore, before = precision_restorer(), readout()
    torch.set_float32_matmul_precision("highest")  # whatever tests before this one have left
    yield
    restore()
    assert readout() == before


@pytest.mark.parametrize("choose", EACH)
def test_it_is_put_back(choose):
    before = readout()
    restore = precision_restorer()
    choose()
    assert readout() != before
    restore()
    assert readout() == before


@pytest.mark.parametrize("choose", [everywhere, in_matmul])
@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_training_runs_where_the_newer_names_were_used(choose, precision):
    choose()
    before = readout()

    def factory():
        return nn.Linear(8, 8), lambda n: torch.rand(n, 8), lambda model, x: model(x).mean()

    config = memorymark.TrainingConfig(precision=precision)
    assert memorymark.estimate(factory, config, batch_size=2, gpu="l4").fits
    assert memorymark.measure(factory, config, batch_size=2, device="cpu").fits
    assert readout()[2:] == before[2:]


def test_training_runs_where_the_factory_uses_the_newer_names():
    def factory():
        everywhere()
        return nn.Linear(8, 8), lambda n: torch.rand(n, 8), lambda model, x: model(x).mean()

    before = readout()
    assert memorymark.estimate(factory, batch_size=2, gpu="l4").fits
    assert readout() == before
