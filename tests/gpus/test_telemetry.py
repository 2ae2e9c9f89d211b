"""NVML readings, with a stand-in for pynvml: cards, permissions, containers, nothing at all."""

import os
import sys
from types import SimpleNamespace
from unittest.mock import create_autospec

import pytest
import torch
from fake_nvml import FakeNvml, card, process

from memorymark.gpus import telemetry
from memorymark.gpus.telemetry import Telemetry, read_telemetry

GIB = 1024**3
OWN = os.getpid()
REAL = dict(vars(telemetry))


@pytest.fixture(autouse=True)
def plain_surroundings(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    answer(monkeypatch, "_torch_uuid", None)
    answer(monkeypatch, "_sees_host_pids", True)


def answer(monkeypatch, function, value):
    """Let a function of the module answer with a value, its arguments checked all the same."""
    stand_in = create_autospec(REAL[function], return_value=value)
    monkeypatch.setattr(telemetry, function, stand_in)


@pytest.fixture
def install(monkeypatch):
    def put(*cards, refused=()):
        stand_in = FakeNvml(list(cards), refused)
        monkeypatch.setitem(sys.modules, "pynvml", stand_in)
        return stand_in

    return put


def test_a_card_is_read(install):
    nvml = install(card(1, compute=[process(OWN, GIB)]))
    reading = read_telemetry()
    assert reading == Telemetry(
        name="NVIDIA Test 1",
        uuid="GPU-11aa-bb",
        driver_version="580.82.07",
        total_bytes=24 * GIB,
        used_bytes=GIB,
        free_bytes=23 * GIB - GIB // 2,
        own_bytes=GIB,
        other_processes=(),
    )
    assert reading.is_here
    assert (nvml.starts, nvml.ends) == (1, 1)


def test_other_processes_are_named_with_their_owner(install, monkeypatch):
    owners = create_autospec(REAL["_owner"], side_effect={41: "ada", 42: None}.get)
    monkeypatch.setattr(telemetry, "_owner", owners)
    install(card(1, compute=[process(42, None), process(41, 2 * GIB), process(OWN, GIB)]))
    first, second = read_telemetry().other_processes
    assert (first.pid, first.name, first.user, first.used_bytes) == (41, "python3", "ada", 2 * GIB)
    assert (second.pid, second.user, second.used_bytes) == (42, None, None)


def test_the_owner_is_read_from_the_system():
    assert telemetry._owner(OWN) is not None
    assert telemetry._owner(2**30) is None


def test_a_process_on_both_lists_counts_once(install):
    install(card(1, compute=[process(7, GIB)], graphics=[process(7, None), process(8, GIB)]))
    others = read_telemetry().other_processes
    assert [(other.pid, other.used_bytes) for other in others] == [(7, GIB), (8, GIB)]


def test_memory_that_the_driver_does_not_tell_is_unknown(install):
    install(card(1, compute=[process(OWN, None)]))
    assert read_telemetry().own_bytes is None
    assert read_telemetry().other_processes == ()


def test_in_a_container_nobody_is_mistaken_for_somebody(install, monkeypatch):
    answer(monkeypatch, "_sees_host_pids", False)
    install(card(1, compute=[process(1, GIB), process(2**30, 2 * GIB)]))
    reading = read_telemetry()
    assert reading.own_bytes is None
    assert [(other.name, other.user) for other in reading.other_processes] == [(None, None)] * 2
    assert [other.used_bytes for other in reading.other_processes] == [GIB, 2 * GIB]


@pytest.mark.parametrize(
    ("visible", "index", "name"),
    [
        (None, 1, "NVIDIA Test 2"),
        ("2,0", 0, "NVIDIA Test 3"),
        ("2,0", 1, "NVIDIA Test 1"),
        ("GPU-22aa-bb", 0, "NVIDIA Test 2"),
        ("GPU-3, GPU-1", 1, "NVIDIA Test 1"),
    ],
)
def test_devices_are_counted_as_torch_counts_them(install, monkeypatch, visible, index, name):
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    install(card(1), card(2), card(3))
    assert read_telemetry(index).name == name


@pytest.mark.parametrize("uuid", ["GPU-22aa-bb", "22aa-bb", "22AA-BB"])
def test_a_uuid_beats_the_index(install, monkeypatch, uuid):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    install(card(1), card(2))
    assert read_telemetry(0, uuid=uuid).name == "NVIDIA Test 2"


def test_the_uuid_of_torch_is_used(install, monkeypatch):
    answer(monkeypatch, "_torch_uuid", "33aa-bb")
    install(card(1), card(2), card(3))
    assert read_telemetry(0).name == "NVIDIA Test 3"


@pytest.mark.parametrize("visible", ["", "-1", "7", "0", "GPU-99", "GPU-", "MIG-1234"])
def test_a_device_that_is_not_there_is_not_here(install, monkeypatch, visible):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    install(card(1))
    reading = read_telemetry(1 if visible == "0" else 0)
    assert not reading.is_here
    assert reading.reason
    assert reading.driver_version == "580.82.07"


def test_an_ambiguous_uuid_names_nobody(install):
    install(card(1), card(1))
    assert not read_telemetry(uuid="11").is_here


def test_without_the_package_nothing_is_here(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    reading = read_telemetry()
    assert reading == Telemetry(reason="The package nvidia-ml-py is not installed.")
    assert not reading.is_here


def test_without_a_driver_nothing_is_here(install):
    install(refused=["nvmlInit"])
    reading = read_telemetry()
    assert not reading.is_here
    assert "Insufficient Permissions" in reading.reason


def test_without_permission_for_processes_the_memory_is_still_read(install):
    install(card(1), refused=["nvmlDeviceGetComputeRunningProcesses"])
    reading = read_telemetry()
    assert reading.used_bytes == GIB
    assert reading.own_bytes is None
    assert reading.other_processes is None
    assert "nvmlDeviceGetComputeRunningProcesses" in reading.reason


def test_a_process_that_may_not_be_named_is_no_trouble(install):
    install(card(1, compute=[process(7, GIB)]), refused=["nvmlSystemGetProcessName"])
    reading = read_telemetry()
    assert reading.other_processes[0].name is None
    assert reading.reason is None


def test_an_old_driver_counts_memory_the_old_way(install):
    install(card(1), refused=["memory v2"])
    reading = read_telemetry()
    assert reading.used_bytes == GIB + GIB // 2
    assert reading.reason is None


def test_without_memory_figures_the_card_is_still_named(install):
    install(card(1), refused=["memory v1", "memory v2"])
    reading = read_telemetry()
    assert reading.name == "NVIDIA Test 1"
    assert reading.total_bytes is reading.used_bytes is reading.free_bytes is None
    assert "nvmlDeviceGetMemoryInfo" in reading.reason


def test_a_partitioned_card_gives_no_figures(install):
    install(card(1, mig=1))
    reading = read_telemetry()
    assert reading.is_here
    assert reading.total_bytes is None
    assert "MIG" in reading.reason
    install(card(1, mig=0))
    assert read_telemetry().total_bytes == 24 * GIB


def test_torch_is_asked_only_where_cuda_is_set_up(monkeypatch):
    monkeypatch.undo()
    properties = create_autospec(
        torch.cuda.get_device_properties,
        side_effect=lambda device: SimpleNamespace(uuid=f"uuid-{device}"),
    )
    is_initialized = create_autospec(torch.cuda.is_initialized, return_value=False)
    monkeypatch.setattr(torch.cuda, "get_device_properties", properties)
    monkeypatch.setattr(torch.cuda, "is_initialized", is_initialized)
    assert telemetry._torch_uuid(1) is None
    is_initialized.return_value = True
    assert telemetry._torch_uuid(1) == "uuid-1"
    monkeypatch.delitem(sys.modules, "torch")
    assert telemetry._torch_uuid(1) is None
    assert properties.call_count == 1


def test_it_never_raises_on_this_machine(monkeypatch):
    """Whatever is here, a reading says what it knows or why it knows nothing."""
    monkeypatch.undo()
    reading = read_telemetry()
    assert reading.is_here or reading.reason
