import pytest
from fakes import measured_target

from memorymark.errors import PoisonedDevice
from memorymark.probes import poisoned


def test_a_broken_device_stays_broken(monkeypatch):
    monkeypatch.setattr(poisoned, "_poisoned", {})
    target = measured_target()
    poisoned.check_usable(target)
    assert "device-side assert." in str(poisoned.mark_poisoned(target, "a device-side assert."))
    with pytest.raises(PoisonedDevice, match="A new process can"):
        poisoned.check_usable(target)
