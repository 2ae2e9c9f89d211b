import signal
import subprocess
import sys
import threading

import pytest
from leases import is_held

from memorymark.errors import Cancelled
from memorymark.probes.lease import Owner, device_lease, owner_lives

HOLD = (
    "import sys, time; from pathlib import Path; from memorymark.probes.lease import device_lease\n"
    "with device_lease('cuda:0', folder=Path(sys.argv[1])):\n"
    "    print('held', flush=True); time.sleep(60)\n"
)


def test_second_thread_waits_for_the_first(tmp_path):
    order, waiting = [], threading.Event()

    def second():
        with device_lease("cuda:0", folder=tmp_path, note=lambda _: waiting.set()):
            order.append("second")

    with device_lease("cuda:0", folder=tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(5)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]


def test_holder_passes_through_and_devices_are_apart(tmp_path):
    with device_lease("cuda:0", folder=tmp_path):
        with device_lease("cuda:0", folder=tmp_path), device_lease("cuda:1", folder=tmp_path):
            assert is_held("cuda:0", tmp_path)
        assert is_held("cuda:0", tmp_path)
        assert not is_held("cuda:1", tmp_path)
    assert not is_held("cuda:0", tmp_path)


def test_an_error_in_the_block_frees_the_device(tmp_path):
    with pytest.raises(ZeroDivisionError), device_lease("cpu:0", folder=tmp_path):
        raise ZeroDivisionError
    assert not is_held("cpu:0", tmp_path)


def test_killed_process_leaves_no_lock_and_a_wait_can_be_cancelled(tmp_path):
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    assert other.stdout.readline() == b"held\n"
    assert is_held("cuda:0", tmp_path)

    def stop():
        raise Cancelled("stopped")

    with pytest.raises(Cancelled), device_lease("cuda:0", folder=tmp_path, check=stop):
        pass
    other.send_signal(signal.SIGKILL)
    other.wait()
    other.stdout.close()
    with device_lease("cuda:0", folder=tmp_path):
        assert is_held("cuda:0", tmp_path)


def test_an_owner_lives_until_it_is_closed(tmp_path):
    first, second = Owner(tmp_path), Owner(tmp_path)
    assert owner_lives(tmp_path, first.name) and owner_lives(tmp_path, second.name)
    first.close()
    assert not owner_lives(tmp_path, first.name) and owner_lives(tmp_path, second.name)
    assert not owner_lives(tmp_path, "nobody") and not owner_lives(tmp_path, None)
