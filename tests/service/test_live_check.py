"""A live training is checked by a request like any other."""

import pytest
import torch
from torch import nn

from memorymark.records.config import TrainingConfig
from memorymark.records.request import Request, RequestKind
from memorymark.service import live_check
from memorymark.workloads.live.live_workload import LiveTraining

CONFIG = TrainingConfig(precision="amp-bf16")


@pytest.fixture
def asked(monkeypatch):
    requests = []
    monkeypatch.setattr(
        live_check, "execute", lambda request, *, workload, cancel: requests.append(request)
    )
    return requests


def training():
    return LiveTraining(nn.Linear(4, 4), (torch.rand(6, 4), torch.rand(6, 4)))


def test_the_request_has_the_batch_of_the_training(asked):
    live_check.check_live(training(), CONFIG, gpu="l4", memory_budget="2GiB", largest=True)
    live_check.check_live(training(), CONFIG, device="cuda:1")
    assert asked == [
        Request(RequestKind.FITS, "Linear", CONFIG, None, "l4", 2 << 30, 6, largest=True),
        Request(RequestKind.FITS, "Linear", CONFIG, "cuda:1", batch_size=6),
    ]


def test_a_region_of_autocast_gives_the_precision_where_nothing_is_said(asked):
    with torch.autocast("cpu", dtype=torch.float16):
        live_check.check_live(training(), gpu="l4")
    assert asked[0].config == TrainingConfig(precision="amp-fp16")
