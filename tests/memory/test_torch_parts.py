"""Torch's private parts below the simulator: identities, and the mode that sees every operation."""

import importlib.util
import re
import sys

import pytest
import torch

from memorymark.errors import IncompatibleTorch
from memorymark.memory import torch_parts
from memorymark.memory.torch_parts import (
    OperationMode,
    is_mutable,
    tree_leaves,
    tree_map,
    without_modes,
)


class Recording(OperationMode):
    def __init__(self):
        super().__init__()
        self.seen = []

    def handle(self, func, args, kwargs):
        self.seen.append(func)
        return super().handle(func, args, kwargs)


@pytest.mark.parametrize(
    ("name", "expected"), [("add.Tensor", False), ("add_.Tensor", True), ("mm.out", True)]
)
def test_operations_that_write_into_an_argument(name, expected):
    packet, _, overload = name.partition(".")
    assert is_mutable(getattr(getattr(torch.ops.aten, packet), overload)) is expected


def test_a_mode_sees_operations_with_their_arguments():
    with Recording() as mode:
        total = torch.ones(2) + 1
    assert total.tolist() == [2, 2]
    assert [str(func) for func in mode.seen] == ["aten.ones.default", "aten.add.Tensor"]


def test_what_runs_without_modes_is_not_seen():
    with Recording() as mode:
        with without_modes():
            torch.ones(2)
        assert mode.seen == []
        torch.zeros(2)
    assert len(mode.seen) == 1


def test_nested_containers_are_walked():
    nested = {"a": [1, (2, 3)], "b": 4}
    assert tree_leaves(nested) == [1, 2, 3, 4]
    assert tree_map(lambda x: x * 2, nested) == {"a": [2, (4, 6)], "b": 8}


@pytest.mark.parametrize("module", ["torch.utils._pytree", "torch.utils._python_dispatch"])
def test_a_torch_without_a_private_module_is_named(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    spec = importlib.util.spec_from_file_location("parts_again", torch_parts.__file__)
    with pytest.raises(IncompatibleTorch, match=f"PyTorch {re.escape(torch.__version__)} lacks"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
