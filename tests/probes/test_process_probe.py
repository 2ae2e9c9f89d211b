"""What a training can have of a device on which this process holds memory already."""

from unittest.mock import create_autospec

import pytest
import torch
from fake_accelerators import FakeCuda

from memorymark.errors import DeviceError, InvalidValue, NotAvailable
from memorymark.gpus.catalogue import find_gpu
from memorymark.gpus.telemetry import read_telemetry
from memorymark.probes.choose import probe_of_process
from memorymark.probes.cuda import CudaDevice
from memorymark.probes.process_probe import ProcessProbe
from memorymark.units import GIB, MIB

NOTHING = lambda device: 0  # noqa: E731


class Busy(FakeCuda):
    """A card of which 2 GiB are in use by others, 1 GiB is live, and 0.5 GiB cached."""

    def mem_get_info(self, device):
        return self.total_bytes - 2 * GIB - self.memory_reserved(device), self.total_bytes

    def memory_allocated(self, device):
        return GIB

    def memory_reserved(self, device):
        return GIB + 512 * MIB


def probe(cuda, own_bytes=NOTHING, budget=None, index=0):
    device = CudaDevice(index, cuda=cuda, telemetry=create_autospec(read_telemetry))
    return ProcessProbe(device, own_bytes, budget)


def test_what_others_hold_is_not_there_and_the_trainings_own_is():
    cuda = Busy(16 * GIB)
    assert probe(cuda).target.capacity_bytes == 13 * GIB  # 2 of others, 1 live
    found = probe(cuda, lambda device: GIB)
    assert (found.target.capacity_bytes, found.held_bytes) == (14 * GIB, 2 * GIB)


def test_the_training_is_looked_for_on_that_device():
    asked = []
    probe(Busy(16 * GIB), lambda device: asked.append(device) or 0, index=1)
    assert asked == [torch.device("cuda", 1)]


def test_a_budget_is_kept_to():
    assert probe(Busy(16 * GIB), budget=GIB).target.capacity_bytes == GIB
    assert probe(Busy(16 * GIB), budget=99 * GIB).target.capacity_bytes == 13 * GIB


def test_a_card_of_the_catalogue_is_taken_for_itself():
    row = find_gpu("l4")
    cuda = Busy(row.total_bytes, name=row.device_names[0], capability=row.compute_capability)
    target = probe(cuda).target
    assert (target.name, target.gpu_key) == (row.device_names[0], "l4")


def test_a_card_of_an_unknown_generation_is_refused():
    with pytest.raises(NotAvailable, match=r"compute capability 3\.5.*gpu='l4'"):
        probe(Busy(16 * GIB, capability=(3, 5)))


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_only_cuda_devices_are_accepted(device):
    with pytest.raises(InvalidValue, match=r"cuda or cuda:N.*gpu="):
        probe_of_process(device, NOTHING)


@pytest.mark.skipif(torch.cuda.is_available(), reason="it says that there is none")
def test_without_a_device_it_says_what_to_do():
    with pytest.raises(DeviceError, match="gpu='l4'"):
        probe_of_process("cuda", NOTHING)
