"""Keeps small simulations short: one thread each, and libraries left out of collections."""

import gc

import pytest
import torch


@pytest.fixture(scope="package", autouse=True)
def frozen_libraries():
    torch.optim.Adam([torch.zeros(1, requires_grad=True)]).step()  # loads what an optimizer needs
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()
    yield
    torch.set_num_threads(threads)
    gc.unfreeze()
