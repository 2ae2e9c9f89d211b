import threading

import pytest
from fakes import measured_target

from memorymark.errors import PoisonedDevice
from memorymark.probes import exclusive


def test_one_trial_at_a_time():
    target, entered = measured_target(), threading.Event()

    def second():
        with exclusive.only_user(target):
            entered.set()

    with exclusive.only_user(target), exclusive.only_user(target):
        other = threading.Thread(target=second)
        other.start()
        assert not entered.wait(0.1)
    other.join(10)
    assert entered.is_set()


def test_a_broken_device_stays_broken(monkeypatch):
    monkeypatch.setattr(exclusive, "_poisoned", {})
    target = measured_target()
    exclusive.check_usable(target)
    assert "device-side assert." in str(exclusive.give_up(target, "a device-side assert."))
    with pytest.raises(PoisonedDevice, match="Restart"):
        exclusive.check_usable(target)
