"""What takes long is worked out by one of the processes of a test run, for all of them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from filelock import FileLock


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[], Any]) -> Any:
    """Return what one process of this run has made, as it comes back from JSON.

    Args:
        factory: Names the folder of the run.
        name: Tells it from others.
        make: Makes it.
    """
    folder = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # each has a folder in that of the run
        folder = folder.parent
    file = folder / f"{name}.json"
    with FileLock(folder / f"{name}.lock"):
        if not file.exists():
            file.write_text(json.dumps(make()))
    return json.loads(file.read_text())
