"""Generation on the page: its setup, what was written as plain text, and what is uploaded."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from generators import image_bytes, tiny_vit
from tiny import tiny_llama

import memorymark
from memorymark.records.event import Event, EventKind
from memorymark.records.generation_plan import GenerationPlan
from memorymark.records.request import Request, RequestKind
from memorymark.records.serving_config import ServingConfig
from memorymark.records.upload_names import told_name
from memorymark.service.history import RunHistory, RunStatus
from memorymark.service.run import begun_run
from memorymark.ui import engine
from memorymark.ui.setup.uploads import uploaded_files, with_own_names
from memorymark.units import mib_or_gib

PLAN = GenerationPlan(max_new_tokens=5, prompt_tokens=8)
MARKUP = "# Title\n![x](http://example.org/a.png) <b>bold</b> :smile: \x1b[2J"


@pytest.fixture(scope="module")
def record():
    return memorymark.generate(
        tiny_llama(), config=ServingConfig(weights="fp32"), device="cpu", max_new_tokens=5,
        prompt_tokens=8,
    ).to_dict()  # fmt: skip


@pytest.fixture(scope="module")
def classified():
    return memorymark.generate(tiny_vit(), image=image_bytes(), device="cpu").to_dict()


def opened(app, record):
    request = Request(RequestKind.GENERATE, "gpt2", device="cpu", generation=PLAN)
    app.query_params["run"] = RunHistory().save("generate", record, request=request.to_dict())
    app.switch_page("pages/generate.py").run()
    assert not app.exception
    return app


def test_a_text_that_was_kept_without_its_end_is_a_result(app, record):
    request = Request(RequestKind.GENERATE, "gpt2", device="cpu", generation=PLAN).to_dict()
    run = begun_run("stopped0", "generate", request, RunStatus.CANCELLED)
    RunHistory().keep(replace(run, record={**record, "stopped_by": "stopped"}))
    app.query_params["run"] = "stopped0"
    app.switch_page("pages/generate.py").run()
    assert not app.exception
    assert "cancelled and what it had is below: gpt2" in app.warning[0].value
    assert "The text was stopped" in texts(app)
    assert any(each.value == record["text"] for each in app.code)


def test_a_failed_generation_is_named_by_its_own_settings(app):
    request = Request(RequestKind.GENERATE, "gpt2", device="cpu", generation=PLAN)
    RunHistory().begin("failed00", "generate", request.to_dict())
    RunHistory().finish("failed00", RunStatus.FAILED, error="It is broken.")
    app.query_params["run"] = "failed00"
    app.switch_page("pages/generate.py").run()
    (said,) = [each.value for each in app.error]
    assert said == (
        "This run failed: gpt2 · cpu · bf16 · 5 new tokens · random prompt of 8 tokens. "
        "It is broken."
    )


def texts(app):
    return " ".join(each.value for each in (*app.subheader, *app.markdown, *app.caption, *app.info))


def test_a_generation_is_drawn_with_predicted_beside_measured(app, record):
    opened(app, record)
    shown = texts(app)
    assert "were predicted" in shown and "Measured on" in shown and "random" in shown
    assert any(each.value == record["text"] for each in app.code)
    assert "error: none, to the byte" in [each.delta for each in app.metric]


def test_figures_stand_beside_a_text_while_it_is_written(app, record, monkeypatch):
    """Of the newest record that the engine tells, each said to be measured or simulated."""
    go, told = threading.Event(), threading.Event()

    def work(on_event, cancel):
        on_event(Event(EventKind.TEXT, "1 2", known=lambda: record))
        told.set()
        go.wait(20)
        return record

    app.switch_page("pages/generate.py").run()
    request = Request(RequestKind.GENERATE, "gpt2", device="cpu", generation=PLAN).to_dict()
    job = engine.app_service().jobs.submit("generate", request, "cpu:0", work)
    assert told.wait(10)
    app.query_params["run"] = job.run_id
    app.run()
    shown = {each.label: (each.value, each.delta) for each in app.metric}
    go.set()
    assert not app.exception
    assert shown["New tokens"] == ("5", "of 5") and shown["Prompt tokens"][0] == "8"
    assert shown["New tokens/s"][0] != "—" and shown["First token"][0] != "—"
    assert shown["Peak so far"] == (
        mib_or_gib(record["peak_allocated_bytes"]),
        "measured, of tensors",
    )
    assert shown["Peak, predicted"] == (
        mib_or_gib(record["predicted_most_bytes"]),
        "simulated, at all tokens",
    )


def test_the_command_of_an_upload_names_a_file_that_is_to_be_saved_first(app, classified):
    name = told_name("my cat.png", image_bytes())
    kept = {**classified, "plan": {**classified["plan"], "image": name}}
    request = Request(
        RequestKind.GENERATE, "resnet", device="cpu", generation=GenerationPlan(image=name)
    )
    app.query_params["run"] = RunHistory().save("generate", kept, request=request.to_dict())
    app.switch_page("pages/generate.py").run()
    assert not app.exception
    (command,) = [each.value for each in app.code if each.value.startswith("memorymark ")]
    assert "--image 'my cat.png'" in command and "(" not in command
    assert "save it as my cat.png first" in texts(app)


def test_the_file_of_a_run_of_the_command_line_stays_as_it_is(app, classified):
    plan = GenerationPlan(image="/data/cat (1).png")
    request = Request(RequestKind.GENERATE, "resnet", device="cpu", generation=plan)
    assert with_own_names(request) == request and uploaded_files(plan) == []


def test_what_a_model_writes_is_no_markup(app, record):
    opened(app, {**record, "text": MARKUP})
    (code,) = [each for each in app.code if "Title" in each.value]
    assert code.value == MARKUP.replace("\x1b", "\\x1b")
    assert code.language in (None, "", "plaintext")
    assert not any("Title" in each.value for each in (*app.markdown, *app.caption, *app.title))


def test_classes_of_an_image_are_listed(app, classified):
    opened(app, classified)
    assert "The image was classified" in texts(app) and app.dataframe
    assert "Answer" in [each.label for each in app.metric]


def press(app, monkeypatch):
    from memorymark.service.access import AppService

    asked = []

    def start(self, request, visitor, media=None):
        asked.append((request, media))
        raise memorymark.MemoryMarkError("Not now.")

    monkeypatch.setattr(AppService, "start", start)
    (button,) = [each for each in app.button if each.label == "Generate"]
    button.click().run()
    assert not app.exception
    return asked[0]


def test_a_press_asks_for_what_is_set(app, monkeypatch):
    app.switch_page("pages/generate.py").run()
    (model,) = [each for each in app.selectbox if each.label == "Model"]
    model.set_value("gpt2").run()
    (prompt,) = app.text_area
    prompt.set_value("Once").run()
    sliders = {each.label: each for each in app.slider}
    sliders["New tokens"].set_value(7)
    sliders["Temperature"].set_value(0.5)
    request, media = press(app, monkeypatch)
    plan = request.generation
    assert (plan.prompt, plan.max_new_tokens, plan.temperature) == ("Once", 7, 0.5)
    assert request.kind is RequestKind.GENERATE and request.model == "gpt2" and not media


def test_an_image_is_uploaded_where_the_model_takes_one(app, monkeypatch):
    app.switch_page("pages/generate.py").run()
    (model,) = [each for each in app.selectbox if each.label == "Model"]
    model.set_value("resnet").run()
    assert not app.text_area and len(app.file_uploader) == 1
    assert not [each for each in app.main.slider if each.label in ("New tokens", "Temperature")]
    app.file_uploader[0].set_value(("cat.png", image_bytes(), "image/png")).run()
    request, media = press(app, monkeypatch)
    assert media == {"image": image_bytes()}
    assert request.generation.image.startswith("cat.png (") and request.generation.prompt is None


def field(app, label):
    (found,) = [each for each in (*app.selectbox, *app.slider) if each.label == label]
    return found


def test_a_second_model_and_its_share_are_asked_for_and_stand_in_the_address(app, monkeypatch):
    app.query_params["model"] = "bdh-small"
    app.switch_page("pages/generate.py").run()
    assert not [each for each in app.slider if each.label == SHARE]
    second = field(app, "Second model")
    assert second.value == "" and len(second.options) > 20
    second.set_value("gpt2-bytes-small").run()
    field(app, SHARE).set_value(0.3).run()
    assert app.query_params["blend"] == "gpt2-bytes-small"
    assert app.query_params["blend_share"] == "0.3"
    request, _ = press(app, monkeypatch)
    plan = request.generation
    assert (request.model, plan.blend, plan.blend_share) == ("bdh-small", "gpt2-bytes-small", 0.3)
    assert request.models == ("bdh-small", "gpt2-bytes-small")


def test_the_address_sets_the_second_model(app, monkeypatch):
    app.query_params.update({"model": "bdh-small", "blend": "gpt2-bytes-small", "blend_share": "1"})
    app.switch_page("pages/generate.py").run()
    assert field(app, "Second model").value == "gpt2-bytes-small"
    assert field(app, SHARE).value == 1
    field(app, "Second model").set_value("").run()
    assert "blend" not in app.query_params and "blend_share" not in app.query_params
    request, _ = press(app, monkeypatch)
    assert request.generation.blend is None


def test_what_reads_images_has_no_second_model(app):
    app.query_params["model"] = "resnet"
    app.switch_page("pages/generate.py").run()
    assert not [each for each in app.selectbox if each.label == "Second model"]


def test_the_share_of_the_second_model_is_drawn(app, record):
    plan = {**record["plan"], "blend": "gpt2", "blend_share": 0.25}
    shares = {"blend_shares": [0.2, 0.4], "tokens": [1, 2]}
    opened(app, {**record, "plan": plan, **shares})
    assert "blended with 25 % of gpt2" in texts(app)
    cards = {each.label: each.value for each in app.metric}
    assert cards["Second model's share"] == "30 %"


SHARE = "Share of the second model"
