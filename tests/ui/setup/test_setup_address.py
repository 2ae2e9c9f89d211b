"""The address of a page says what its form asks for, and fills it; none says what people write."""

from __future__ import annotations

import pytest

from memorymark.records.generation_plan import GenerationPlan
from memorymark.records.request import Request, RequestKind
from memorymark.records.serving_config import ServingConfig
from memorymark.service.history import RunHistory, RunStatus
from memorymark.ui.setup.model_facts import FIRST_WRITER
from memorymark.ui.setup.setup_record import FORMS

SESSIONS = {
    "model": "hf:openai-community/gpt2", "gpu": "l4", "memory_budget": "8GiB", "weights": "fp16",
    "context_tokens": "512", "sessions": "7", "policy": "swap", "cache": "static",
    "expandable_segments": "false", "pause_layer": "3", "host_memory": "64GiB",
    "attention": "eager", "transformers_version": "4.44.2",
}  # fmt: skip
GENERATE = {
    "model": "gpt2", "memory_budget": "2GiB", "weights": "fp32", "max_new_tokens": "900",
    "temperature": "2.5", "top_k": "5", "top_p": "0.5", "seed": "3", "compiled": "true",
}  # fmt: skip
FULL = {"sessions": SESSIONS, "generate": GENERATE}


def opened(app, page, **said):
    app.query_params.update(said)
    app.switch_page(f"pages/{page}.py").run()
    assert not app.exception
    return app


def said_by(app):
    return {name: "".join(value) for name, value in app.query_params.items()}


def widget(app, label):
    kinds = (
        "selectbox", "number_input", "slider", "toggle", "text_input", "text_area",
    )  # fmt: skip
    found = [
        each for kind in kinds for each in getattr(app.main, kind) if each.label.startswith(label)
    ]
    assert found, label
    return found[0]


@pytest.mark.parametrize("page", FULL)
def test_an_address_fills_the_form_and_is_written_again_as_it_was(app, page):
    opened(app, page, **FULL[page])
    assert not app.warning
    widget(app, "Memory budget").set_value("1GiB").run()
    assert said_by(app) == {**FULL[page], "memory_budget": "1GiB"}


def test_the_fields_of_sessions_show_what_the_address_says(app):
    opened(app, "sessions", **SESSIONS)
    shown = {
        "Precision": "fp16", "Context": 512, "Sessions": 7, "Policy": "swap", "Cache": "static",
        "Host memory": "64GiB", "Pause layer": 3, "Expandable segments": False,
        "GPU": "gpu=l4",
    }  # fmt: skip
    assert {label: widget(app, label).value for label in shown} == shown


def test_the_fields_of_a_generation_show_what_the_address_says(app):
    opened(app, "generate", **GENERATE)
    shown = {
        "Precision": "fp32", "New tokens": 900, "Temperature": 2.5, "Top k": 5, "Top p": 50.0,
        "Seed": 3, "Compile": True,
    }  # fmt: skip
    assert {label: widget(app, label).value for label in shown} == shown


@pytest.mark.parametrize(
    ("page", "label", "value", "said"),
    [
        ("sessions", "Context", 4096, {"context_tokens": "4096"}),
        ("sessions", "Host memory", "32GiB", {"host_memory": "32GiB"}),
        ("sessions", "GPU", "gpu=t4", {"gpu": "t4"}),
        ("generate", "Temperature", 0.7, {"temperature": "0.7"}),
        ("generate", "New tokens", 9, {"max_new_tokens": "9"}),
    ],
)
def test_the_address_follows_each_change_and_leaves_defaults_out(app, page, label, value, said):
    opened(app, page)
    assert said_by(app) == {}
    widget(app, label).set_value(value).run()
    assert said_by(app) == {"model": FIRST_WRITER, **said}


def test_what_somebody_writes_stands_in_no_address(app):
    opened(app, "generate", model="gpt2")
    widget(app, "Prompt").set_value("It is private").run()
    widget(app, "Temperature").set_value(0.5).run()
    assert said_by(app) == {"model": "gpt2", "temperature": "0.5"}
    assert widget(app, "Prompt").value == "It is private"
    assert not any("prompt" in form.options for form in FORMS.values())


def test_a_prompt_of_an_address_is_not_taken(app):
    opened(app, "generate", model="gpt2", prompt="Say this", image="/etc/passwd")
    assert widget(app, "Prompt").value == ""
    assert app.session_state["setup"]["generated"]["image"] is None


@pytest.mark.parametrize(
    ("page", "said", "sentences"),
    [
        ("sessions", {"context_tokens": "many", "policy": "drop", "gpu": "b9000"},
         ["'many'", "'drop'", "no GPU or device 'b9000'"]),
        ("sessions", {"sessions": "0", "weights": "fp64"}, ["0", "'fp64'"]),
        ("generate", {"temperature": "-1", "top_p": "7", "max_new_tokens": "0"},
         ["temperature", "top p", "max new tokens"]),
        ("generate", {"gpu": "h100-80gb"}, ["choose a device of this machine"]),
        ("generate", {"device": "cuda:7"}, ["no GPU or device 'cuda:7'"]),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_said_and_left_out(app, page, said, sentences):
    opened(app, page, **said)
    warned = [warning.value for warning in app.warning]
    assert len(warned) == len(said)
    assert all(text.startswith("Ignored in the address: ") for text in warned)
    for sentence in sentences:
        assert any(sentence in text for text in warned), sentence
    values = app.session_state["setup"][FORMS[page].key]
    assert values["weights"] == "bf16" and values.get("temperature", 0) == 0
    widget(app, "Precision").set_value("fp32").run()
    assert not app.warning and said_by(app) == {"model": FIRST_WRITER, "weights": "fp32"}


def test_settings_that_do_not_go_together_break_no_page(app):
    opened(app, "sessions", context_tokens="8", output_tokens="16", host_memory="much")
    assert (widget(app, "Context").value, widget(app, "New tokens").value) == (8, 16)
    next(each for each in app.button if each.label == "Run sessions").click().run()
    assert not app.exception and "fewer than the context" in app.error[0].value
    widget(app, "New tokens").set_value(4).run()
    next(each for each in app.button if each.label == "Run sessions").click().run()
    assert not app.exception and "'much'" in app.error[0].value


def test_each_page_has_settings_of_its_own(app):
    opened(app, "sessions", attention="eager", context_tokens="512")
    setup = app.session_state["setup"]
    assert setup["served"]["attention"] == "eager"
    assert setup["attention"] == setup["generated"]["attention"] == "sdpa"
    app.switch_page("pages/generate.py").run()
    widget(app, "Temperature").set_value(0.5).run()
    assert said_by(app) == {"model": FIRST_WRITER, "temperature": "0.5"}


def test_a_kept_generation_fills_the_whole_form(app):
    plan = GenerationPlan(
        prompt="Once", image="cat.png (ab12)", max_new_tokens=700, temperature=0.7, top_k=4, seed=9
    )
    request = Request(
        RequestKind.GENERATE, "own:too_big", device="cpu", memory_budget="3GiB",
        serving=ServingConfig(weights="fp16", cache="static"), generation=plan,
    )  # fmt: skip
    history = RunHistory()
    history.begin("kept0000", "generate", request.to_dict())
    history.finish("kept0000", RunStatus.CANCELLED)
    opened(app, "generate", run="kept0000")
    shown = {
        "Model": "own:too_big", "Device": "cpu", "Prompt": "Once", "New tokens": 700,
        "Temperature": 0.7, "Precision": "fp16", "Cache": "static", "Top k": 4, "Seed": 9,
        "Memory budget": "3GiB",
    }  # fmt: skip
    assert {label: widget(app, label).value for label in shown} == shown
    said = " ".join(each.value for each in app.caption)
    assert "cat.png (ab12) of the run that was opened is not kept. Give it again." in said
