"""The states of AdamW8bit, by bitsandbytes' rules."""

import pytest
import torch

from memorymark.simulator.cuda.adamw8bit import SimulatedAdamW8bit


def states_of(*sizes, with_gradient=True):
    parameters = [torch.zeros(size, device="meta", requires_grad=True) for size in sizes]
    for parameter in parameters if with_gradient else ():
        parameter.grad = torch.zeros_like(parameter)
    optimizer = SimulatedAdamW8bit(parameters)
    for _ in range(2):
        optimizer.step()
    return [optimizer.state[parameter] for parameter in parameters]


def test_small_parameters_keep_two_states_in_fp32():
    (state,) = states_of(4095)
    assert {name: x.nbytes for name, x in state.items()} == {"state1": 16380, "state2": 16380}


@pytest.mark.parametrize(("size", "blocks"), [(4096, 16), (4097, 17)])
def test_larger_ones_keep_a_byte_an_element_and_a_scale_a_block(size, blocks):
    (state,) = states_of(size)
    expected = {"state": size, "absmax": 4 * blocks, "qmap": 4 * 256}
    assert {name: x.nbytes for name, x in state.items()} == {
        f"{name}{index}": bytes_ for name, bytes_ in expected.items() for index in (1, 2)
    }


def test_the_tables_of_values_are_shared():
    first, second = states_of(4096, 8192)
    assert first["qmap1"] is second["qmap1"]
    assert first["state1"] is not second["state1"]


def test_without_a_gradient_there_is_no_state():
    assert states_of(4096, with_gradient=False) == [{}]
