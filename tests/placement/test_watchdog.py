"""What the watchdog of a build leaves behind."""

import subprocess
import sys
import time

import pytest

from memorymark.bounds import Bounds, Meter
from memorymark.errors import BoundReached
from memorymark.placement.watchdog import watched

PROFILED = """
import cProfile
from memorymark.bounds import Bounds, Meter
from memorymark.placement.watchdog import watched

with watched(Meter("The build", Bounds(), lambda: None)):
    pass
print(cProfile.Profile().runcall(lambda: "went on"))
"""


def test_code_runs_under_a_profiler_afterwards():
    # A process of its own: where this fails, the next call never returns.
    done = subprocess.run(
        [sys.executable, "-c", PROFILED], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "went on"


def test_plain_python_is_ended_and_nothing_is_raised_later():
    meter = Meter("The build", Bounds(seconds=0.05), lambda: None)
    with pytest.raises(BaseException) as ended, watched(meter):
        while True:
            pass
    assert isinstance(meter.reached, BoundReached), ended
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        pass
