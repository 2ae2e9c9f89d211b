"""A quick look saves simulations and changes nothing of what is found."""

from __future__ import annotations

import pytest
from tiny import TinyNet, tiny_bert, tiny_gpt2, tiny_llama, tiny_resnet

from memorymark.analysis.analyze import analyze_on
from memorymark.analysis.prediction import predict_max_batch
from memorymark.errors import Cancelled, WorkloadError
from memorymark.gpus.catalogue import find_gpu
from memorymark.probes import simulated
from memorymark.probes.quick_look import BATCH_SIZES
from memorymark.probes.simulated import SimulatedProbe
from memorymark.probes.simulations import Simulations
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.event import CancelToken, ignore
from memorymark.units import MIB
from memorymark.workloads import resolve
from memorymark.workloads.trial_spec import TrialSpec

SMALL = TrainingConfig(seq_len=16, image_size=32)


@pytest.fixture
def ran(monkeypatch):
    """The batch sizes that are simulated."""
    sizes, simulate = [], simulated.simulate

    def counting(spec, *rest, **more):
        sizes.append(spec.batch_size)
        return simulate(spec, *rest, **more)

    monkeypatch.setattr(simulated, "simulate", counting)
    return sizes


def probe_with(budget_mib: int) -> SimulatedProbe:
    return SimulatedProbe(find_gpu("a100-40gb"), budget_bytes=budget_mib * MIB)


def predicted(probe, workload, options=None, on_event=ignore, cancel=None):
    options, cancel = options or AnalysisOptions(), cancel or CancelToken()
    return predict_max_batch(probe, workload, SMALL, options, on_event, cancel)


def analyzed(budget_mib, workload, **options):
    probe, options = probe_with(budget_mib), AnalysisOptions(**options)
    guess = predicted(probe, workload, options)
    return analyze_on(probe, workload, SMALL, options, guess=guess), guess


def without_seconds(trial):
    document = trial.to_dict()
    return {key: value for key, value in document.items() if key != "elapsed_seconds"}


@pytest.mark.parametrize("make", [tiny_bert, tiny_gpt2, tiny_llama, tiny_resnet])
@pytest.mark.parametrize("budget_mib", [40, 130, 700])
def test_the_answer_is_that_of_a_search_without_it(make, budget_mib):
    workload = make()
    found, guess = analyzed(budget_mib, workload)
    before = analyze_on(probe_with(budget_mib), workload, SMALL)
    assert guess is not None
    assert found.max_batch_size == before.max_batch_size
    assert found.max.memory_bytes == before.max.memory_bytes
    assert found.current.memory_bytes == before.current.memory_bytes
    assert found.current.samples_per_second == before.current.samples_per_second
    # Small budgets hold few segments: the reserved memory rises and falls with the batch.
    assert found.optimal.samples_per_second >= 0.95 * before.optimal.samples_per_second
    again = {trial.batch_size: without_seconds(trial) for trial in before.trials}
    both = [trial for trial in found.trials if trial.batch_size in again]
    assert len(both) >= 2
    assert [without_seconds(trial) for trial in both] == [again[t.batch_size] for t in both]
    assert not any("not simulated itself" in text for t in found.trials for text in t.assumptions)


def test_a_search_simulates_few_batches_and_none_twice(ran):
    found, guess = analyzed(130, tiny_llama())
    assert ran[:2] == list(BATCH_SIZES)
    assert len(ran) == len(set(ran)) <= 10
    assert found.max_batch_size == guess
    assert [trial.batch_size for trial in found.trials][:2] == [guess, guess + 8]


def test_a_whole_analysis_of_bert_takes_eight_simulations(ran):
    """Two to look, two at the max, two at the headroom, two at the knee; the current is one."""
    probe, config = SimulatedProbe(find_gpu("a100-40gb")), TrainingConfig()
    workload, options = resolve("bert"), AnalysisOptions()
    cancel = CancelToken()
    guess = predict_max_batch(probe, workload, config, options, ignore, cancel)
    found = analyze_on(probe, workload, config, options, guess=guess)
    assert found.max_batch_size == guess and found.optimal.fits
    assert found.optimal_is_exact and len(ran) <= 8


def test_a_model_whose_kernels_change_far_up_is_searched_further(ran):
    """Above 3,072 indices an embedding's backward pass sorts: the line of 8 and 16 ends."""
    found, _ = analyzed(400, tiny_bert())
    assert found.max_batch_size > 3072 // SMALL.seq_len
    before = analyze_on(probe_with(400), tiny_bert(), SMALL)
    assert found.max_batch_size == before.max_batch_size
    assert {trial.batch_size for trial in found.trials} <= set(ran)


def test_a_batch_that_was_looked_at_is_not_simulated_again(ran):
    probe, workload = probe_with(130), tiny_bert()
    predicted(probe, workload)
    trial = probe.run_trial(TrialSpec(workload, SMALL, 16))
    assert ran == list(BATCH_SIZES)
    alone = probe_with(130).run_trial(TrialSpec(workload, SMALL, 16))
    assert without_seconds(trial) == without_seconds(alone)


def test_it_says_what_it_does_and_stops_where_it_is_told():
    events, token = [], CancelToken()
    predicted(probe_with(130), tiny_bert(), on_event=events.append)
    assert events[0].text == "Simulating batches 8 and 16 to see how memory grows."
    token.cancel()
    with pytest.raises(Cancelled):
        predicted(probe_with(130), tiny_bert(), cancel=token)


def test_where_it_is_not_known_how_memory_grows_there_is_none(ran):
    assert predicted(probe_with(130), TinyNet()) is None  # stands for the user's own code
    assert predicted(probe_with(130), tiny_bert(), AnalysisOptions(max_batch_size=16)) is None
    shared = probe_with(130)
    shared.share(Simulations())
    assert predicted(shared, tiny_bert()) is None
    assert ran == []


def test_batches_that_are_on_no_line_are_taken_for_the_search(ran):
    class Kinked(TinyNet):
        __module__ = "memorymark.workloads.known"

        def loss(self, model, batch):
            loss = super().loss(model, batch)
            return loss + batch["x"].relu().sum() * 0 if len(batch["x"]) > 10 else loss

    found, guess = analyzed(130, Kinked(), max_batch_size=64)
    assert guess is None and found.max_batch_size == 64
    assert len(ran) == len(set(ran)) and set(BATCH_SIZES) <= set(ran)
    assert len(ran) == len(found.trials)


def test_a_model_that_cannot_be_simulated_says_so_in_the_search():
    class Broken(TinyNet):
        __module__ = "memorymark.workloads.known"

        def loss(self, model, batch):
            raise RuntimeError("no such thing")

    probe = probe_with(130)
    assert predicted(probe, Broken()) is None
    with pytest.raises(WorkloadError, match="no such thing"):
        analyze_on(probe, Broken(), SMALL)
