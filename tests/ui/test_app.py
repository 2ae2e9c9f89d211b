"""Each page of the app, with a probe that answers at once."""

import dataclasses
import json
import platform
import re
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import create_autospec

import app_probe
import pytest
import streamlit as st
from fakes import FakeProbe, FakeWorkload, measured_target, simulated_target

from memorymark import units
from memorymark.analysis.analyze import analyze_on
from memorymark.cli import main
from memorymark.gpus.catalogue import load_catalogue, rentable_gpus
from memorymark.gpus.telemetry import GpuProcess, Telemetry, read_telemetry
from memorymark.records.config import TrainingConfig
from memorymark.records.event import GPUS_DONE, Event, EventKind
from memorymark.service.access import AppService
from memorymark.service.estimates import Answer
from memorymark.service.history import RunHistory
from memorymark.service.job import Job
from memorymark.service.jobs import JobManager
from memorymark.service.worker_pool import WorkerPool
from memorymark.service.worker_process import WorkerProcess
from memorymark.ui import machine_view
from memorymark.ui.engine import app_service
from memorymark.ui.results import comparison_view, job_view, redrawn

ROOT = Path(__file__).parents[2]


def run_to_end(app, button):
    """Press a button that starts a job and draw the page until the job has ended."""
    next(b for b in app.button if b.label == button).click()
    app.run()
    until(lambda: not any(run.status.is_active for run in RunHistory().list()))
    return app.run()


def until(said):
    end = time.monotonic() + 20
    while not said():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def open_page(app, page):
    """Go to a page as a click in the navigation does, which also clears the address."""
    app.query_params.clear()
    app.switch_page(f"pages/{page}.py").run()


@pytest.fixture
def probed(monkeypatch):
    """What the probes of the app are made of, and those that were made."""
    ours = SimpleNamespace(target=None, memory=None, made=[])
    make = app_probe.make_probe

    def make_probe(device, gpu, memory_budget):
        probe = make(device, gpu, memory_budget)
        probe.memory = ours.memory
        if ours.target is not None and device is not None:
            probe._target = ours.target
        ours.made.append(probe)
        return probe

    monkeypatch.setattr(app_probe, "make_probe", create_autospec(make, side_effect=make_probe))
    return ours


def metric(app, label):
    return next(m for m in app.metric if m.label == label)


def captions(app):
    return " ".join(caption.value for caption in app.caption)


def subheaders(app):
    return [s.value for s in app.subheader]


def test_first_paint_says_what_to_do(app):
    app.run()
    assert not app.exception
    assert app.title[0].value == "Analysis"
    assert app.main.button[0].label == "Analyze"
    assert "No result of these settings yet. Press Analyze" in captions(app)


def test_one_click_gives_an_analysis(app):
    app.run()
    run_to_end(app, "Analyze")
    assert not app.exception
    assert re.match(
        r"Largest batch that fits: 1,216, in steps of 8\. Recommended: \d+\. At batch 16, 94 % of "
        r"the memory is idle\.",
        subheaders(app)[0],
    )
    settings = "bert · NVIDIA A100 40GB (simulated) · fp32 · adamw"
    assert settings in [line.value for line in app.markdown]
    assert metric(app, "Largest batch that fits").value == "1,216"
    assert "saves" in subheaders(app)[0]


def test_sliders_redraw_from_the_trials_that_exist(app):
    app.run()
    run_to_end(app, "Analyze")
    before = metric(app, "Savings per run").value
    app.slider(key="side_price_per_hour").set_value(12.9).run()
    assert not app.exception
    assert metric(app, "Savings per run").value != before
    app.number_input(key="setup_current_batch_size").set_value(400).run()
    assert metric(app, "Current batch").value == "400"
    assert len(RunHistory().list()) == 1


def test_between_measured_trials_figures_are_interpolated(app, probed):
    probed.target = dataclasses.replace(measured_target(), kind="cpu", gpu_key="a10")
    app.query_params["device"] = "cpu"
    app.run()
    run_to_end(app, "Analyze")
    app.number_input(key="setup_current_batch_size").set_value(100).run()
    until(lambda: not app_service().estimates.is_busy)
    app.run()
    assert metric(app, "Current batch").value == "100"
    assert metric(app, "Current batch").delta == "5.12 GiB (interpolated)"
    assert len(RunHistory().list()) == 1


def test_between_simulated_trials_the_page_says_what_the_memory_bar_says(app, probed):
    probed.memory = lambda batch_size: 2 * units.GIB + batch_size**2 * 20 * units.KIB
    app.run()
    run_to_end(app, "Analyze")
    app.number_input(key="setup_current_batch_size").set_value(1000).run()
    until(lambda: "interpolated" not in metric(app.run(), "Current batch").delta)
    assert not app.exception
    assert metric(app, "Current batch").delta == "21.07 GiB (simulated)"
    assert any("Fits: 21.07 of 40.00 GiB" in line.value for line in app.markdown)
    open_page(app, "cost_comparison")
    assert f"{units.rate(1000 / 1.02)} samples/s" in captions(app)
    assert len(RunHistory().list()) == 1


def test_the_estimate_of_the_page_is_that_of_the_memory_bar(app, probed):
    """One simulation serves both, as long as the setup is that of the run."""
    app.run()
    run_to_end(app, "Analyze")
    app.number_input(key="setup_current_batch_size").set_value(1000).run()
    until(lambda: "simulated" in metric(app.run(), "Current batch").delta)
    assert [probe.batch_sizes for probe in probed.made].count([1000]) == 1


def test_without_an_estimate_figures_between_simulated_trials_are_said_to_be_interpolated(
    app, monkeypatch
):
    app.run()
    run_to_end(app, "Analyze")
    failed = create_autospec(AppService.estimate, return_value=Answer(error="No room."))
    monkeypatch.setattr(AppService, "estimate", failed)
    app.number_input(key="setup_current_batch_size").set_value(1000).run()
    assert metric(app, "Current batch").delta == "33.25 GiB (interpolated)"
    assert not any("Simulating" in caption.value for caption in app.caption)


def test_each_target_has_its_price_of_the_catalogue_or_the_one_that_was_set_for_it(app):
    app.run()
    run_to_end(app, "Analyze")
    app.selectbox(key="setup_target").set_value("gpu=t4").run()
    assert app.slider(key="side_price_per_hour").value == 0.5904
    run_to_end(app, "Analyze")
    assert newest_price() == 0.5904
    app.slider(key="side_price_per_hour").set_value(3.0).run()
    app.selectbox(key="setup_target").set_value("gpu=l4").run()
    assert app.slider(key="side_price_per_hour").value == load_catalogue()["l4"].usd_per_hour
    run_to_end(app, "Analyze")
    assert newest_price() == load_catalogue()["l4"].usd_per_hour
    app.selectbox(key="setup_target").set_value("gpu=t4").run()
    assert app.slider(key="side_price_per_hour").value == 3.0
    run_to_end(app, "Analyze")
    assert newest_price() == 3.0


def test_a_price_beyond_the_slider_is_shown_as_it_is(app, monkeypatch):
    assert main(["analyze", "bert", "--gpu", "a10", "--price", "98.32"]) == 0
    app.query_params["run"] = RunHistory().list()[0].run_id
    app.run()
    assert not app.exception
    assert app.slider(key="side_price_per_hour").value == 98.32


def newest_price():
    history = RunHistory()
    return history.open(history.list()[0].run_id).record["price_per_hour"]


def test_batch_outside_of_the_trials_is_simulated(app):
    app.run()
    run_to_end(app, "Analyze")
    app.number_input(key="setup_current_batch_size").set_value(3).run()
    until(lambda: "simulated" in metric(app.run(), "Current batch").delta)
    assert not app.exception
    assert metric(app, "Current batch").delta == "2.09 GiB (simulated)"


def test_nothing_is_called_unknown_while_its_estimate_is_on_its_way(app, monkeypatch):
    app.run()
    run_to_end(app, "Analyze")
    monkeypatch.setattr(redrawn, "_answer", lambda analysis, asked: None)
    app.number_input(key="setup_current_batch_size").set_value(3).run()
    assert not app.exception
    assert "Simulating batch 3, which was not tried" in captions(app)
    assert not [info.value for info in app.info if "outside of the range" in info.value]
    failed = Answer(None, "No rule.")
    monkeypatch.setattr(redrawn, "_answer", lambda analysis, asked: failed)
    app.run()
    assert [info.value for info in app.info if "Batch 3 is outside of the range" in info.value]


def test_a_batch_outside_of_the_trials_is_simulated_under_the_budget_of_the_run():
    """A run under a budget is never taken for the whole GPU."""
    target = simulated_target(4 * units.GIB)
    analysis = analyze_on(FakeProbe(target=target), FakeWorkload("bert"), TrainingConfig())
    request = redrawn.simulated_request(analysis)
    assert (request.gpu, request.memory_budget) == (target.gpu_key, 4 * units.GIB)


def test_a_damaged_run_and_one_of_another_version_break_no_page(app):
    run_id = RunHistory().save("analysis", {"model_name": "bert"})
    with sqlite3.connect(RunHistory().path) as connection:
        connection.execute("UPDATE runs SET record = '{broken'")
    connection.close()
    app.query_params["run"] = run_id
    app.run()
    assert not app.exception
    assert any("is damaged" in error.value for error in app.error)
    app.query_params["run"] = RunHistory().save("horoscope", {"model_name": "bert"})
    app.run()
    assert not app.exception
    assert any("of kind 'horoscope'" in warning.value for warning in app.warning)


def test_a_run_whose_options_are_refused_today_breaks_no_page(app):
    app.run()
    run_to_end(app, "Analyze")
    history = RunHistory()
    record = history.open(history.list()[0].run_id).record
    options = {**record["options"], "headroom": 0.95}
    app.query_params["run"] = history.save(
        "analysis", {**record, "run_id": None, "options": options}
    )
    app.run()
    assert not app.exception
    assert any("headroom" in error.value for error in app.error)


def test_nothing_fits_says_what_to_change(app):
    app.run()
    app.selectbox(key="setup_model").set_value("own:too_big")
    run_to_end(app, "Analyze")
    assert not app.exception
    assert re.match(r"Does not fit: batch 1 needs .* GiB", subheaders(app)[0])
    assert "Gradient checkpointing." in list(app.dataframe[0].value["Change"])
    assert any(caption.value == "Simulated at batch size 1." for caption in app.caption)


def test_changes_that_were_not_tried_are_not_called_simulated(app):
    app.run()
    app.selectbox(key="setup_target").set_value("device=cpu")
    app.selectbox(key="setup_model").set_value("own:too_big")
    run_to_end(app, "Analyze")
    assert not app.exception
    assert set(app.dataframe[0].value["Fits"]) == {"not tried"}
    said = [caption.value for caption in app.caption]
    assert any(text.startswith("These changes were not tried") for text in said)
    assert not any(text.startswith("Simulated at batch") for text in said)


def test_failed_job_says_why(app):
    app.run()
    app.selectbox(key="setup_model").set_value("own:broken")
    run_to_end(app, "Analyze")
    assert not app.exception
    assert "it is broken" in app.error[0].value


def test_bad_budget_is_said(app):
    app.run()
    app.text_input(key="setup_memory_budget").set_value("lots")
    next(b for b in app.button if b.label == "Analyze").click()
    app.run()
    assert "memory budget is 'lots'" in app.error[0].value


def test_the_form_takes_its_first_values_from_the_address(app):
    said = "model=gpt2&precision=amp-bf16&seq_len=512&dropout=false&headroom=0.125&task=causal-lm"
    app.query_params.update(dict(pair.split("=") for pair in said.split("&")))
    app.query_params["memory_budget"] = "4GiB"
    app.run()
    assert not app.exception and not app.warning
    assert app.selectbox(key="setup_model").value == "gpt2"
    assert app.number_input(key="setup_seq_len").value == 512
    assert app.toggle(key="setup_dropout").value is False
    assert app.number_input(key="setup_headroom").value == 12.5
    run_to_end(app, "Analyze")
    asked = RunHistory().open(RunHistory().list()[0].run_id).request
    config = asked["config"]
    assert (asked["model"], asked["memory_budget"]) == ("gpt2", 4 * units.GIB)
    assert (config["precision"], config["task"]) == ("amp-bf16", "causal-lm")
    assert (config["seq_len"], config["dropout"], config["optimizer"]) == (512, False, "adamw")
    assert asked["options"]["headroom"] == 0.125


def test_what_the_form_was_sent_with_stands_in_the_address(app):
    app.query_params.update({"optimizer": "sgd", "model": "bert"})
    app.run()
    app.selectbox(key="setup_optimizer").set_value("adam")
    app.number_input(key="setup_seq_len").set_value(64)
    app.number_input(key="setup_granularity").set_value(4)
    run_to_end(app, "Analyze")
    assert not app.exception
    said = {name: "".join(value) for name, value in app.query_params.items()}
    assert said.pop("run") == RunHistory().list()[0].run_id
    assert said == {"model": "bert", "optimizer": "adam", "seq_len": "64", "granularity": "4"}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("precision", "fp33", "Did you mean 'fp32'?"),
        ("seq_len", "many", "a whole number from 1 to 10000000"),
        ("seq_len", "10000001", "a whole number from 1 to 10000000"),
        ("dropout", "maybe", "true or false"),
        ("headroom", "0.95", "a share from 0 to 0.9"),
    ],
)
def test_bad_values_in_the_address_are_left_out_and_said(app, name, value, words):
    app.query_params.update({name: value, "optimizer": "sgd"})
    app.run()
    assert not app.exception
    (warning,) = app.warning
    assert words in warning.value
    assert app.selectbox(key="setup_optimizer").value == "sgd"
    assert app.selectbox(key="setup_precision").value == "fp32"
    assert app.number_input(key="setup_seq_len").value == 128


def test_a_damaged_record_is_said_on_its_page(app):
    run_id = RunHistory().save("analysis", {"model_name": "bert", "marks": {}})
    app.query_params["run"] = run_id
    app.run()
    assert not app.exception
    assert "'trials' is missing" in app.error[0].value


def test_unknown_run_in_a_link_is_said(app):
    app.query_params["run"] = "nothere"
    app.run()
    assert not app.exception
    assert "no run 'nothere'" in app.warning[0].value


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("backward_validation", "runs the current batch in four stages"),
        ("cost_comparison", "simulates this training on every GPU"),
        ("runs", "No runs yet"),
    ],
)
def test_empty_pages_say_what_to_do(app, page, words):
    app.run()
    open_page(app, page)
    assert not app.exception
    assert words in captions(app) + " ".join(info.value for info in app.info)


def test_backward_validation(app):
    app.run()
    open_page(app, "backward_validation")
    run_to_end(app, "Validate the backward pass")
    assert not app.exception
    assert metric(app, "Largest batch that trains").value == "1,216"
    assert "times too large" in metric(app, "Forward pass only would say").delta
    assert any("with a gradient: **yes**" in said.value for said in app.markdown)


def test_compile_is_measured_not_simulated(app):
    app.run()
    open_page(app, "backward_validation")
    compile_it = next(b for b in app.button if b.label == "Validate torch.compile")
    assert compile_it.disabled
    assert "measured, not simulated" in captions(app)
    app.selectbox(key="setup_target").set_value("device=cpu").run()
    run_to_end(app, "Validate torch.compile")
    assert not app.exception
    assert metric(app, "Speed-up").value == "1.25 x"


def test_cost_comparison_sorts_by_cost_and_redraws_for_the_plan(app):
    app.run()
    run_to_end(app, "Analyze")
    open_page(app, "cost_comparison")
    assert "Current batch 16" in " ".join(m.value for m in app.markdown)
    run_to_end(app, "Compare GPUs")
    assert not app.exception
    table = next(drawn.value for drawn in app.dataframe if "$/million samples" in drawn.value)
    assert set(table["GPU"]) == {gpu.name for gpu in rentable_gpus().values()}
    prices = list(table["$/million samples"].dropna())
    assert len(prices) > 5 and table["$/million samples"].first_valid_index() == 0
    assert prices == sorted(prices)
    before = metric(app, "Cost per run").value
    app.number_input(key="side_dataset_size").set_value(50_000_000).run()
    assert metric(app, "Cost per run").value != before


def test_a_comparison_of_the_command_line_opens_on_the_page(app, monkeypatch):
    assert main(["compare", "bert", "--gpus", "t4,a10", "--dataset-size", "1000"]) == 0
    app.query_params["run"] = RunHistory().list()[0].run_id
    app.switch_page("pages/cost_comparison.py").run()
    assert not app.exception
    assert any(text.startswith("Cheapest: NVIDIA ") for text in subheaders(app))
    assert app.number_input(key="side_dataset_size").value == 1000


def cheapest(app):
    return next(text for text in subheaders(app) if text.startswith("Cheapest"))


def test_edited_prices_hold_by_gpu_and_sort_the_table_anew(app):
    app.run()
    open_page(app, "cost_comparison")
    run_to_end(app, "Compare GPUs")
    assert "H200" not in cheapest(app)
    app.session_state["edited_prices"] = {"h200": 0.01}
    app.run()
    assert "H200" in cheapest(app)
    next(b for b in app.button if "prices of the run" in b.label).click()
    app.run()
    assert not app.exception
    assert "H200" not in cheapest(app)


def test_edits_of_the_price_table_are_kept_by_gpu():
    st.session_state["price_editor"] = 0
    edits = {"edited_rows": {1: {comparison_view.PRICE: 2.5}, 0: {"other": 1}}}
    st.session_state["prices_0"] = edits
    comparison_view.take_prices("prices_0", ["t4", "l4"])
    assert st.session_state["edited_prices"] == {"l4": 2.5}
    assert st.session_state["price_editor"] == 1


def test_figures_on_the_page_equal_the_json_of_the_run(app, capsys):
    app.run()
    run_to_end(app, "Analyze")
    run_id = RunHistory().list()[0].run_id
    capsys.readouterr()
    assert main(["runs", run_id, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    cards = {"Current batch": "current", "Recommended batch": "optimal",
             "Largest batch that fits": "max"}  # fmt: skip
    for label, mark in cards.items():
        card = metric(app, label)
        assert card.value == f"{values[f'{mark}_batch_size']:,}"
        assert card.delta == units.mib_or_gib(values[f"{mark}_memory_bytes"])
    shown = {
        "Idle memory": units.percent(values["waste_percent"] / 100),
        "Speed-up": f"{values['speedup']:.2f} x",
        "Savings per run": units.usd(values["cost_savings_per_run"]),
        "Savings per year": units.usd(values["cost_savings_annual"]),
        "Free at the recommended batch": units.mib_or_gib(values["headroom_bytes"]),
    }
    assert {label: metric(app, label).value for label in shown} == shown
    assert values["run_id"] == run_id
    table = app.dataframe[0].value
    assert table["Batch size"].tolist() == [trial["batch_size"] for trial in values["trials"]]


def test_run_key_is_asked_for_and_checked_in_the_door(app, monkeypatch):
    monkeypatch.setenv("MEMORYMARK_RUN_KEY", "sesame")
    app.run()
    next(b for b in app.button if b.label == "Analyze").click()
    app.run()
    assert "run key is missing" in app.error[0].value
    assert RunHistory().list() == []
    app.text_input(key="given_run_key").set_value("sesame").run()
    run_to_end(app, "Analyze")
    assert "Recommended: " in subheaders(app)[0]


def test_sign_in_is_asked_for_and_checked_in_the_door(app, monkeypatch):
    monkeypatch.setenv("MEMORYMARK_SIGN_IN", "1")
    app.run()
    assert "Sign in" in [button.label for button in app.button]
    next(b for b in app.button if b.label == "Analyze").click()
    app.run()
    assert "Sign-in is required" in app.error[0].value
    assert RunHistory().list() == []


def has_one_gpu(monkeypatch, reading):
    read = create_autospec(
        read_telemetry, side_effect=lambda index: Telemetry() if index else reading
    )
    monkeypatch.setattr(machine_view, "read_telemetry", read)


def test_machine_with_a_gpu_is_shown_live_and_is_the_target(app, monkeypatch):
    other = GpuProcess(4711, "python", "ada", 2 * units.GIB)
    reading = Telemetry(
        "Tesla T4", "GPU-1", "600.1", 16 * units.GIB, 3 * units.GIB, other_processes=(other,)
    )
    has_one_gpu(monkeypatch, reading)
    app.run()
    assert not app.exception
    said = " ".join(element.value for element in (*app.sidebar.markdown, *app.sidebar.caption))
    assert "GPU 0: Tesla T4" in said
    assert "ada · python · 2.00 GiB" in said
    assert app.selectbox(key="setup_target").value == "device=cuda:0"
    assert app.slider(key="side_price_per_hour").value == 0.5904
    run_to_end(app, "Analyze")
    assert any("(measured)" in line.value for line in app.markdown)
    assert RunHistory().list()[0].source == "measured"


def test_workers_of_this_server_are_no_other_processes(app, monkeypatch):
    own = GpuProcess(4711, "python", "ada", 2 * units.GIB)
    has_one_gpu(monkeypatch, Telemetry("Tesla T4", "GPU-1", other_processes=(own,)))
    worker = create_autospec(WorkerProcess, instance=True, pid=4711)
    monkeypatch.setattr(WorkerPool, "workers", (worker,))
    app.run()
    said = [caption.value for caption in app.sidebar.caption]
    assert "No other processes on it." in said


def test_gpu_that_may_not_be_read_says_why(app, monkeypatch):
    reading = Telemetry("Tesla T4", "GPU-1", reason="No permission.")
    has_one_gpu(monkeypatch, reading)
    app.run()
    assert not app.exception
    said = [caption.value for caption in app.sidebar.caption]
    assert "No permission." in said
    assert "Its processes cannot be listed." in said


def test_interrupted_run_says_so(app, home):
    RunHistory().begin("abcd", "analysis", {"model": "bert"}, owner="gone")
    app.query_params["run"] = "abcd"
    app.run()
    assert not app.exception
    assert "was interrupted" in app.warning[0].value


def test_painting_a_page_imports_no_torch(home):
    code = (
        "import sys; from streamlit.testing.v1 import AppTest\n"
        "app = AppTest.from_file('streamlit_app.py', default_timeout=60).run()\n"
        "assert app.title[0].value == 'Analysis'\n"
        "print('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_the_server_never_loads_torch(home, monkeypatch):
    """Real simulations are run, of a whole analysis and of one batch, each by another process."""
    monkeypatch.delenv("MEMORYMARK_PROBE_FACTORY")
    code = (
        "import sys, time; from streamlit.testing.v1 import AppTest\n"
        "from memorymark.records.request import Request, RequestKind\n"
        "from memorymark.service.guard import Visitor\n"
        "from memorymark.ui.engine import app_service\n"
        "app = AppTest.from_file('streamlit_app.py', default_timeout=60).run()\n"
        "service, request = app_service(), Request(RequestKind.ANALYSIS, 'bert', gpu='l4')\n"
        "job = service.start(request, Visitor())\n"
        "while job.status.is_active: time.sleep(0.1)\n"
        "while not service.estimate(request, 3, Visitor()): time.sleep(0.1)\n"
        "assert service.estimate(request, 3, Visitor()).trial.fits\n"
        "app.query_params['run'] = job.run_id\n"
        "app.run()\n"
        "assert not app.exception\n"
        "service.close()\n"
        "print(job.status, {'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "done set()", done.stderr


def test_runs_are_listed_and_found(app):
    app.run()
    run_to_end(app, "Analyze")
    open_page(app, "runs")
    assert not app.exception
    assert list(app.dataframe[0].value["Model"]) == ["bert"]
    app.text_input(key="runs_find").set_value("nothing like it").run()
    assert "No run matches" in app.info[0].value


@pytest.mark.parametrize(
    ("lock_name", "words"),
    [("cuda:1", "GPU 1"), ("cpu:0", "the CPU"), ("simulated:0", "the simulator")],
)
def test_devices_are_named_for_people(lock_name, words):
    assert job_view.device_words(lock_name) == words


def test_an_active_run_says_what_it_has_found_so_far():
    job = Job("ab12", "analysis", {}, "simulated:0", work=lambda on_event, cancel: {}, key="")
    assert job_view.newest_finding(job) is None
    job.events += [
        Event(EventKind.NOTE, "about 496 fit"), Event(EventKind.TRIAL_STARTED, "batch 496")
    ]  # fmt: skip
    assert job_view.newest_finding(job) == "about 496 fit"
    job.events.append(Event(EventKind.TRIAL_FINISHED, "batch 496: \x1b38 GiB"))
    assert job_view.newest_finding(job) == job_view.visible("batch 496: \x1b38 GiB")


def test_of_several_gpus_the_newest_count_is_said():
    phase, note = EventKind.PHASE, EventKind.NOTE
    assert job_view.gpus_done([Event(phase, "Searching", "search")]) is None
    counts = [Event(note, f"{number} of 21 GPUs done", GPUS_DONE) for number in (6, 7)]
    events = [*counts, Event(phase, "Searching", "search"), Event(note, "about 496 fit")]
    assert job_view.gpus_done(events) == "7 of 21 GPUs done"


@pytest.mark.parametrize(
    ("expected_seconds", "said"),
    [
        (None, "Remaining time unknown"),
        (120.0, "About 100 s left"),
        (20.2, "Almost done"),
        (1.0, "Almost done"),
    ],
)
def test_an_active_run_says_how_long_it_will_take(expected_seconds, said, monkeypatch):
    job = Job(
        "ab12", "analysis", {}, "simulated:0", work=lambda on_event, cancel: {}, key="",
        started_at=1000.0, expected_seconds=expected_seconds,
    )  # fmt: skip
    monkeypatch.setattr(time, "time", lambda: 1020.0)
    assert job_view.time_left_words(job) == said
    assert job_view.time_left_words(None) == "Remaining time unknown"


def test_waiting_job_says_who_is_before_it(monkeypatch):
    def job(run_id, **more):
        return Job(
            run_id, "analysis", {}, "cuda:0", work=lambda on_event, cancel: {}, key="", **more
        )

    service = create_autospec(AppService, instance=True)
    service.jobs = create_autospec(JobManager, instance=True)
    service.jobs.ahead_of.return_value = [job("ab12", expected_seconds=20.2)]
    monkeypatch.setattr(job_view, "app_service", create_autospec(app_service, return_value=service))
    told = "GPU 0 is busy with run ab12, about 20 s left; yours is next."
    assert job_view.queue_words(job("cd34")) == told


def test_a_wrong_key_is_said_when_it_is_entered_and_reading_is_no_guess(app, monkeypatch, caplog):
    monkeypatch.setenv("MEMORYMARK_RUN_KEY", "sesame")
    address = property(lambda context: "192.0.2.1")  # AppTest gives another one at each run
    monkeypatch.setattr(type(st.context), "ip_address", address)
    app.run()
    app.text_input(key="given_run_key").set_value("wrong").run()
    assert "run key is wrong" in app.warning[0].value
    for _ in range(3):
        app.run()
    assert sum("Wrong run key" in said for said in caplog.messages) == 1
    said = []
    for number in range(9):  # a slow machine may sit the first waits out
        app.text_input(key="given_run_key").set_value(f"guess {number}").run()
        said.append(app.warning[0].value)
    assert any("Wait" in text for text in said)
    assert not app.exception


def test_the_machine_is_named_to_who_may_start(app, monkeypatch):
    name = platform.node()
    app.run()
    assert any(name in caption.value for caption in app.sidebar.caption)
    monkeypatch.setenv("MEMORYMARK_RUN_KEY", "sesame")
    st.cache_resource.clear()
    app.run()
    assert not any(name in caption.value for caption in app.sidebar.caption)
    app.text_input(key="given_run_key").set_value("sesame").run()
    assert any(name in caption.value for caption in app.sidebar.caption)


def test_processes_of_others_are_shown_to_who_may_start(app, monkeypatch):
    monkeypatch.setenv("MEMORYMARK_RUN_KEY", "sesame")
    other = GpuProcess(4711, "python", "ada", 2 * units.GIB)
    has_one_gpu(monkeypatch, Telemetry("Tesla T4", "GPU-1", other_processes=(other,)))
    app.run()
    assert not app.exception
    assert not any("ada" in caption.value for caption in app.sidebar.caption)
    app.text_input(key="given_run_key").set_value("sesame").run()
    assert any("ada" in caption.value for caption in app.sidebar.caption)


@pytest.mark.parametrize(
    "values",
    [
        {"SIGN_IN": "enabled"},
        {"ALLOWED_USERS": "a@b.org"},
        {"ALLOWED_USERS": ",", "SIGN_IN": "1"},
        {"RUN_KEY": " "},
        {"WORKLOADS": "os.system"},
    ],
)
def test_settings_that_are_not_understood_leave_a_sentence_and_nothing_to_press(
    app, monkeypatch, values
):
    for name, value in values.items():
        monkeypatch.setenv(f"MEMORYMARK_{name}", value)
    for page in ("analysis", "runs", "cost_comparison", "backward_validation"):
        app.switch_page(f"pages/{page}.py").run()
        assert not app.exception
        assert len(app.error) == 1 and "MEMORYMARK_" in app.error[0].value
        assert not app.button and not app.text_input


def test_sign_in_that_cannot_work_says_so_and_lets_nobody_in(app, monkeypatch):
    monkeypatch.setenv("MEMORYMARK_SIGN_IN", "on")
    app.run()
    assert not app.exception
    assert "MEMORYMARK" in app.sidebar.warning[0].value
    assert next(b for b in app.button if b.label == "Sign in").disabled


def test_a_press_is_not_forgotten_though_the_estimate_comes_meanwhile(app, monkeypatch):
    """The bar is drawn before the buttons."""
    app.run()
    answers = iter([None])
    monkeypatch.setattr(
        AppService, "estimate", lambda *asked: next(answers, Answer(error="Not today."))
    )
    run_to_end(app, "Analyze")
    assert len(RunHistory().list()) == 1
