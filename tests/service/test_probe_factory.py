"""The function that makes the user's own probes, whatever it is and does."""

import sys
from types import SimpleNamespace

import pytest
from fakes import FakeProbe, FakeWorkload

from memorymark.api import model_calls as api
from memorymark.errors import InvalidValue, NothingFits
from memorymark.records.config import TrainingConfig
from memorymark.service.probe_factory import load_factory, probe_from
from memorymark.workloads.trial_spec import TrialSpec

CONFIG = TrainingConfig()


class Own:
    """A probe with what is needed, and no more."""

    target = FakeProbe().target

    def run_trial(self, spec):
        return FakeProbe().run_trial(spec)


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


def test_a_probe_that_says_no_more_than_it_must_answers_none(monkeypatch):
    probes = SimpleNamespace(own=lambda **target: Own(), fake=lambda **target: FakeProbe())
    monkeypatch.setitem(sys.modules, "made_probes", probes)
    own, spec = probe_from("made_probes:own", **TARGET), TrialSpec(FakeWorkload("m"), CONFIG, 4)
    assert own.held_bytes is own.simulation() is own.span(spec) is None
    assert own.quick_look(spec.workload, CONFIG, print) is None
    assert own.run_trial(spec).batch_size == 4
    fake = probe_from("made_probes:fake", **TARGET)
    assert type(fake) is FakeProbe and not {"span", "held_bytes"} & set(vars(fake))


def test_an_analysis_needs_no_more_of_a_probe(monkeypatch, tmp_path):
    monkeypatch.setenv("MEMORYMARK_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "made_probes", SimpleNamespace(own=lambda **target: Own()))
    monkeypatch.setenv("MEMORYMARK_PROBE_FACTORY", "made_probes:own")
    found = api.analyze(FakeWorkload("m"), device="cuda")
    assert found.max_batch_size == api.analyze(FakeWorkload("m"), gpu="l4").max_batch_size > 8
