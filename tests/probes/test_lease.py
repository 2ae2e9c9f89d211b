import signal
import subprocess
import sys
import threading

import pytest

from memorymark.errors import Cancelled
from memorymark.probes.lease import device_lock, is_locked

HOLD = (
    "import sys, time; from pathlib import Path; from memorymark.probes.lease import device_lock\n"
    "with device_lock('cuda:0', folder=Path(sys.argv[1])):\n"
    "    print('held', flush=True); time.sleep(60)\n"
)


def test_second_thread_waits_for_the_first(tmp_path):
    order, waiting = [], threading.Event()

    def second():
        with device_lock("cuda:0", folder=tmp_path, on_wait=waiting.set):
            order.append("second")

    with device_lock("cuda:0", folder=tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(5)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]


def test_holder_passes_through_and_devices_are_apart(tmp_path):
    with device_lock("cuda:0", folder=tmp_path):
        with device_lock("cuda:0", folder=tmp_path), device_lock("cuda:1", folder=tmp_path):
            assert is_locked("cuda:0", folder=tmp_path)
        assert is_locked("cuda:0", folder=tmp_path)
        assert not is_locked("cuda:1", folder=tmp_path)
    assert not is_locked("cuda:0", folder=tmp_path)


def test_an_error_in_the_block_frees_the_device(tmp_path):
    with pytest.raises(ZeroDivisionError), device_lock("cpu:0", folder=tmp_path):
        raise ZeroDivisionError
    assert not is_locked("cpu:0", folder=tmp_path)


def test_killed_process_leaves_no_lock_and_a_wait_can_be_cancelled(tmp_path):
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    assert other.stdout.readline() == b"held\n"
    assert is_locked("cuda:0", folder=tmp_path)

    def stop():
        raise Cancelled("stopped")

    with pytest.raises(Cancelled), device_lock("cuda:0", folder=tmp_path, check=stop):
        pass
    other.send_signal(signal.SIGKILL)
    other.wait()
    other.stdout.close()
    with device_lock("cuda:0", folder=tmp_path):
        assert is_locked("cuda:0", folder=tmp_path)
