"""Stand-ins have the signatures of what they stand for: a change there breaks the tests here."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable
from typing import Any

import app_probe
import pytest
import stand_in_engine
import tiny
import torch
from fake_accelerators import FakeCuda, FakeMps
from fake_nvml import FakeNvml
from fakes import FakeProbe, FakeWorkload

from memorymark.gpus import telemetry
from memorymark.probes.back_end import AcceleratorDevice
from memorymark.probes.choose import resolve_probe
from memorymark.probes.cpu import CpuProbe
from memorymark.probes.cuda import CudaDevice, CudaProbe
from memorymark.probes.mps import MpsDevice, MpsProbe
from memorymark.probes.probe import Probe
from memorymark.probes.simulated import SimulatedProbe
from memorymark.records.config import TrainingConfig
from memorymark.workloads.base import Workload
from memorymark.workloads.registry import resolve
from memorymark.workloads.trial_spec import TrialSpec


def public(kind: Any) -> set[str]:
    """The names that a class offers: methods, properties and what it only declares."""
    declared = {
        name for base in inspect.getmro(kind) for name in vars(base).get("__annotations__", ())
    }
    return {name for name in {*dir(kind), *declared} if not name.startswith("_")}


def parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """A function's parameters, without the self of a method."""
    found = list(inspect.signature(function).parameters.values())
    return found[1:] if found and found[0].name in ("self", "cls") else found


def shape(function: Callable[..., Any]) -> list[tuple[str, Any, Any]]:
    return [(each.name, each.kind, each.default) for each in parameters(function)]


def differences(fake: Any, real: Any) -> list[str]:
    """Say where a stand-in's methods are not those of what it stands for."""
    found = []
    for name in sorted(public(real)):
        expected = inspect.getattr_static(real, name, None)
        given = inspect.getattr_static(fake, name, None)
        if inspect.isfunction(expected):
            if not inspect.isfunction(given) or shape(given) != shape(expected):
                found.append(name)
        elif isinstance(expected, property) and inspect.isfunction(given):
            found.append(name)
    return found


def accepts_less(fake: Callable[..., Any], real: Callable[..., Any]) -> bool:
    """Whether each call that the stand-in takes is one that the real function takes too."""
    given, expected = parameters(fake), parameters(real)
    names = [each.name for each in given]
    if names != [each.name for each in expected[: len(given)]]:
        return False
    needed = [each for each in expected[len(given) :] if each.default is each.empty]
    loose = [
        one
        for one, other in zip(given, expected, strict=False)
        if one.default is not one.empty and other.default is other.empty
    ]
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return not [each for each in needed if each.kind not in variadic] and not loose


# ---- the checks find what they are for -------------------------------------------------------


def test_a_changed_signature_is_found() -> None:
    class Renamed(FakeProbe):
        def run_trial(self, trial: TrialSpec) -> Any: ...

    class Longer(FakeProbe):
        def run_trial(self, spec: TrialSpec, steps: int = 1) -> Any: ...

    class Shorter:
        target = None

    assert differences(Renamed, Probe) == differences(Longer, Probe) == ["run_trial"]
    methods = ["quick_look", "run_sessions", "run_trial", "session_rooms", "simulation", "span"]
    assert differences(Shorter, Probe) == methods
    assert not accepts_less(lambda index: 0, lambda device=None: 0)
    assert not accepts_less(lambda: 0, lambda device: 0)
    assert not accepts_less(lambda device=None: 0, lambda device: 0)
    assert accepts_less(lambda device: 0, lambda device=None, more=1: 0)


# ---- our own protocols -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [FakeProbe, CudaProbe, MpsProbe, CpuProbe, SimulatedProbe])
def test_probes_have_the_methods_of_a_probe(kind: type) -> None:
    assert Probe in kind.__mro__
    assert differences(kind, Probe) == []


def test_the_fake_probe_offers_little_else() -> None:
    # batch_sizes is for the tests; workload is what `execute` asks a probe of the user's own for
    assert public(FakeProbe) - public(Probe) == {"batch_sizes", "workload"}
    assert len(parameters(FakeProbe.workload)) == 1
    (needed,) = [each for each in parameters(resolve) if each.default is each.empty]
    assert shape(FakeProbe.workload) == [(needed.name, needed.kind, needed.default)]


def test_the_fake_workload_has_all_of_a_workload() -> None:
    assert {"name", "runs_own_code", "build", "batch", "forward"} <= public(Workload)
    fake = FakeWorkload()
    assert [name for name in sorted(public(Workload)) if not hasattr(fake, name)] == []
    assert differences(FakeWorkload, Workload) == []
    assert fake.runs_own_code is Workload.runs_own_code
    assert fake.describe(TrainingConfig()) == tiny.TinyNet().describe(TrainingConfig())


@pytest.mark.parametrize("kind", [tiny.TinyNet, tiny.Raising, tiny.Leaking])
def test_the_small_workloads_are_workloads(kind: type) -> None:
    assert differences(kind, Workload) == []


@pytest.mark.parametrize("kind", [CudaDevice, MpsDevice])
def test_devices_have_the_calls_that_a_trial_needs(kind: type) -> None:
    assert len(public(AcceleratorDevice)) > 10
    assert differences(kind, AcceleratorDevice) == []


def test_factories_take_the_place_of_resolve_probe() -> None:
    names = [each.name for each in parameters(resolve_probe)]
    for factory in (app_probe.make_probe, stand_in_engine.make_probe):
        assert [each.name for each in parameters(factory)] == names


# ---- torch and NVML --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fake", "module", "some"),
    [
        (FakeCuda, torch.cuda, {"mem_get_info", "memory_stats", "device", "Event"}),
        (FakeMps, torch.mps, {"recommended_max_memory", "set_per_process_memory_fraction"}),
    ],
    ids=["torch.cuda", "torch.mps"],
)
def test_accelerators_have_torchs_own_signatures(fake: type, module: Any, some: set[str]) -> None:
    names = public(fake)
    assert some <= names
    wrong = [
        name
        for name in sorted(names)
        if not accepts_less(getattr(fake, name), getattr(module, name))
    ]
    assert wrong == []


def test_events_are_torchs_own() -> None:
    assert public(FakeCuda.Event) == {"record", "elapsed_time"}
    for name in public(FakeCuda.Event):
        assert accepts_less(getattr(FakeCuda.Event, name), getattr(torch.cuda.Event, name))


def test_what_the_devices_call_is_in_the_stand_ins() -> None:
    """A call that only the real module knows would never be tested."""
    for kind, fake in ((CudaDevice, FakeCuda), (MpsDevice, FakeMps)):
        module = {CudaDevice: "_cuda", MpsDevice: "_mps"}[kind]
        source = inspect.getsource(kind)
        called = {part.split("(")[0].split(".")[0] for part in source.split(f"self.{module}.")[1:]}
        assert len(called) > 4
        assert called - public(fake) == set()


def test_nvml_has_the_packages_own_signatures() -> None:
    pynvml = importlib.import_module("pynvml")
    names = {name for name in vars(FakeNvml) if name.startswith("nvml")}
    functions = {name for name in names if callable(getattr(pynvml, name))}
    assert names - functions == {"nvmlMemory_v2"}
    wrong = [n for n in functions if not accepts_less(getattr(FakeNvml, n), getattr(pynvml, n))]
    assert wrong == []
    asked = set(re.findall(r'"(nvml[A-Z]\w+)"', inspect.getsource(telemetry)))
    assert len(asked) > 8
    assert asked <= names
