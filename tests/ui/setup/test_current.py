"""The setup that the pages share: filled from addresses and runs, marked where it changed."""

import pytest
from test_app import captions, open_page, run_to_end

from memorymark.cli import main
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.request import Request, RequestKind
from memorymark.service.access import AppService
from memorymark.service.estimates import Answer
from memorymark.service.execute import execute
from memorymark.service.history import RunHistory
from memorymark.settings import load_settings
from memorymark.ui.setup.setup_record import BATCH

REQUEST = Request(
    RequestKind.ANALYSIS,
    "gpt2",
    TrainingConfig(precision="amp-fp16", seq_len=256, gradient_checkpointing=True),
    gpu="t4",
    memory_budget="8GiB",
    options=AnalysisOptions(current_batch_size=24, headroom=0.1),
)


def save(request=REQUEST):
    record = execute(request, settings=load_settings()).to_dict()
    return RunHistory().save(str(request.kind), record, request=request.to_dict())


def shown(app, name):
    kinds = ("selectbox", "number_input", "toggle", "text_input")
    found = [each for kind in kinds for each in getattr(app, kind) if each.key == f"setup_{name}"]
    return found[0].value if found else None


def stale(app):
    return " ".join(
        warning.value for warning in app.warning if "This result is of other" in warning.value
    )


def test_opening_a_run_fills_the_setup(app):
    app.query_params["run"] = save()
    app.run()
    assert not app.exception
    values = ("gpt2", "gpu=t4", "amp-fp16", 24, 256, True, "8GiB", 10.0)
    names = ("model", "target", "precision", "current_batch_size", "seq_len",
             "gradient_checkpointing", "memory_budget", "headroom")  # fmt: skip
    assert tuple(shown(app, name) for name in names) == values
    assert not stale(app)


def test_a_run_of_the_command_line_without_a_target_fills_it_from_its_record(app):
    assert main(["analyze", "bert", "--gpu", "l4"]) == 0
    history = RunHistory()
    run = history.open(history.list()[0].run_id)
    request = {**run.request, "gpu": None, "device": None}
    app.query_params["run"] = history.save("analysis", run.record, request=request)
    app.run()
    assert shown(app, "target") == "gpu=l4"


def test_a_change_marks_the_result_and_going_back_unmarks_it(app):
    app.query_params["run"] = save()
    app.run()
    app.selectbox(key="setup_precision").set_value("fp32").run()
    assert "precision amp-fp16 (now fp32)" in stale(app)
    assert "Press Analyze" in stale(app)
    app.selectbox(key="setup_target").set_value("gpu=l4").run()
    assert "GPU T4, simulated (now L4, simulated)" in stale(app)
    app.selectbox(key="setup_precision").set_value("amp-fp16").run()
    app.selectbox(key="setup_target").set_value("gpu=t4").run()
    assert not stale(app)


def test_money_and_the_current_batch_redraw_and_mark_nothing(app):
    app.query_params["run"] = save()
    app.run()
    app.slider(key="side_price_per_hour").set_value(3.0).run()
    app.number_input(key="setup_current_batch_size").set_value(30).run()
    assert not app.exception
    assert not stale(app)


def test_what_was_opened_stays_on_other_pages_and_is_not_filled_in_again(app):
    app.query_params["run"] = save()
    app.run()
    app.selectbox(key="setup_precision").set_value("fp32").run()
    open_page(app, "backward_validation")
    assert (shown(app, "model"), shown(app, "precision")) == ("gpt2", "fp32")
    assert shown(app, "current_batch_size") == 24
    open_page(app, "analysis")
    app.run()
    assert shown(app, "precision") == "fp32"
    assert "precision amp-fp16 (now fp32)" in stale(app)


def test_a_validation_takes_the_current_batch(app):
    app.run()
    app.number_input(key="setup_current_batch_size").set_value(12).run()
    open_page(app, "backward_validation")
    run_to_end(app, "Validate the backward pass")
    history = RunHistory()
    assert history.open(history.list()[0].run_id).request["batch_size"] == 12
    app.number_input(key="setup_current_batch_size").set_value(13).run()
    assert "batch 12 (now 13)" in stale(app)


def test_a_link_may_name_a_run_and_other_settings(app):
    app.query_params["run"] = save()
    app.query_params["precision"] = "fp32"
    app.run()
    assert (shown(app, "model"), shown(app, "precision")) == ("gpt2", "fp32")
    assert "precision amp-fp16 (now fp32)" in stale(app)


def test_the_address_follows_each_change(app):
    app.run()
    app.selectbox(key="setup_model").set_value("gpt2").run()
    app.selectbox(key="setup_target").set_value("gpu=l4").run()
    app.number_input(key="setup_current_batch_size").set_value(9).run()
    said = {name: "".join(value) for name, value in app.query_params.items()}
    said.pop("run", None)
    assert said == {"model": "gpt2", "gpu": "l4", "current_batch_size": "9"}


@pytest.mark.parametrize(
    ("model", "lengths"),
    [
        ("bert", {"seq_len"}),
        ("resnet", {"image_size"}),
        ("torchvision:vit_b_16", {"image_size"}),
        ("own:too_big", {"seq_len", "image_size", "audio_seconds", "num_frames"}),
    ],
)
def test_only_the_lengths_that_a_model_takes_are_asked_for(app, model, lengths):
    app.run()
    app.selectbox(key="setup_model").set_value(model).run()
    keys = {widget.key.removeprefix("setup_") for widget in app.number_input if widget.key}
    assert keys & {"seq_len", "image_size", "audio_seconds", "num_frames"} == lengths


def test_a_field_that_is_hidden_reaches_no_request(app):
    app.query_params.update({"model": "bert", "seq_len": "512"})
    app.run()
    app.selectbox(key="setup_model").set_value("resnet")
    run_to_end(app, "Analyze")
    history = RunHistory()
    assert history.open(history.list()[0].run_id).request["config"]["seq_len"] == 128


def test_what_the_target_cannot_run_is_left_out_with_the_reason(app):
    app.run()
    assert "amp-bf16" in app.selectbox(key="setup_precision").options
    app.selectbox(key="setup_target").set_value("gpu=t4").run()
    precision = app.selectbox(key="setup_precision")
    assert precision.options == ["fp32", "amp-fp16", "fp16"]
    assert "the T4 has no BF16 units" in precision.help
    app.selectbox(key="setup_target").set_value("device=cpu").run()
    assert app.toggle(key="setup_cudnn_benchmark").disabled
    assert "flash" not in app.selectbox(key="setup_attention").options


def test_a_setting_of_a_link_that_the_target_cannot_run_stays_visible(app):
    app.query_params.update({"model": "bert", "gpu": "t4", "precision": "amp-bf16"})
    app.run()
    assert not app.exception
    assert shown(app, "precision") == "amp-bf16"


def test_a_target_that_is_not_here_is_said(app):
    app.query_params.update({"gpu": "b9000"})
    app.run()
    assert not app.exception
    assert "There is no GPU or device 'b9000'" in app.warning[0].value
    assert shown(app, "target") == "gpu=a100-40gb"


def test_the_first_run_is_shown_to_who_asks_for_nothing(app, monkeypatch):
    run_id = save()
    monkeypatch.setattr(AppService, "first_run", lambda service: run_id)
    app.run()
    assert not app.exception
    assert app.session_state["last_analysis"] == run_id
    assert shown(app, "model") == "bert"
    assert "model gpt2 (now bert)" in app.info[0].value


def test_an_address_that_names_settings_shows_no_other_run(app, monkeypatch):
    run_id = save()
    monkeypatch.setattr(AppService, "first_run", lambda service: run_id)
    app.query_params["model"] = "resnet"
    app.run()
    assert not app.subheader
    assert "No result of these settings yet. Press Analyze" in captions(app)


def test_an_error_stands_beside_the_button_and_goes_with_the_next_change(app, monkeypatch):
    monkeypatch.setattr(AppService, "estimate", lambda *asked: Answer(error="Not today."))
    app.query_params["model"] = "os:system"
    app.run()
    next(b for b in app.button if b.label == "Analyze").click()
    app.run()
    assert "would run custom code" in app.error[0].value
    app.number_input(key="setup_current_batch_size").set_value(9).run()
    assert not app.error


def test_a_failed_run_is_said_until_a_setting_changes(app):
    app.run()
    app.selectbox(key="setup_model").set_value("own:broken")
    run_to_end(app, "Analyze")
    assert "it is broken" in app.error[0].value
    app.selectbox(key="setup_model").set_value("bert").run()
    assert not app.error


def test_the_bar_says_why_there_is_no_estimate(app, monkeypatch):
    monkeypatch.setattr(AppService, "estimate", lambda *asked: Answer(error="No such model."))
    app.run()
    assert "No estimate: No such model." in [warning.value for warning in app.warning]
    app.selectbox(key="setup_target").set_value("device=cpu").run()
    assert "No estimate for this machine's own processor" in captions(app)


def test_a_change_starts_no_run(app):
    app.run()
    app.selectbox(key="setup_precision").set_value("amp-bf16").run()
    app.number_input(key="setup_current_batch_size").set_value(64).run()
    assert RunHistory().list() == []


def test_the_bar_asks_for_the_setup(app, monkeypatch):
    asked = []
    monkeypatch.setattr(
        AppService, "estimate", lambda service, *said: asked.append(said) or Answer(error="none")
    )
    app.query_params.update({"model": "gpt2", "precision": "amp-bf16", "memory_budget": "4GiB"})
    app.run()
    request, batch_size, *_ = asked[-1]
    assert (request.model, request.config.precision, batch_size) == ("gpt2", "amp-bf16", 16)
    assert (request.gpu, request.memory_budget) == ("a100-40gb", 4 * 2**30)


def test_slider_and_number_of_the_batch_are_one_value(app):
    app.run()
    app.sidebar.slider(key="side_batch").set_value(40).run()
    assert shown(app, BATCH) == 40
    app.number_input(key=f"setup_{BATCH}").set_value(900).run()
    slider = app.sidebar.slider(key="side_batch")
    assert slider.value == 900 and slider.max == 900
    app.number_input(key=f"setup_{BATCH}").set_value(20).run()
    assert (app.sidebar.slider(key="side_batch").value, slider.min) == (20, 1)
    assert app.sidebar.slider(key="side_batch").max == 128


def test_the_earlier_result_stays_below_a_run_without_one(app):
    run_id = save()
    app.query_params["run"] = run_id
    app.run()
    verdict = app.subheader[0].value
    app.selectbox(key="setup_model").set_value("own:broken")
    run_to_end(app, "Analyze")
    assert not app.exception and "it is broken" in app.error[0].value
    assert f"Below is the earlier result, of run {run_id}." in captions(app)
    assert "model gpt2 (now own" in stale(app)
    assert verdict in [said.value for said in app.subheader]
