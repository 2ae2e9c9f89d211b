"""The rules of a GPU of the catalogue."""

from memorymark.gpus.catalogue import find_gpu
from memorymark.records.config import OptimizerImpl
from memorymark.simulator.cuda.rules import Platform, Rules, rules_of
from memorymark.simulator.simulated_runtime import SimulatedRuntime

M4 = rules_of(find_gpu("m4-16gb"))


def test_a_card_has_the_rules_of_its_generation():
    assert rules_of(find_gpu("a10")) == Rules(Platform.CUDA, (8, 6))
    assert rules_of(find_gpu("a10")).assumption is None
    assert Rules(Platform.CPU).assumption is None


def test_apples_gpus_take_cudas_kernels_in_place_of_their_own_and_say_so():
    assert M4.is_mps and M4.is_cuda
    assert M4.compute_capability < (7, 0)
    assert "of MPS are not modelled" in M4.assumption


def test_what_is_known_of_mps_is_not_cudas():
    assert M4.cublas_workspace_bytes == 0
    implementations = [
        SimulatedRuntime(rules).default_optimizer_impl
        for rules in (M4, rules_of(find_gpu("l4")), Rules(Platform.CPU))
    ]
    assert implementations == [
        OptimizerImpl.FOR_LOOP, OptimizerImpl.FOREACH, OptimizerImpl.FOR_LOOP
    ]  # fmt: skip
