"""The one way to do a job: targets, leases, measured runs of the history."""

import dataclasses
import gc
import threading
from unittest.mock import create_autospec

import app_probe
import pytest
import torch
from fakes import FakeProbe, FakeWorkload, simulated_target
from leases import is_held
from tiny import tiny_bert, tiny_llama

from memorymark.analysis.analyze import analyze_on
from memorymark.errors import (
    Cancelled,
    DeviceError,
    NotAvailable,
    UnknownChoice,
    UsageError,
    WorkloadError,
)
from memorymark.gpus.catalogue import find_gpu
from memorymark.probes import choose, common, lease
from memorymark.probes.lease import device_lease
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.event import GPUS_DONE, CancelToken
from memorymark.records.request import Request, RequestKind
from memorymark.records.serving_config import ServingConfig
from memorymark.records.session_run import SessionPlan, unheard
from memorymark.records.trial import Source, Target
from memorymark.service import call, probe_factory
from memorymark.service.execute import execute
from memorymark.service.history import RunHistory
from memorymark.settings import Settings
from memorymark.units import GIB

L4 = find_gpu("l4")


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path, probe_factory="app_probe:make_probe")


@pytest.fixture
def history(settings):
    return RunHistory(settings.history_path)


def take(monkeypatch, probe):
    """Let every request be answered by one probe."""
    stand_in(monkeypatch, probe_factory, "load_factory", create_autospec(
        app_probe.make_probe, return_value=probe
    ))  # fmt: skip
    return probe


def stand_in(monkeypatch, module, name, value=None, **how):
    """Replace a function by one with the same signature, and return it."""
    mock = create_autospec(getattr(module, name), return_value=value, **how)
    monkeypatch.setattr(module, name, mock)
    return mock


def ask(kind=RequestKind.ANALYSIS, model="bert", **parts):
    return Request(kind, model, **parts)


def keep_measured(
    history,
    *,
    capacity=L4.total_bytes,
    config=None,
    options=None,
    model="bert",
    software=None,
    **how,
):
    """Keep an analysis that was measured on an L4, and return its run's id."""
    target = Target(L4.name, "cuda", Source.MEASURED, capacity, L4.total_bytes, "l4")
    probe = FakeProbe(target=target, seconds_per_sample=0.0001, **how)
    analysis = analyze_on(probe, FakeWorkload(model), config or TrainingConfig(), options)
    ran = {**common.software(), **(software or {})}
    return history.save("analysis", dataclasses.replace(analysis, software=ran).to_dict())


def compared(settings, **parts):
    found = execute(ask(RequestKind.COMPARISON, gpus=("t4", "l4"), **parts), settings=settings)
    return {row.gpu: row for row in found.gpus}


def test_the_collector_rests_while_probe_and_workload_are_loaded(settings, monkeypatch):
    rested = []

    def make_probe(**target):
        rested.append(not gc.isenabled())
        return app_probe.make_probe(**target)

    monkeypatch.setattr(probe_factory, "load_factory", lambda name: make_probe)
    monkeypatch.setattr(
        call.Call, "workload", lambda *_: rested.append(not gc.isenabled()) or FakeWorkload("bert")
    )
    execute(ask(RequestKind.ESTIMATE, gpu="l4", batch_size=1), settings=settings)
    assert rested == [True, True]
    assert gc.isenabled()


# ---- what each kind returns ------------------------------------------------------------------


def test_an_analysis_has_the_catalogues_price_unless_one_is_given(settings):
    found = execute(ask(gpu="a100-40gb"), settings=settings)
    assert (found.workload, found.max_batch_size) == ("bert", 1216)
    assert found.options.price_per_hour == find_gpu("a100-40gb").usd_per_hour
    options = AnalysisOptions(price_per_hour=9.0)
    assert execute(ask(gpu="l4", options=options), settings=settings).options == options


def test_price_of_an_unknown_device_stays_unknown(settings):
    assert execute(ask(device="cuda"), settings=settings).options.price_per_hour is None


def test_single_trials(settings):
    estimated = execute(ask(RequestKind.ESTIMATE, gpu="l4", batch_size=3), settings=settings)
    assert (estimated.batch_size, estimated.source) == (3, "simulated")
    measured = execute(ask(RequestKind.MEASURE, device="cpu", batch_size=3), settings=settings)
    assert (measured.batch_size, measured.source) == (3, "measured")


def test_validations(settings):
    backward = execute(ask(RequestKind.BACKWARD, device="cpu", batch_size=4), settings=settings)
    assert backward.batch_size == 4
    compiled = execute(ask(RequestKind.COMPILE, device="cpu"), settings=settings)
    assert compiled.batch_size == 8 and compiled.break_even_steps > 0
    with pytest.raises(NotAvailable, match="measured, not simulated"):
        execute(ask(RequestKind.COMPILE, gpu="l4"), settings=settings)
    with pytest.raises(WorkloadError):
        execute(ask(RequestKind.BACKWARD, "own:broken", device="cpu"), settings=settings)


def test_without_a_target_the_default_gpu_is_simulated_and_it_says_so(tmp_path, monkeypatch):
    stand_in(monkeypatch, torch.cuda, "is_available", False)
    make = lambda gpu, budget_bytes: FakeProbe(target=simulated_target(name=gpu.name))  # noqa: E731
    stand_in(monkeypatch, choose, "simulated_probe", side_effect=make)
    events, how = [], {"settings": Settings(tmp_path), "find_workload": FakeWorkload}
    found = execute(ask(), on_event=events.append, **how)
    assert "No CUDA device is available" in found.findings[0]
    assert found.findings[0] == events[0].text
    assert execute(ask(gpu="a100-40gb"), **how).findings == found.findings[1:]


def test_a_measurement_takes_the_best_device(tmp_path, monkeypatch):
    stand_in(monkeypatch, torch.cuda, "is_available", False)
    stand_in(monkeypatch, torch.backends.mps, "is_available", False)
    make = stand_in(monkeypatch, choose, "device_probe", FakeProbe())
    request = ask(RequestKind.MEASURE, batch_size=4, memory_budget=GIB)
    execute(request, settings=Settings(tmp_path), find_workload=FakeWorkload)
    make.assert_called_once_with("cpu", GIB)


def test_unknown_names_are_refused_with_the_nearest(tmp_path):
    for parts, nearest in (
        ({"device": "cuda0"}, "cuda"), ({"gpu": "a100-40"}, "a100-40gb"),
        ({"model": "bertt", "device": "cpu"}, "bert"),
    ):  # fmt: skip
        with pytest.raises(UnknownChoice, match=f"Did you mean '{nearest}'"):
            execute(ask(**parts), settings=Settings(tmp_path))


# ---- the lease -------------------------------------------------------------------------------


class Watching(FakeProbe):
    """Notes in each trial whether its device is held."""

    def __init__(self, folder, **how):
        super().__init__(**how)
        self.folder, self.seen = folder, []

    def run_trial(self, spec):
        self.seen.append(is_held(self.target.lock_name, self.folder))
        return super().run_trial(spec)

    def run_sessions(self, spec, host_bytes=None, on_event=unheard):
        self.seen.append(is_held(self.target.lock_name, self.folder))
        return super().run_sessions(spec, host_bytes, on_event)


@pytest.mark.parametrize(
    "kind",
    sorted(
        set(RequestKind)
        - {RequestKind.COMPARISON, RequestKind.ESTIMATE, RequestKind.LEVERS}  # these simulate
        - {RequestKind.GENERATE}  # tests/service/test_generation_request.py
        - {RequestKind.ARC}  # tests/service/test_arc_request.py
        - {
            RequestKind.TRAIN,
            RequestKind.COMPARE_TRAINING,
        }  # tests/service/test_training_request.py
    ),
)
def test_a_measurement_holds_its_device_for_its_whole_length(monkeypatch, settings, kind):
    probe = take(monkeypatch, Watching(settings.locks_folder))
    batch_size = None if kind is RequestKind.SESSIONS else 4
    execute(ask(kind, device=None, batch_size=batch_size), settings=settings)
    assert probe.seen and False not in probe.seen
    assert not is_held("cuda:0", settings.locks_folder)


def test_a_simulation_holds_nothing(monkeypatch, settings):
    probe = take(monkeypatch, Watching(settings.locks_folder, target=simulated_target()))
    execute(ask(gpu="l4"), settings=settings)
    assert probe.seen and True not in probe.seen


def test_waiting_for_a_held_device_is_said_and_can_be_cancelled(monkeypatch, settings):
    take(monkeypatch, FakeProbe())
    held, done = threading.Event(), threading.Event()

    def hold():
        with device_lease("cuda:0", folder=settings.locks_folder):
            held.set()
            done.wait(10)

    other = threading.Thread(target=hold)
    other.start()
    assert held.wait(10)
    token, events = CancelToken(), []

    def on_event(event):
        events.append(event)
        token.cancel()

    with pytest.raises(Cancelled):
        execute(ask(device="cuda"), settings=settings, on_event=on_event, cancel=token)
    done.set()
    other.join()
    assert "cuda:0 is in use by another measurement" in events[0].text


def test_nothing_is_measured_without_a_lock(monkeypatch, settings):
    probe = take(monkeypatch, FakeProbe())
    settings.locks_folder.touch()
    with pytest.raises(DeviceError, match="no lock against other measurements") as refused:
        execute(ask(device="cuda"), settings=settings)
    assert str(settings.locks_folder) in str(refused.value)
    assert "MEMORYMARK_HOME" in str(refused.value)
    assert not probe.batch_sizes


def test_simulations_need_no_lock(monkeypatch, settings):
    take(monkeypatch, FakeProbe(target=simulated_target()))
    settings.locks_folder.touch()
    assert execute(ask(gpu="l4"), settings=settings).max_batch_size


# ---- where a search starts -------------------------------------------------------------------


def test_a_measured_search_starts_from_a_simulation(monkeypatch, settings):
    simulation = FakeProbe(target=simulated_target(8 * GIB))
    probe = take(monkeypatch, FakeProbe(simulation=simulation))
    events = []
    found = execute(ask(device="cuda"), settings=settings, on_event=events.append)
    assert abs(probe.batch_sizes[0] - found.max_batch_size) <= 8
    assert any(f"about {probe.batch_sizes[0]}" in event.text for event in events)


# ---- comparisons -----------------------------------------------------------------------------


def test_costs_on_several_gpus(settings):
    request = ask(RequestKind.COMPARISON, gpus=("a10", "A100-40GB", "a10"))
    found = execute(request, settings=settings)
    assert {row.gpu for row in found.gpus} == {"a10", "a100-40gb"} and len(found.gpus) == 2
    costs = [row.cost.usd_per_million_samples for row in found.gpus]
    assert costs == sorted(costs)
    assert all(row.usd_per_hour and row.price_source for row in found.gpus)
    with pytest.raises(UnknownChoice, match="Did you mean 'a10'"):
        execute(ask(RequestKind.COMPARISON, gpus=("a11",)), settings=settings)


def test_all_gpus_of_the_catalogue(settings):
    events = []
    found = execute(ask(RequestKind.COMPARISON), settings=settings, on_event=events.append)
    number = len(found.gpus)
    assert number >= 16
    counts = [event.text for event in events if event.phase == GPUS_DONE]
    assert counts == [f"{done} of {number} GPUs done" for done in range(1, number + 1)]
    known = [event.progress for event in events if event.progress is not None]
    assert len(known) > 16 and known == sorted(known) and known[-1] <= 1.0


def test_a_measured_run_takes_the_place_of_a_simulation(settings, history):
    run_id = keep_measured(history)
    rows = compared(settings)
    assert (rows["l4"].source, rows["l4"].run_id) == ("measured", run_id)
    assert (rows["t4"].source, rows["t4"].run_id) == ("simulated", None)


def test_the_newest_measured_run_is_taken(settings, history):
    keep_measured(history)
    newest = keep_measured(history)
    assert compared(settings)["l4"].run_id == newest


def test_a_run_under_a_budget_is_never_taken_for_a_whole_card(settings, history):
    keep_measured(history, capacity=4 * GIB)
    assert compared(settings)["l4"].source == "simulated"


def test_a_whole_card_is_not_taken_for_a_budget(settings, history):
    keep_measured(history)
    assert compared(settings, memory_budget=4 * GIB)["l4"].source == "simulated"


@pytest.mark.parametrize(
    "other",
    [
        {"config": TrainingConfig(precision="bf16")},
        {"options": AnalysisOptions(granularity=16)},
        {"options": AnalysisOptions(headroom=0.2)},
        {"options": AnalysisOptions(objective="memory")},
        {"options": AnalysisOptions(max_batch_size=64)},
        {"options": AnalysisOptions(dataset_size=64)},
    ],
    ids=str,
)
def test_what_changes_a_figure_makes_another_question(settings, history, other):
    keep_measured(history, **other)
    assert compared(settings)["l4"].source == "simulated"


def test_money_is_worked_out_anew(settings, history):
    keep_measured(history, options=AnalysisOptions(price_per_hour=99.0, epochs=7))
    row = compared(settings, options=AnalysisOptions(dataset_size=10**6))["l4"]
    assert (row.source, row.usd_per_hour) == ("measured", L4.usd_per_hour)
    hours = 10**6 / row.samples_per_second / 3600
    assert row.cost.usd_per_run == pytest.approx(hours * L4.usd_per_hour)


def test_a_measurement_of_another_model_or_an_unfinished_one_is_not_taken(settings, history):
    keep_measured(history, errors={8: "The model raised."})
    assert compared(settings)["l4"].source == "simulated"
    found = execute(ask(RequestKind.COMPARISON, "gpt2", gpus=("l4",)), settings=settings)
    assert found.source == "simulated"


def test_a_measurement_of_another_model_is_not_taken(settings, history):
    keep_measured(history, model="gpt2")
    assert compared(settings)["l4"].source == "simulated"


def test_a_measurement_of_another_software_is_not_taken(settings, history):
    keep_measured(history, software={"torch": "1.0.0"})
    keep_measured(history, software={"PYTORCH_ALLOC_CONF": "expandable_segments:True"})
    assert compared(settings)["l4"].source == "simulated"
    build = keep_measured(history, software={"torch": f"{torch.__version__.split('+')[0]}+other"})
    assert compared(settings)["l4"].run_id == build


def test_a_simulated_run_is_never_taken_for_a_measured_one(settings, history):
    run_id = keep_measured(history)
    record = history.open(run_id).record
    target = {**record["target"], "source": "simulated", "kind": "simulated"}
    history.delete(run_id)
    history.save("analysis", {**record, "source": "simulated", "target": target})
    assert compared(settings)["l4"].source == "simulated"


def test_an_old_run_whose_options_are_refused_today_is_passed_over(settings, history):
    record = history.open(keep_measured(history)).record
    options = {**record["options"], "headroom": 0.95}
    history.save("analysis", {**record, "run_id": None, "options": options})
    assert compared(settings)["l4"].source == "measured"


def test_a_later_gpu_starts_where_the_others_memory_points(settings, monkeypatch):
    guesses = []

    def analyzed(*given, guess, **how):
        guesses.append(guess)
        return analyze_on(*given, guess=guess, **how)

    bound = create_autospec(analyze_on, side_effect=analyzed)
    monkeypatch.setattr(call, "analyze_on", bound)
    compared(settings)
    assert guesses[0] is None and guesses[1] is not None


def test_code_of_the_users_own_is_simulated_again(settings, history, monkeypatch):
    keep_measured(history)
    monkeypatch.setattr(FakeWorkload, "runs_own_code", True)
    assert compared(settings)["l4"].source == "simulated"


def test_an_object_of_the_callers_is_not_taken_for_the_model_of_its_name(settings, history):
    keep_measured(history)
    request = ask(RequestKind.COMPARISON, gpus=("l4",))
    assert execute(request, settings=settings, workload=FakeWorkload("bert")).source == "simulated"


def test_a_folder_is_simulated_again(settings, history, tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    keep_measured(history, model="hf:./model")
    request = ask(RequestKind.COMPARISON, "hf:./model", gpus=("l4",))
    assert execute(request, settings=settings).source == "simulated"


def test_a_budget_is_said_with_a_comparison(settings):
    request = ask(RequestKind.COMPARISON, gpus=("l4",), memory_budget=4 * GIB)
    assert "4.00 GiB" in execute(request, settings=settings).findings[0]


def test_a_stopped_comparison_keeps_the_gpus_that_were_done(settings):
    token, told = CancelToken(), []

    def on_event(event):
        told.append(event)
        if event.text.startswith("2 of 3"):
            token.cancel()

    request = ask(RequestKind.COMPARISON, gpus=("a10", "l4", "t4"), memory_budget=4 * GIB)
    with pytest.raises(Cancelled) as stopped:
        execute(request, settings=settings, on_event=on_event, cancel=token)
    assert {row.gpu for row in stopped.value.partial.gpus} == {"a10", "l4"}
    assert stopped.value.partial.findings[0] == "Stopped early: 1 of 3 GPUs are missing."
    known = [event.known() for event in told if event.known]
    assert [len(comparison.gpus) for comparison in known] == [1, 2]


def test_a_comparison_that_was_stopped_at_once_has_no_result(settings):
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled) as stopped:
        execute(ask(RequestKind.COMPARISON, gpus=("a10",)), settings=settings, cancel=token)
    assert stopped.value.partial is None


def test_a_cancelled_trial_does_not_run(settings):
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        execute(ask(RequestKind.MEASURE, batch_size=4), settings=settings, cancel=token)


def test_a_history_that_cannot_be_read_is_said(settings):
    settings.history_path.write_text("not a history, but long enough to be looked at " * 40)
    events = []
    request = ask(RequestKind.COMPARISON, gpus=("l4",))
    assert execute(request, settings=settings, on_event=events.append).source == "simulated"
    assert "history cannot be read" in events[0].text


def test_a_damaged_run_is_passed_over(settings, history):
    run_id = keep_measured(history)
    history.save("analysis", {"model_name": "bert", "source": "measured", "trials": "none"})
    assert compared(settings)["l4"].run_id == run_id


def test_no_history_is_made_by_looking(settings):
    compared(settings)
    assert not settings.history_path.exists()


# ---- probes of the user's own ----------------------------------------------------------------


def test_the_factory_is_told_the_target(settings, monkeypatch):
    factory = create_autospec(app_probe.make_probe, side_effect=app_probe.make_probe)
    load = stand_in(monkeypatch, probe_factory, "load_factory", factory)
    execute(ask(device="cuda:1", memory_budget="2GiB"), settings=settings)
    factory.assert_called_once_with(device="cuda:1", gpu=None, memory_budget=2 * GIB)
    load.assert_called_once_with("app_probe:make_probe")


def test_a_request_holds_what_its_kind_needs():
    for parts, said in (
        ({"kind": "estimate", "gpu": "l4"}, "needs the batch size"),
        ({"kind": "estimate", "batch_size": 4}, "needs the gpu"),
        ({"kind": "measure"}, "needs the batch size"),
        ({"kind": "estimate", "device": "cpu", "gpu": None, "batch_size": 4}, "needs the gpu"),
        ({"kind": "comparison", "gpu": "l4"}, "takes no gpu"),
        ({"kind": "comparison", "device": "cpu"}, "takes no device"),
    ):
        with pytest.raises(UsageError, match=said):
            Request(**{"model": "bert", **parts})
    assert Request("analysis", "bert").kind is RequestKind.ANALYSIS


def test_one_card_has_one_identity():
    first, other = ask(device="cuda"), ask(device="cuda:0")
    assert first.identity == other.identity != ask(device="cuda:1").identity


def test_requests_of_one_question_have_one_identity():
    one = ask(gpu="l4", options=AnalysisOptions(price_per_hour=1.0))
    other = dataclasses.replace(one, options=AnalysisOptions(epochs=3))
    assert one.identity == other.identity
    assert one.identity != dataclasses.replace(one, memory_budget=GIB).identity


def failing_on(monkeypatch, failing):
    """Let the probes of some GPUs raise at once."""

    def make(device=None, gpu=None, memory_budget=None):
        target = dataclasses.replace(simulated_target(name=gpu), gpu_key=gpu)
        raises = {1: WorkloadError("No such kernel.")} if gpu in failing else None
        return FakeProbe(target=target, raises=raises)

    stand_in(monkeypatch, probe_factory, "load_factory", make)


def test_a_gpu_that_fails_costs_the_others_nothing(monkeypatch, settings):
    failing_on(monkeypatch, ["a10"])
    found = execute(ask(RequestKind.COMPARISON, gpus=("l4", "a10", "t4")), settings=settings)
    rows = {row.gpu: row for row in found.gpus}
    assert set(rows) == {"l4", "a10", "t4"}
    assert rows["l4"].max_batch_size and rows["t4"].max_batch_size
    assert rows["a10"].max_batch_size is None and rows["a10"].assumptions == ("No such kernel.",)
    assert "a10: No such kernel." in found.findings


def test_where_all_fail_the_error_is_the_callers(monkeypatch, settings):
    failing_on(monkeypatch, ["a10", "l4"])
    with pytest.raises(WorkloadError, match="No such kernel"):
        execute(ask(RequestKind.COMPARISON, gpus=("l4", "a10")), settings=settings)


def test_a_lock_that_cannot_be_given_back_costs_no_result(monkeypatch, settings):
    take(monkeypatch, FakeProbe())
    broken = OSError(5, "Input/output error")
    monkeypatch.setattr(lease.FileLock, "release", create_autospec(print, side_effect=broken))
    events = []
    found = execute(ask(device="cuda"), settings=settings, on_event=events.append)
    assert found.max_batch_size == 192
    assert any("could not be given back" in event.text for event in events)


def test_what_apples_gpus_cannot_do_is_refused_with_the_reason():
    config = TrainingConfig(optimizer="adamw-8bit", expandable_segments=True)
    request = Request(RequestKind.ESTIMATE, "bert", config, gpu="m4-16gb", batch_size=1)
    with pytest.raises(UsageError, match="Apple M4 16GB: adamw-8bit: bitsandbytes needs") as said:
        execute(request)
    assert "only CUDA's allocator has them" in str(said.value)


def test_apples_gpus_are_compared_where_they_are_named_and_have_no_price():
    asked = Request(
        RequestKind.COMPARISON, "fake", TrainingConfig(seq_len=16), gpus=("m4-16gb", "l4"),
        options=AnalysisOptions(max_batch_size=8),
    )  # fmt: skip
    rows = {row.gpu: row for row in execute(asked, workload=tiny_bert()).gpus}
    m4, l4 = rows["m4-16gb"], rows["l4"]
    assert m4.samples_per_second and m4.usd_per_hour is None
    assert l4.samples_per_second and l4.usd_per_hour


def test_sessions_of_apples_gpus_are_held_and_not_swapped():
    def asked(policy):
        serving = ServingConfig(weights="fp32", context_tokens=32, output_tokens=2, policy=policy)
        return Request(
            RequestKind.SESSIONS, "tiny", gpu="m4-16gb", serving=serving,
            plan=SessionPlan(sessions=2),
        )  # fmt: skip

    with pytest.raises(UsageError, match="swap: it moves caches to the host's memory"):
        execute(asked("swap"), workload=tiny_llama())
    found = execute(asked("hold"), workload=tiny_llama())
    assert found.sessions_completed == 2
    assert sum("of MPS are not modelled" in said for said in found.assumptions) == 1
    assert any("MPS's kernels are taken" in said for said in found.assumptions)
