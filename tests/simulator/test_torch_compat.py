"""Torch's private parts: in one place, checked at start, and never left out in silence."""

import ast
import importlib
import pkgutil
import re
from pathlib import Path

import pytest
import torch
from tiny import TinyNet
from torch.nn import functional

import memorymark.simulator
from memorymark.errors import IncompatibleTorch, UnsupportedOperation
from memorymark.gpus.catalogue import find_gpu
from memorymark.memory.torch_parts import OperationMode
from memorymark.probes.simulated import SimulatedProbe
from memorymark.records.config import TrainingConfig
from memorymark.simulator import torch_compat
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.session import simulating
from memorymark.workloads.trial_spec import TrialSpec

PACKAGE = Path(memorymark.simulator.__file__).parents[1]
# Names that begin like private ones and are public.
PUBLIC = ("__torch_dispatch__", "_dispatch_mode", "_dispatch_types")
PRIVATE = re.compile(
    r"torch\._(?!_)|torch\.[\w.]+\._(?!_)|_cdata|\._schema|_op_dk|_dispatch_|_is_view|_overloadpacket|"
    r"_destroy\b|_get_fused_kernels|torch\.utils\._"
)
SIMULATOR_FILES = sorted((PACKAGE / "simulator").rglob("*.py"))


def all_simulator_modules():
    for found in pkgutil.walk_packages(memorymark.simulator.__path__, "memorymark.simulator."):
        yield importlib.import_module(found.name)


def test_every_rule_names_operations_that_this_torch_has():
    assert len(list(all_simulator_modules())) > 20
    assert torch_compat.missing_operations() is None


@pytest.mark.parametrize("file", SIMULATOR_FILES, ids=lambda file: file.stem)
def test_rules_name_operations_in_one_way_alone(file):
    if file.name != "torch_compat.py":
        assert "torch.ops." not in file.read_text()


def named_in_functions(source):
    """Find where a function names operations: they would be looked up after the import."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    return [
        call.lineno
        for function in ast.walk(ast.parse(source))
        if isinstance(function, functions)
        for call in ast.walk(function)
        if isinstance(call, ast.Call)
        and ast.unparse(call.func).rpartition(".")[2] in ("operation", "operations")
    ]


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: file.stem)
def test_rules_name_operations_when_they_are_loaded(file):
    if file.name != "torch_compat.py":
        assert named_in_functions(file.read_text()) == []


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("def f():\n    return operation('aten::mm')", [2]),
        ("class A:\n    def __init__(self):\n        self.x = {operations('mm'): 1}", [3]),
        ("f = lambda: torch_compat.operation('aten::mm')", [1]),
        ("A = operation('aten::mm')\nB = {op: 1 for op in operations('mm')}", []),
        ("class A:\n    x = operation('aten::mm')", []),
    ],
)
def test_operations_named_in_functions_are_found(source, lines):
    assert named_in_functions(source) == lines


def test_private_names_stand_in_two_files():
    holding = set()
    for file in PACKAGE.rglob("*.py"):
        text = file.read_text()
        for name in PUBLIC:
            text = text.replace(name, "")
        if PRIVATE.search(text):
            holding.add(str(file.relative_to(PACKAGE)))
    assert holding == {"memory/torch_parts.py", "simulator/torch_compat.py"}


@pytest.fixture
def missing(monkeypatch):
    """Let a rule name an operation that does not exist, for one test."""
    monkeypatch.setattr(torch_compat, "_missing", {})
    return torch_compat.operation("aten::no_such_thing.Tensor")


def trial():
    return SimulatedProbe(find_gpu("a100-40gb")).run_trial(
        TrialSpec(TinyNet(), TrainingConfig(), 4)
    )


def test_a_missing_operation_equals_nothing_and_cannot_be_called(missing):
    known = torch_compat.operation("aten::mm")
    assert missing not in {known} and missing != known
    with pytest.raises(UnsupportedOperation, match=r"aten::no_such_thing\.Tensor"):
        missing()


def test_a_missing_operation_is_an_assumption_of_every_result(missing):
    before = torch_compat.missing_operations()
    assert torch.__version__ in before and "aten::no_such_thing.Tensor" in before
    assert before in trial().assumptions


def test_the_simulation_in_which_a_rule_is_loaded_names_what_is_missing(monkeypatch):
    monkeypatch.setattr(torch_compat, "_missing", {})
    with simulating(Rules(Platform.CUDA)) as session:
        torch_compat.operation("aten::no_such_thing")
    assert [a for a in session.assumptions if "aten::no_such_thing;" in a]


def test_a_replacement_for_a_missing_operation_is_passed_over(missing):
    torch_compat.replace_kernels({missing: lambda: None})()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("aten::mm", torch.ops.aten.mm.default),
        ("aten::index.Tensor", torch.ops.aten.index.Tensor),
        ("aten::sum.dim_IntList", torch.ops.aten.sum.dim_IntList),
    ],
)
def test_operations_are_found_by_name(name, expected):
    assert torch_compat.operation(name) is expected


def test_several_operations_are_found_at_once():
    aten = torch.ops.aten
    assert torch_compat.operations("mm", "add.Tensor") == {aten.mm.default, aten.add.Tensor}


@pytest.mark.parametrize(
    ("version", "is_tested"),
    [("2.11.0", True), ("2.15.0+cu132", True), ("2.12.1", False), ("2.1.0", False), ("3.0", False)],
)
def test_results_of_other_versions_say_so(monkeypatch, version, is_tested):
    monkeypatch.setattr(torch, "__version__", version)
    sentence = torch_compat.untested_version()
    assert (sentence is None) is is_tested
    assert (sentence in trial().assumptions) is not is_tested


def test_what_is_missing_is_named_before_a_simulation_begins(monkeypatch):
    names = (*torch_compat._RELIED_ON, "_C.NoSuchKey", "ops.aten.add.Tensor._no_schema")
    monkeypatch.setattr(torch_compat, "_RELIED_ON", names)
    torch_compat.check.cache_clear()
    with pytest.raises(IncompatibleTorch) as caught, simulating(Rules(Platform.CUDA)):
        pytest.fail("the simulation began")
    monkeypatch.undo()
    torch_compat.check()
    sentence = str(caught.value)
    assert f"PyTorch {torch.__version__} lacks" in sentence
    assert "torch._C.NoSuchKey, torch.ops.aten.add.Tensor._no_schema." in sentence
    assert "2.11 and 2.15" in sentence and "install" in sentence


def test_a_replacement_is_called_until_it_is_removed():
    relu, calls = torch_compat.operation("aten::relu"), []

    def kernel(x):
        calls.append(x)
        return torch_compat.call_replaced(relu, x)

    x = torch.empty(3, device="meta", requires_grad=True)
    remove = torch_compat.replace_kernels({relu: kernel})
    try:
        functional.relu(x).sum().backward()
    finally:
        remove()
    assert calls and x.grad.shape == (3,)
    before = len(calls)
    assert functional.relu(x).shape == (3,)
    assert functional.relu(torch.ones(2)).tolist() == [1, 1]
    assert len(calls) == before


def test_the_replaced_kernel_is_seen_once_below_a_mode():
    gelu, seen = torch_compat.operation("aten::gelu"), []

    class Watching(OperationMode):
        def handle(self, func, args, kwargs):
            seen.append(str(func))
            return super().handle(func, args, kwargs)

    remove = torch_compat.replace_kernels({gelu: lambda x: torch_compat.call_replaced(gelu, x)})
    x = torch.empty(3, device="meta", requires_grad=True)
    try:
        with Watching():
            output = functional.gelu(x)
    finally:
        remove()
    assert seen == ["aten.gelu.default"] and output.requires_grad


def test_releasing_workspaces_says_whether_torch_has_a_call_for_it(monkeypatch):
    monkeypatch.delattr(torch._C, "_cuda_clearCublasWorkspaces", raising=False)
    assert torch_compat.release_cublas_workspaces() is False
    calls = []
    monkeypatch.setattr(
        torch._C, "_cuda_clearCublasWorkspaces", lambda: calls.append(1), raising=False
    )
    assert torch_compat.release_cublas_workspaces() is True
    assert calls == [1]
