"""Workloads that stay between requests of one process: configurations, not models."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from memorymark.settings import Settings

if TYPE_CHECKING:
    from memorymark.workloads.base import Workload

KEPT_WORKLOADS = 8


def kept_workload(model: str, settings: Settings) -> Workload:
    """Return a workload; the last few stay, so that a rerun does not read them again.

    A workload holds a configuration. Of models, `probes/kept_models.py` keeps what a bound allows.
    """
    return _resolved(model, model in settings.workloads)


@lru_cache(maxsize=KEPT_WORKLOADS)
def _resolved(model: str, allow_code: bool) -> Workload:
    from memorymark.workloads import resolve

    return resolve(model, allow_code=allow_code)
