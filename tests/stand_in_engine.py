"""The real `execute` on a FakeProbe: notes the requests, and answers at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any
from unittest import mock

import app_probe
import pytest
from fakes import FakeProbe

from memorymark.api import model_calls as api
from memorymark.records.request import Request
from memorymark.service import execute as execute_module
from memorymark.service import live_check
from memorymark.settings import load_settings

_execute = execute_module.execute
_engine: StandInEngine | None = None


class StandInEngine:
    """Stands where `execute` is looked for.

    Attributes:
        requests: What was asked for, in order.
        probe: Answers all requests; None takes a fresh one that suits the target.
        raises: Is raised instead of an answer.
        result: Is the answer, where it is set.
        before: Called before each request is done.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.probe: FakeProbe | None = None
        self.raises: BaseException | None = None
        self.result: Any = None
        self.before: Callable[[], None] = lambda: None

    def execute(self, request: Request, **how: Any) -> Any:
        """Note the request and do it with the real function."""
        self.requests.append(request)
        self.before()
        if self.raises is not None:
            raise self.raises
        if self.result is not None:
            return self.result
        factory = f"{__name__}:make_probe"
        settings = dataclasses.replace(load_settings(), probe_factory=factory)
        return _execute(request, **{**how, "settings": settings})


def make_probe(device: str | None, gpu: str | None, memory_budget: int | None) -> FakeProbe:
    assert _engine is not None
    if _engine.probe is not None:
        return _engine.probe
    probe = app_probe.make_probe(device, gpu, memory_budget)
    probe.fixed_bytes = min(probe.fixed_bytes, probe.target.capacity_bytes // 2)
    return probe


def install(monkeypatch: pytest.MonkeyPatch) -> StandInEngine:
    """Put a stand-in, bound to the real signature, where `execute` is looked for."""
    global _engine
    _engine = StandInEngine()
    bound = mock.create_autospec(_execute, side_effect=_engine.execute)
    monkeypatch.setattr(execute_module, "execute", bound)
    monkeypatch.setattr(api, "execute", bound)
    monkeypatch.setattr(live_check, "execute", bound)
    return _engine
