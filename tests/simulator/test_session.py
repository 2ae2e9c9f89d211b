"""What holds while a simulation runs, and only then."""

import threading

import pytest
import torch

from memorymark.simulator import torch_compat
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.device import SimulatedDevice
from memorymark.simulator.session import Session, current, simulating
from memorymark.simulator.tensors.shapes import ShapeCache

CUDA = Rules(Platform.CUDA)
META = torch.device("meta")


def test_a_session_is_this_threads_alone():
    seen = []
    with simulating(CUDA) as session:
        thread = threading.Thread(target=lambda: seen.append(current()))
        thread.start()
        thread.join()
        assert current() is session and session.rules is CUDA
    assert seen == [None] and current() is None


def test_simulations_within_each_other_keep_their_own_rules():
    with simulating(CUDA) as outer:
        with simulating(Rules(Platform.CPU)) as inner:
            assert current() is inner
        assert current() is outer


def test_other_threads_wait():
    order, started = [], threading.Event()

    def work():
        started.set()
        with simulating(CUDA):
            order.append("second")

    thread = threading.Thread(target=work)
    with simulating(CUDA):
        thread.start()
        started.wait()
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_assumptions_are_kept_once_and_in_order():
    session = Session(CUDA)
    for sentence in ("b", "a", "b"):
        session.assume(sentence)
    assert tuple(session.assumptions) == ("b", "a")


@pytest.mark.parametrize("name", ["meta", "cuda"])
def test_autocast_for_the_simulated_device(name):
    with simulating(CUDA):
        assert torch.amp.is_autocast_available("meta")
        with torch.autocast(name, dtype=torch.bfloat16):
            assert torch.is_autocast_enabled("meta")
            assert torch.get_autocast_dtype("meta") is torch.bfloat16
        assert not torch.is_autocast_enabled("meta")
    assert not torch.amp.is_autocast_available("meta")


def test_the_kept_casts_end_with_the_simulation():
    with simulating(CUDA) as session:
        session.cast_cache[0] = (torch.ones(1), torch.ones(1))
        torch.clear_autocast_cache()
        assert session.cast_cache == {}
        session.cast_cache[0] = (torch.ones(1), torch.ones(1))
    assert session.cast_cache == {}


@pytest.mark.parametrize("make", [torch.tensor, torch.as_tensor])
@pytest.mark.parametrize("data", [3.5, [1, 2], [[True], [False]], []])
def test_tensors_from_numbers_are_like_the_real_ones(make, data):
    with simulating(CUDA):
        found = make(data, device=META)
    real = make(data)
    assert found.is_meta
    assert (found.shape, found.dtype) == (real.shape, real.dtype)


@pytest.fixture
def fresh_process():
    """Let torch and the simulator forget what they have looked at once and for all."""
    torch.utils._device._device_constructors.cache_clear()
    torch_compat.check.cache_clear()


def test_tensors_from_numbers_where_the_default_device_is_simulated(fresh_process):
    with simulating(CUDA), META:
        made = torch.tensor([1.0, 2.0], requires_grad=True)
        on_host = torch.tensor([1.0], device="cpu")
    assert made.is_meta and made.is_leaf and made.requires_grad
    assert on_host.tolist() == [1.0]
    with META:
        assert torch.tensor([1.0]).is_meta


def test_fused_optimizers_take_the_simulated_device():
    weight = torch.zeros(2, device=META, requires_grad=True)
    optimizer = torch.optim.Adam([weight], fused=True)
    weight.grad = torch.zeros_like(weight)
    with simulating(CUDA) as session, SimulatedDevice(session, ShapeCache()):
        optimizer.step()
    assert optimizer.state[weight]["exp_avg"].is_meta
    with pytest.raises(RuntimeError, match="fused"):
        torch.optim.Adam([weight], fused=True).step()
