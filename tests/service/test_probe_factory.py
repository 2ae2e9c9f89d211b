"""The function that makes the user's own probes, whatever it is and does."""

import sys
from types import SimpleNamespace

import pytest

from memorymark.errors import InvalidValue, NothingFits
from memorymark.service.probe_factory import load_factory, probe_from

TARGET = {"device": None, "gpu": "l4", "memory_budget": None}


@pytest.mark.parametrize(
    "name", ["nowhere:make", "app_probe:nothing", "nonsense", ".:x", ":", "os:sep", "", "a\0b:c"]
)
def test_factory_that_does_not_exist_is_said(name):
    with pytest.raises(InvalidValue, match="MEMORYMARK_PROBE_FACTORY"):
        load_factory(name)


def test_module_that_cannot_be_read_is_said(tmp_path, monkeypatch):
    (tmp_path / "broken_probes.py").write_text("def make(:")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InvalidValue, match="invalid syntax"):
        load_factory("broken_probes:make")


def test_factory_that_makes_no_probe_is_said(monkeypatch):
    made = SimpleNamespace(
        none=lambda **target: None,
        other=lambda: None,
        said=lambda **target: (_ for _ in ()).throw(NothingFits("No room.")),
    )
    monkeypatch.setitem(sys.modules, "made_probes", made)
    with pytest.raises(InvalidValue, match="it returned NoneType"):
        probe_from("made_probes:none", **TARGET)
    with pytest.raises(InvalidValue, match="unexpected keyword argument"):
        probe_from("made_probes:other", **TARGET)
    with pytest.raises(NothingFits, match="No room"):
        probe_from("made_probes:said", **TARGET)
