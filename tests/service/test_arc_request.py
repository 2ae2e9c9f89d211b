"""ARC tasks as a request: on their device, in the app, and what comes in events."""

from __future__ import annotations

import pytest
from arc_worlds import small_decoder, written
from leases import is_held

from memorymark.errors import NotAllowed, NotAvailable, UsageError
from memorymark.records.arc_plan import ArcPlan
from memorymark.records.config import TrainingConfig
from memorymark.records.request import Request, RequestKind
from memorymark.service.execute import execute
from memorymark.settings import load_settings


@pytest.fixture(autouse=True)
def _home(home):
    """A home of its own, and one thread."""


def asked(device="cpu", gpu=None, config=None, **plan):
    arc = ArcPlan(**{"generated": 2, "steps": 1, **plan})
    config = config or TrainingConfig()
    return Request(RequestKind.ARC, "gpt2", config, device=device, gpu=gpu, arc=arc)


def test_a_device_is_held_while_tasks_are_answered():
    seen, settings = [], load_settings()

    def on_event(event):
        if event.text.startswith("Task"):
            seen.append((is_held("cpu:0", settings.locks_folder), event.progress))

    report = execute(asked(), settings=settings, workload=small_decoder(), on_event=on_event)
    assert seen == [(True, 0.5), (True, 1.0)] and len(report.tasks) == 2
    assert not is_held("cpu:0", settings.locks_folder)


def test_the_app_reads_and_writes_no_folder(tmp_path):
    def find(name):
        decoder = small_decoder()
        decoder.name = name
        return decoder

    for plan in ({"data": written(tmp_path / "tasks"), "generated": None},
                 {"checkpoint": str(tmp_path / "out")}):  # fmt: skip
        with pytest.raises(NotAllowed, match="named on the command line or in Python"):
            execute(asked(**plan), find_workload=find)
    assert len(execute(asked(), find_workload=find).tasks) == 2
    assert not (tmp_path / "out").exists()


def test_it_is_measured_and_takes_no_batch_size():
    with pytest.raises(NotAvailable, match="measured, not simulated"):
        execute(asked(device=None, gpu="l4"), workload=small_decoder())
    with pytest.raises(UsageError, match="arc takes no batch size"):
        Request(RequestKind.ARC, "gpt2", batch_size=4)


def test_the_command_line_says_the_same():
    request = asked(config=TrainingConfig(lora_rank=4), steps=32, target_accuracy=0.25)
    assert request.command() == (
        "memorymark arc gpt2 --device cpu --lora-rank 4 --generated 2 --steps 32 "
        "--target-accuracy 0.25"
    )
    assert Request.from_dict(request.to_dict()) == request
    assert Request(RequestKind.ARC, "gpt2").arc == ArcPlan()
