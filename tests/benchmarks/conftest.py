"""Makes the benchmarks importable, as their own scripts see each other, and keeps them short."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))


@pytest.fixture(scope="package", autouse=True)
def frozen_libraries():
    """Leave the libraries out of the collections of garbage: they are most of what there is."""
    import transformers.models.bert.modeling_bert  # noqa: F401

    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
