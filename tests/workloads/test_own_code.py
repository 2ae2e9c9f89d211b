"""What the user's code raises is an error of that code, whatever it is."""

import sys
import types

import pytest
import torch
from torch import nn

import memorymark
from memorymark.errors import WorkloadError
from memorymark.workloads import Workload
from memorymark.workloads.own_code import Ended, ends_as_errors


class Own(Workload):
    """A workload that is right, apart from what a test changes."""

    name = "own"

    def build(self, config):
        return nn.Linear(4, 4)

    def batch(self, batch_size, config):
        return torch.rand(batch_size, 4)

    def forward(self, model, batch):
        return model(batch).sum(), None


def returning(value):
    return lambda self, *given: value


def raising(error):
    def method(self, *given):
        raise error

    return method


@pytest.mark.parametrize("error", [SystemExit(0), BaseException("own")])
def test_what_ends_a_program_is_an_error(error):
    with pytest.raises(Ended) as ended, ends_as_errors():
        raise error
    assert repr(ended.value) == repr(error)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("plain")])
def test_other_errors_pass(error):
    with pytest.raises(type(error)), ends_as_errors():
        raise error


@pytest.mark.parametrize(
    ("method", "does", "said"),
    [
        ("build", returning(None), "build of 'own' returned None"),
        ("build", returning(5), "build of 'own' returned an int"),
        ("build", raising(ValueError("no")), r"build of 'own' raised ValueError\('no'\)"),
        ("build", raising(SystemExit(0)), r"build of 'own' raised SystemExit\(0\)"),
        ("batch", raising(SystemExit(0)), r"raised SystemExit\(0\)"),
        ("forward", raising(SystemExit(0)), r"raised SystemExit\(0\)"),
        ("describe", returning(None), "describe of 'own' returned NoneType"),
        ("describe", raising(ValueError("no")), "describe of 'own' raised"),
    ],
)
def test_own_workloads_fail_with_a_sentence(tmp_path, monkeypatch, method, does, said):
    monkeypatch.setenv("MEMORYMARK_HOME", str(tmp_path))
    own = type("Changed", (Own,), {method: does})()
    with pytest.raises(WorkloadError, match=said):
        memorymark.estimate(own, batch_size=2, gpu="l4")


@pytest.mark.parametrize("name", ["sys:exit", "ends_at_import:make", "ends_made:make"])
def test_a_program_that_asks_is_not_ended(tmp_path, monkeypatch, name):
    monkeypatch.setenv("MEMORYMARK_HOME", str(tmp_path))
    (tmp_path / "ends_at_import.py").write_text("import sys\nsys.exit(0)\n")
    monkeypatch.syspath_prepend(tmp_path)
    made = types.ModuleType("ends_made")
    made.make = lambda: sys.exit("bye")
    monkeypatch.setitem(sys.modules, "ends_made", made)
    with pytest.raises(WorkloadError, match="SystemExit"):
        memorymark.estimate(name, batch_size=2, gpu="l4")
