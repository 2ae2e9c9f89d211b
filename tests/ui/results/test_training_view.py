"""Trainings on the page: the setup, a run while and after it trains, two over one another."""

from __future__ import annotations

import dataclasses
import threading

import memorymark
from memorymark.records.config import TrainingConfig
from memorymark.records.event import Event, EventKind
from memorymark.records.request import Request, RequestKind
from memorymark.records.session_run import Verdict
from memorymark.records.training_comparison import TrainingComparison
from memorymark.records.training_plan import TrainingPlan
from memorymark.records.training_run import (
    EvalPoint,
    Forecast,
    Kept,
    StepPoint,
    StoppedBy,
    TrainingRun,
)
from memorymark.records.trial import Source, Target
from memorymark.records.upload_names import told_name
from memorymark.service.access import AppService
from memorymark.service.history import RunHistory, RunStatus
from memorymark.service.uploaded_texts import keep_upload
from memorymark.settings import load_settings
from memorymark.ui import engine
from memorymark.units import GIB, mib_or_gib

TEXT = b"To be, or not to be. " * 100
NAME = told_name("hamlet.txt", TEXT)
PLAN = TrainingPlan(data=NAME, steps=10, time_budget=60)
MARKUP = "# Title\n![x](http://example.org/a.png) <b>bold</b> :smile: \x1b[2J"
RUN = TrainingRun(
    "gpt2", TrainingConfig(lora_rank=4), PLAN, Target("CPU", "cpu", Source.MEASURED, None), 2,
    StoppedBy.TIME_BUDGET, parameters=10, trainable_parameters=4, steps=5, total_steps=10,
    samples=10, tokens=1280, seconds=2.0, train_loss=4.5, eval_loss=4.25, best_eval_loss=4.25,
    best_step=5, peak_memory_bytes=GIB, predicted_peak_bytes=GIB, memory_budget_bytes=2 * GIB,
    curve=tuple(StepPoint(n, n / 2, 5 - n / 10, 0.1, 640.0, GIB) for n in range(1, 6)),
    evaluations=(EvalPoint(0, 0, 5.5), EvalPoint(5, 2, 4.25, MARKUP)),
    forecasts=(Forecast("t4", True, GIB, 60.0, 40.0, 90.0, 0.01), Forecast("l4", False)),
    verdicts={"memory": Kept(Verdict.PASS, "1.00 GiB were held of 2.00 GiB.")},
    findings=("It trains with 2.",), elapsed_seconds=3.0,
)  # fmt: skip
REQUEST = Request(
    RequestKind.TRAIN, "gpt2", TrainingConfig(lora_rank=4), device="cpu", training=PLAN
)


def opened(app, record, request=REQUEST, kind="train"):
    app.query_params["run"] = RunHistory().save(kind, record, request=request.to_dict())
    app.switch_page("pages/training.py").run()
    assert not app.exception
    return app


def texts(app):
    drawn = (*app.subheader, *app.markdown, *app.caption, *app.info, *app.warning, *app.error)
    return " ".join(each.value for each in drawn)


def test_a_training_is_drawn_with_its_budgets_and_what_it_would_take_elsewhere(app):
    opened(app, RUN.to_dict())
    shown, cards = texts(app), {each.label: (each.value, each.delta) for each in app.metric}
    assert "until its time was used up: evaluation loss 4.2500, measured" in shown
    assert "Memory: PASS. 1.00 GiB were held of 2.00 GiB." in shown and "It trains with" in shown
    assert cards["Evaluation loss"] == ("4.2500", "best: 4.2500")
    assert cards["Peak, measured"] == (mib_or_gib(GIB), f"predicted: {mib_or_gib(GIB)}")
    tables = [list(each.value.columns) for each in app.dataframe]
    assert ["GPU", "Fits", "Memory", "Time", "Cost"] in tables
    (command,) = [each.value for each in app.code if each.value.startswith("memorymark ")]
    assert "--data hamlet.txt" in command and "--checkpoint" not in command
    assert "save it as hamlet.txt first" in shown
    assert not [each for each in app.button if each.label == "Resume"], "no checkpoint is there"


def test_what_a_model_writes_is_no_markup(app):
    opened(app, RUN.to_dict())
    (code,) = [each for each in app.code if "Title" in each.value]
    assert code.value == MARKUP.replace("\x1b", "\\x1b") and code.language in (None, "plaintext")
    assert "After step 5, evaluation loss 4.2500" in [each.label for each in app.expander]


def test_the_curves_of_another_run_are_drawn_over_it(app):
    other = RunHistory().save("train", RUN.to_dict(), request=REQUEST.to_dict())
    opened(app, RUN.to_dict())
    (beside,) = [each for each in app.selectbox if each.label == "Beside it"]
    assert any(other in each for each in beside.options)
    beside.set_value(other).run()
    assert not app.exception


def test_both_runs_of_a_comparison_are_shown(app):
    second = dataclasses.replace(RUN, model="bdh", eval_loss=4.0, findings=("Of the second.",))
    found = TrainingComparison((RUN, second), price_per_hour=1.0)
    request = dataclasses.replace(REQUEST, kind=RequestKind.COMPARE_TRAINING, other_model="bdh")
    opened(app, found.to_dict(), request, "compare-training")
    assert "bdh came to the smaller evaluation loss: 4.0000" in texts(app)
    assert ["Figure", "gpt2", "bdh"] in [list(each.value.columns) for each in app.dataframe]
    assert "Of the second." in texts(app)


def test_figures_and_curves_stand_there_while_it_trains(app):
    go, told = threading.Event(), threading.Event()

    def work(on_event, cancel):
        on_event(Event(EventKind.STEP, "step 5 of 10", progress=0.5, known=lambda: RUN))
        told.set()
        go.wait(20)
        return RUN.to_dict()

    app.switch_page("pages/training.py").run()
    job = engine.app_service().jobs.submit("train", REQUEST.to_dict(), "cpu:0", work)
    assert told.wait(10)
    app.query_params["run"] = job.run_id
    app.run()
    shown = {each.label: (each.value, each.delta) for each in app.metric}
    labels = [each.label for each in app.button]
    said = texts(app)
    go.set()
    assert not app.exception
    assert shown["Steps"] == ("5", "of 10") and shown["Training loss"][0] == "4.5000"
    assert shown["Memory"] == (mib_or_gib(GIB), f"measured, of {mib_or_gib(2 * GIB)}")
    assert "Stop" in labels and "Loss" in said and "step 5 of 10" in said


def press(app, monkeypatch, label="Train"):
    asked = []

    def start(self, request, visitor, media=None):
        asked.append((request, media))
        raise memorymark.MemoryMarkError("Not now.")

    monkeypatch.setattr(AppService, "start", start)
    (button,) = [each for each in app.button if each.label == label]
    button.click().run()
    assert not app.exception
    return asked[0]


def test_a_press_asks_for_what_is_set(app, monkeypatch):
    app.switch_page("pages/training.py").run()
    fields = {each.label: each for each in (*app.number_input, *app.text_input)}
    fields["Steps"].set_value(7)
    fields["Learning rate"].set_value(0.0005)
    fields["LoRA rank"].set_value(8)
    fields["Time budget"].set_value("90s")
    app.file_uploader[0].set_value(("hamlet.txt", TEXT, "text/plain")).run()
    request, media = press(app, monkeypatch)
    plan = request.training
    assert request.kind is RequestKind.TRAIN and request.batch_size is None
    assert (plan.steps, plan.learning_rate, plan.time_budget) == (7, 0.0005, 90)
    assert plan.data == NAME and media == {"data": TEXT} and plan.checkpoint is None
    assert request.config.lora_rank == 8 and request.device == "cpu"


def test_without_a_text_it_says_what_to_do(app):
    app.switch_page("pages/training.py").run()
    next(each for each in app.button if each.label == "Train").click().run()
    assert [each.value for each in app.error] == ["There is no text to train on. Upload one."]


def test_texts_of_the_owner_are_chosen_by_their_names(app, tmp_path, monkeypatch):
    folder = tmp_path / "secret folder"
    folder.mkdir()
    (folder / "poems.txt").write_bytes(TEXT)
    monkeypatch.setenv("MEMORYMARK_DATA", str(folder / "poems.txt"))
    app.switch_page("pages/training.py").run()
    (text,) = [each for each in app.selectbox if each.label == "Text"]
    assert text.options == ["poems.txt", "Upload a text"] and not app.file_uploader
    request, media = press(app, monkeypatch)
    assert request.training.data == str(folder / "poems.txt") and not media


def test_a_training_that_ended_early_is_gone_on_with(app, tmp_path, monkeypatch):
    folder = tmp_path / "trained" / "one"
    (folder / "step-00000005").mkdir(parents=True)
    (folder / "step-00000005" / "checkpoint.json").write_text("{}")
    keep_upload(NAME, TEXT, load_settings())
    plan = dataclasses.replace(PLAN, checkpoint=str(folder))
    request = dataclasses.replace(REQUEST, training=plan)
    asked = []

    def submit(self, given, **how):
        asked.append(given)
        raise memorymark.MemoryMarkError("Not now.")

    monkeypatch.setattr(AppService, "_submit", submit)
    run = dataclasses.replace(RUN, plan=plan, checkpoint=str(folder))
    opened(app, run.to_dict(), request)
    (button,) = [each for each in app.button if each.label == "Resume"]
    button.click().run()
    assert not app.exception and [each.value for each in app.error] == ["Not now."]
    (found,) = asked
    assert found.training == dataclasses.replace(plan, resume=True) and found.batch_size == 2


def test_an_interrupted_training_is_gone_on_with(app, tmp_path):
    folder = tmp_path / "trained" / "one"
    (folder / "step-00000005").mkdir(parents=True)
    (folder / "step-00000005" / "checkpoint.json").write_text("{}")
    keep_upload(NAME, TEXT, load_settings())
    request = dataclasses.replace(
        REQUEST, training=dataclasses.replace(PLAN, checkpoint=str(folder))
    )
    RunHistory().begin("broken00", "train", request.to_dict())
    RunHistory().finish("broken00", RunStatus.INTERRUPTED, error="It was killed.")
    app.query_params["run"] = "broken00"
    app.switch_page("pages/training.py").run()
    assert not app.exception and "Resume" in [each.label for each in app.button]


def test_a_run_fills_the_setup(app):
    opened(app, RUN.to_dict())
    fields = {each.label: each.value for each in (*app.number_input, *app.text_input)}
    assert fields["Steps"] == 10 and fields["Time budget"] == "60s" and fields["LoRA rank"] == 4


def test_a_link_fills_the_setup_and_says_what_it_does_not_take(app):
    app.query_params.update({"model": "gpt2", "steps": "3", "data_epochs": "x"})
    app.switch_page("pages/training.py").run()
    fields = {each.label: each.value for each in (*app.number_input, *app.text_input)}
    assert fields["Steps"] == 3 and fields["Time budget"] == ""
    assert any("Ignored in the address: " in each.value for each in app.warning)
