"""Work without bound ends with a sentence, and whatever works can be cancelled at every step."""

from __future__ import annotations

import threading
import time

import pytest
import torch
from tiny import tiny_bert
from torch import nn
from torch.nn.modules import module as modules

from memorymark import bounds as bounds_module
from memorymark.bounds import Bounds, Meter, new_meter, working_within
from memorymark.errors import BoundReached, Cancelled, InvalidValue
from memorymark.placement.metered_build import metered_build
from memorymark.records.config import TrainingConfig
from memorymark.records.event import CancelToken
from memorymark.records.request import Request, RequestKind
from memorymark.service import execute as execute_module
from memorymark.service.execute import execute
from memorymark.service.worker_main import read_settings, written_settings
from memorymark.settings import load_settings
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.simulate import simulate
from memorymark.units import GIB
from memorymark.workloads import Workload
from memorymark.workloads.build import build_model
from memorymark.workloads.custom import workload_of
from memorymark.workloads.trial_spec import TrialSpec

META = torch.device("meta")
CONFIG = TrainingConfig(seq_len=16)


def never():
    pass


def simulated(workload, **bounds):
    with working_within(Bounds(**bounds), never):
        model = build_model(workload, CONFIG, META)
        return simulate(TrialSpec(workload, CONFIG, 2), model, Rules(Platform.CUDA, (8, 0)))


class Endless(Workload):
    """Its forward pass, or its build, never ends."""

    name = "endless"

    def __init__(self, build=None):
        self.builds = build

    def build(self, config):
        return self.builds() if self.builds else nn.Linear(4, 4)

    def batch(self, batch_size, config):
        return torch.ones(batch_size, 4)

    def forward(self, model, batch):
        while True:
            batch = batch + 1

    def beside(self, model):
        from memorymark.workloads.reach import Reached

        return Reached((), ())


def endless_modules():
    return nn.ModuleList([nn.Linear(1, 1) for _ in range(10**9)])


# ---- the meter ---------------------------------------------------------------------------------


def test_a_meter_says_which_bound_was_reached_and_what_to_do():
    meter = Meter("The test", Bounds(operations=100), never)
    for _ in range(100):
        meter.operation()
    for _ in range(2):  # also where somebody went on
        with pytest.raises(BoundReached, match=r"The test .* 100 operations.*MEMORYMARK_BOUNDS=10"):
            meter.operation()
    assert meter.reached is not None


def test_bounds_can_be_raised():
    raised = Bounds().multiplied(load_settings({"MEMORYMARK_BOUNDS": "2.5"}).bounds_times)
    assert raised.operations == 2_500_000 and raised.seconds == 62.5
    assert Bounds().process_bytes == 4 * GIB and raised.process_bytes > 6 * GIB
    assert raised.job_seconds == 4500
    with pytest.raises(BoundReached, match="MEMORYMARK_BOUNDS=25 "):
        Meter("x", raised, never).stop_at_host_bytes()


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "lots", "1e400", "9" * 5000])
def test_a_factor_that_means_nothing_is_refused(text):
    with pytest.raises(InvalidValue, match="MEMORYMARK_BOUNDS"):
        load_settings({"MEMORYMARK_BOUNDS": text})


def test_one_takes_more_on_ones_own_than_in_the_app_unless_it_is_set(tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(
        execute_module, "working_within", lambda *about: given.append(about) or 1 / 0
    )
    request = Request(RequestKind.ESTIMATE, "bert", gpu="l4", batch_size=2)
    home = {"MEMORYMARK_HOME": str(tmp_path)}
    for settings in (
        load_settings(home),
        read_settings(written_settings(load_settings(home))),
        load_settings({**home, "MEMORYMARK_BOUNDS": "7"}),
        read_settings(written_settings(load_settings({**home, "MEMORYMARK_BOUNDS": "7"}))),
    ):
        with pytest.raises(ZeroDivisionError):
            execute(request, settings=settings)
    assert [bounds.times for bounds, _ in given] == [4, 1, 7, 7]


def test_bounds_are_those_of_the_work_inside():
    with working_within(Bounds(operations=1), never):
        new_meter("x").operation()
        inside = new_meter("x")
    inside.operation()
    with pytest.raises(BoundReached):
        inside.operation()
    outside = new_meter("x")
    outside.operation()
    outside.operation()


# ---- simulations -------------------------------------------------------------------------------


def test_a_simulation_without_end_is_stopped_by_its_operations():
    with pytest.raises(BoundReached, match=r"simulation of 'endless' .* 5,000 operations"):
        simulated(Endless(), operations=5000)


def test_a_simulation_without_end_is_stopped_by_its_time():
    with pytest.raises(BoundReached, match=r"takes more than 100 ms of processor time"):
        simulated(Endless(), seconds=0.1)


def test_a_simulation_without_end_is_stopped_by_its_memory():
    held = []

    class Keeping(Endless):
        def forward(self, model, batch):
            while True:
                held.append(bytearray(b"x" * 1024**2))
                batch = batch + 1

    held_before = bounds_module._memory_bytes()
    with pytest.raises(BoundReached, match=r"takes more than 64\.0 MiB of this machine's memory"):
        simulated(Keeping(), host_bytes=64 * 1024**2)
    assert bounds_module._memory_bytes() - held_before < 512 * 1024**2


def test_code_that_catches_everything_is_stopped_too():
    class Catching(Endless):
        def forward(self, model, batch):
            for _ in range(10**9):
                try:
                    batch = batch + 1
                except Exception as error:
                    raise ValueError("mine") from error

    with pytest.raises(BoundReached):
        simulated(Catching(), operations=1000)


def test_nothing_is_left_behind_of_a_simulation_that_was_stopped():
    workload, rules = tiny_bert(), Rules(Platform.CUDA, (8, 0))
    model = build_model(workload, CONFIG, META)
    spec = TrialSpec(workload, CONFIG, 2)
    whole = simulate(spec, model, rules)
    with working_within(Bounds(operations=300), never), pytest.raises(BoundReached):
        simulate(spec, model, rules)
    assert all(parameter.grad is None for parameter in model.parameters())
    again = simulate(spec, model, rules)
    assert again.trace.events == whole.trace.events


def test_the_settings_raise_the_bounds_of_a_request(tmp_path):
    request = Request(RequestKind.ESTIMATE, "endless", CONFIG, gpu="l4", batch_size=2)
    settings = load_settings({"MEMORYMARK_HOME": str(tmp_path), "MEMORYMARK_BOUNDS": "0.001"})
    with pytest.raises(BoundReached, match=r"MEMORYMARK_BOUNDS=0\.01 "):
        execute(request, workload=Endless(), settings=settings)


# ---- builds ------------------------------------------------------------------------------------


def test_a_build_without_end_is_stopped_by_its_modules():
    with pytest.raises(BoundReached, match=r"Building the model 'endless' .* 3,000 modules"):
        simulated(Endless(endless_modules), modules=3000)
    assert not modules._global_module_registration_hooks
    assert not modules._global_parameter_registration_hooks


def test_a_build_without_end_is_stopped_by_its_time():
    with pytest.raises(BoundReached, match="processor time"):
        simulated(Endless(endless_modules), seconds=0.1)


def test_a_build_that_makes_nothing_is_stopped_by_its_time_and_its_memory():
    def endless():
        while True:
            pass

    def growing():
        return [[float(n) for n in range(1000)] for _ in range(10**9)]

    for build, bounds, reached in (
        (endless, {"seconds": 0.1}, "100 ms of processor time"),
        (growing, {"host_bytes": 64 * 1024**2}, "64.0 MiB of this machine's memory"),
    ):
        with (
            pytest.raises(BoundReached, match=reached),
            working_within(Bounds(**bounds), never),
            metered_build("x", own=False),
        ):
            build()
    time.sleep(0.3)  # nothing comes afterwards


def test_a_build_that_swallows_what_ends_it_is_ended_again():
    def swallowing():
        try:
            while True:
                pass
        except BaseException:  # as in a callback of Python's collector
            while True:
                pass

    with (
        pytest.raises(BoundReached, match="processor time"),
        working_within(Bounds(seconds=0.1), never),
        metered_build("x", own=False),
    ):
        swallowing()


def test_a_model_that_needs_its_values_takes_no_more_of_the_host_than_it_may():
    def needs_values():
        assert nn.Parameter(torch.ones(1024, 1024)).sum().item() > 0
        return nn.Linear(1024, 1024)

    assert simulated_build(needs_values, host_bytes=64 * 1024**2).weight.is_meta
    with pytest.raises(BoundReached, match=r"of this machine's memory"):
        simulated_build(needs_values, host_bytes=1024**2)


def simulated_build(build, **bounds):
    with working_within(Bounds(**bounds), never):
        return build_model(Endless(build), CONFIG, META)


def test_other_threads_build_as_they_like():
    done, found = threading.Event(), []

    def build():
        found.append(nn.ModuleList([nn.Linear(1, 1) for _ in range(200)]))
        done.set()

    def both():
        threading.Thread(target=build).start()
        assert done.wait(5)
        return nn.Linear(4, 4)

    assert simulated_build(both, modules=50) is not None
    assert len(found[0]) == 200


# ---- cancelling --------------------------------------------------------------------------------


@pytest.mark.parametrize("workload", [Endless(), Endless(endless_modules)], ids=["step", "build"])
@pytest.mark.parametrize("kind", [RequestKind.ESTIMATE, RequestKind.ANALYSIS])
def test_what_runs_is_cancelled_at_once(workload, kind, tmp_path):
    cancel, cancelled_at = CancelToken(), []

    def stop():
        cancelled_at.append(time.perf_counter())
        cancel.cancel()

    single = {"batch_size": 2} if kind is RequestKind.ESTIMATE else {}
    request = Request(kind, "endless", CONFIG, gpu="l4", **single)
    timer = threading.Timer(0.4, stop)
    timer.start()
    settings = load_settings({"MEMORYMARK_HOME": str(tmp_path)})
    with pytest.raises(Cancelled):
        execute(request, workload=workload, cancel=cancel, settings=settings)
    assert time.perf_counter() - cancelled_at[0] < 5.0  # a fraction of one, where nothing else runs
    timer.join()


def test_a_step_that_is_measured_on_the_cpu_is_cancelled_at_once(tmp_path):
    cancel = CancelToken()
    request = Request(RequestKind.MEASURE, "endless", CONFIG, device="cpu", batch_size=2)
    timer = threading.Timer(0.4, cancel.cancel)
    timer.start()
    start = time.perf_counter()
    settings = load_settings({"MEMORYMARK_HOME": str(tmp_path)})
    with pytest.raises(Cancelled):
        execute(request, workload=Endless(), cancel=cancel, settings=settings)
    assert time.perf_counter() - start < 10.0


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3, 0.4, 0.6, 0.8])
def test_a_simulation_is_cancelled_wherever_it_is(share):
    workload, rules, calls = tiny_bert(), Rules(Platform.CUDA, (8, 0)), []
    model = build_model(workload, CONFIG, META)
    spec = TrialSpec(workload, CONFIG, 2)
    with working_within(Bounds(), lambda: calls.append(None)):
        whole = simulate(spec, model, rules)
    last, token = int(share * len(calls)), CancelToken()
    calls.clear()

    def check():
        calls.append(None)
        if len(calls) == last:
            token.cancel()
        token.check()

    with working_within(Bounds(), check), pytest.raises(Cancelled):
        simulate(spec, model, rules)
    assert len(calls) <= last + 3  # what is under way in a backward pass ends first
    assert simulate(spec, model, rules).trace.events == whole.trace.events


def test_a_factory_without_end_is_stopped_before_it_is_a_workload(tmp_path):
    request = Request(RequestKind.ESTIMATE, "endless", CONFIG, gpu="l4", batch_size=2)
    settings = load_settings({"MEMORYMARK_HOME": str(tmp_path), "MEMORYMARK_BOUNDS": "0.004"})
    with pytest.raises(BoundReached, match=r"Building the model 'endless'"):
        execute(
            request,
            find_workload=lambda name: workload_of(name, endless_modules),
            settings=settings,
        )


def test_an_analysis_keeps_what_fits_where_larger_batches_take_too_much(tmp_path):
    class Looping(Endless):
        name = "looping"

        def forward(self, model, batch):
            total = 0.0
            for sample in batch:
                total = total + model(sample).sum()
            return total, None

    request = Request(RequestKind.ANALYSIS, "looping", CONFIG, gpu="l4")
    settings = load_settings({"MEMORYMARK_HOME": str(tmp_path), "MEMORYMARK_BOUNDS": "0.02"})
    found = execute(request, workload=Looping(), settings=settings)
    assert not found.complete and "was stopped" in found.stopped_by
    assert found.max_batch_size and found.max_batch_size >= 8
