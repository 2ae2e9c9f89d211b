"""Changes to the process end with the thread that made them, in a forked child too."""

import gc
import os
import signal
import threading
import time

import pytest
import torch
from test_process_state import state
from torch import nn

import memorymark
from memorymark.placement.patches import SharedByThreads, patched, simulation_lock

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
SECONDS = 30


pytestmark = pytest.mark.usefixtures("home")


def plain():
    return nn.Linear(8, 8), lambda n: torch.rand(n, 8), lambda m, x: m(x).square().mean()


def exit_code(work):
    """Run work in a forked child; None where it does not end in time."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if work() else 1)
        except BaseException:
            os._exit(2)
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


class Waiting:
    """An estimate that waits in its loss, on a thread of its own."""

    def __enter__(self):
        self.running, self.goes_on = threading.Event(), threading.Event()

        def loss(model, x):
            self.running.set()
            self.goes_on.wait(SECONDS)
            return model(x).square().mean()

        def step(model, x, optimizer):
            loss(model, x).backward()
            optimizer.step()

        def factory():
            return nn.Linear(8, 8), lambda n: torch.rand(n, 8), loss, lambda m: torch.optim.SGD(
                m.parameters()), step  # fmt: skip

        self.thread = threading.Thread(
            target=lambda: memorymark.estimate(factory, batch_size=2, gpu="l4")
        )
        self.thread.start()
        assert self.running.wait(SECONDS)
        return self

    def __exit__(self, *_):
        self.goes_on.set()
        self.thread.join(SECONDS)
        assert not self.thread.is_alive()


def estimates():
    return memorymark.estimate(plain, batch_size=2, gpu="l4").fits


@forks
def test_a_child_that_is_forked_during_a_simulation_simulates():
    torch.manual_seed(5)
    before = state()
    with Waiting():
        assert exit_code(lambda: state()["patched"] == before["patched"] and gc.isenabled()) == 0
        assert exit_code(estimates) == 0
    assert state() == before


@forks
def test_a_child_that_is_forked_during_a_simulation_trains():
    def trains():
        model = nn.Linear(4, 4)
        optimizer = torch.optim.AdamW(model.parameters())
        model(torch.rand(2, 4)).sum().backward()
        optimizer.step()
        return torch.tensor([1.0]).tolist() == [1.0] and not model.weight.is_meta

    with Waiting():
        assert exit_code(trains) == 0


@forks
def test_a_child_that_the_simulating_thread_forks_goes_on():
    codes = []

    def loss(model, x):
        if not codes:
            codes.append(exit_code(lambda: x.is_cuda and torch.ones(1, device="cuda").is_cuda))
        return model(x).square().mean()

    def factory():
        return nn.Linear(8, 8), lambda n: torch.rand(n, 8), loss

    assert memorymark.estimate(factory, batch_size=2, gpu="l4").fits
    assert codes == [0]


def test_workers_of_a_data_loader_start_within_a_simulation():
    from torch.utils.data import DataLoader, TensorDataset

    def make_batch(n):
        data = TensorDataset(torch.rand(n, 8, device="cpu"))
        return next(iter(DataLoader(data, batch_size=n, num_workers=1)))[0]

    def factory():
        return nn.Linear(8, 8), make_batch, lambda m, x: m(x).square().mean()

    assert memorymark.estimate(factory, batch_size=2, gpu="l4").fits


def test_an_ordinary_training_on_another_thread_does_not_notice():
    with Waiting():
        model = nn.Linear(4, 4)
        optimizer = torch.optim.AdamW(model.parameters())
        model(torch.rand(2, 4)).sum().backward()
        optimizer.step()
        assert not model.weight.is_meta and not model.weight.is_cuda
        assert torch.tensor(2.0).item() == 2.0 and f"{torch.tensor(2.0):.1f}" == "2.0"
        assert torch.cuda.is_available() is (torch.cuda.device_count() > 0)
        assert torch.Generator().device.type == "cpu"
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert model(torch.rand(2, 4)).dtype is torch.bfloat16


def test_a_shared_change_is_made_once_and_ended_by_the_last():
    made = []
    shared = SharedByThreads(lambda: patched([(Thing, "value", made.append(1) or 2)]))
    first, second = shared.held(), shared.held()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert Thing.value == 2 and made == [1]
    second.__exit__(None, None, None)
    assert Thing.value == 1


class Thing:
    value = 1


def test_the_lock_may_be_taken_again_by_its_thread():
    with simulation_lock, simulation_lock:
        pass
    with simulation_lock:
        simulation_lock.forget_other_threads()
    thread = threading.Thread(target=lambda: simulation_lock.__enter__())
    thread.start()
    thread.join()
    simulation_lock.forget_other_threads()  # as in a child, where that thread is not
    with simulation_lock:
        pass
