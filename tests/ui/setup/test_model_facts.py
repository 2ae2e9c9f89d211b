"""Pages on which models write: what they open on, and what is known of a model beforehand."""

from __future__ import annotations

import json

import pytest

from memorymark.errors import MemoryMarkError
from memorymark.service.access import AppService
from memorymark.ui.setup.model_facts import FIRST_WRITER

PRICE = "GPU price ($ per hour)"
LLAMA = {"architectures": ["LlamaForCausalLM"], "max_position_embeddings": 300}
VIT = {"architectures": ["ViTForImageClassification"]}
WHISPER = {"architectures": ["WhisperForConditionalGeneration"], "num_mel_bins": 80}
BLIP = {"architectures": ["BlipForConditionalGeneration"], "vision_config": {}}


def opened(app, page, **said):
    app.query_params.update(said)
    app.switch_page(f"pages/{page}.py").run()
    assert not app.exception
    return app


def field(app, label):
    kinds = ("selectbox", "number_input", "text_input")
    found = [each for kind in kinds for each in getattr(app.main, kind) if each.label == label]
    assert found, label
    return found[0]


def labels(app):
    kinds = ("text_area", "file_uploader", "text_input", "slider")
    return {each.label for kind in kinds for each in getattr(app, kind)}


def captions(app):
    return " ".join(each.value for each in app.caption)


def warnings(app):
    return " ".join(each.value for each in app.warning)


def asked_of(app, monkeypatch, button):
    asked = []

    def start(self, request, visitor, media=None):
        asked.append(request)
        raise MemoryMarkError("Not now.")

    monkeypatch.setattr(AppService, "start", start)
    next(each for each in app.button if each.label == button).click().run()
    assert not app.exception
    return asked[0]


@pytest.mark.parametrize("page", ["sessions", "generate"])
def test_a_page_of_writing_opens_on_a_model_that_writes(app, page):
    opened(app, page)
    assert field(app, "Model").value == FIRST_WRITER
    assert not app.warning
    opened(app, "analysis")
    assert field(app, "Model").value == "bert"


def test_a_model_that_was_chosen_stays_and_is_named_where_it_writes_no_text(app):
    app.run()
    field(app, "Model").set_value("hf:google-bert/bert-base-uncased").run()
    for page in ("sessions", "generate"):
        opened(app, page)
        assert field(app, "Model").value == "hf:google-bert/bert-base-uncased"
        assert "writes no text" in warnings(app) and FIRST_WRITER in warnings(app).replace("\\", "")
    field(app, "Model").set_value("hf:openai-community/gpt2-large").run()
    assert not app.warning
    opened(app, "analysis")
    assert field(app, "Model").value == "hf:openai-community/gpt2-large"


@pytest.mark.parametrize(
    ("page", "model", "is_refused"),
    [
        ("sessions", "bert", True), ("sessions", "gpt2", False), ("sessions", "resnet", True),
        ("generate", "resnet", False), ("generate", "torchvision:resnet50", True),
        ("generate", "hf:openai/whisper-tiny", False), ("sessions", "hf:google-t5/t5-small", False),
        ("sessions", "hf:no-such/model", False),
    ],
)  # fmt: skip
def test_what_is_known_to_write_no_text_is_named(app, page, model, is_refused):
    opened(app, page, model=model)
    assert ("writes no text" in warnings(app)) is is_refused


def test_a_task_that_was_set_decides(app):
    opened(app, "sessions", model="bert", task="causal-lm")
    assert "writes no text" not in warnings(app)


def test_the_default_context_ends_with_the_models_positions(app, monkeypatch):
    opened(app, "sessions")
    assert field(app, "Context").value == 1024
    assert "has 1,024 positions: the context is 1,024 tokens, in place of 2,048" in captions(app)
    assert asked_of(app, monkeypatch, "Run sessions").serving.context_tokens == 1024
    field(app, "Model").set_value("hf:meta-llama/Llama-2-7b-hf").run()
    assert field(app, "Context").value == 2048 and "in place of" not in captions(app)


def test_a_context_that_somebody_set_stays_and_what_is_too_long_is_said(app, monkeypatch):
    opened(app, "sessions", model=FIRST_WRITER, context_tokens="4000")
    assert field(app, "Context").value == 4000
    assert "too few for a context of 4,000 tokens. Set the context to 1,024" in warnings(app)
    assert asked_of(app, monkeypatch, "Run sessions").serving.context_tokens == 4000


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Writes the config.json of a folder that the owner allows, and returns the model's name."""

    def write(config, *, allowed=True):
        path = tmp_path / "model"
        path.mkdir(exist_ok=True)
        (path / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
        monkeypatch.setenv("MEMORYMARK_WORKLOADS", f"hf:{path}" if allowed else "own:broken")
        return f"hf:{path}"

    return write


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (LLAMA, {"Prompt"}), (VIT, {"Image"}), (WHISPER, {"Sound"}), (BLIP, {"Prompt", "Image"}),
        ("no json", {"Prompt", "Image", "Sound"}), ("[]", {"Prompt", "Image", "Sound"}),
    ],
)  # fmt: skip
def test_a_folders_model_is_asked_for_what_it_reads(home, folder, request, config, expected):
    name = folder(config)
    app = request.getfixturevalue("app")
    opened(app, "generate", model=name)
    assert labels(app) & {"Prompt", "Image", "Sound"} == expected
    assert ("Temperature" in labels(app)) is (config is not VIT)


def test_positions_of_a_folder_cut_the_context(home, folder, request):
    name = folder(LLAMA)
    app = request.getfixturevalue("app")
    opened(app, "sessions", model=name)
    assert field(app, "Context").value == 300


def test_a_folder_that_the_owner_does_not_allow_is_not_read(home, folder, request):
    name = folder(LLAMA, allowed=False)
    app = request.getfixturevalue("app")
    opened(app, "sessions", model=name)
    assert field(app, "Context").value == 2048


def test_a_version_of_transformers_is_asked_for_where_it_is_simulated(app, monkeypatch):
    opened(app, "sessions", gpu="l4")
    version = field(app, "transformers")
    assert version.placeholder.endswith(", installed")
    version.set_value("4.44.2").run()
    assert app.query_params["transformers_version"] in ("4.44.2", ["4.44.2"])
    assert asked_of(app, monkeypatch, "Run sessions").serving.transformers_version == "4.44.2"
    field(app, "transformers").set_value("newest").run()
    assert field(app, "transformers").value == "4.44.2"


def test_a_version_is_not_asked_for_where_it_is_measured_but_can_be_taken_back(app):
    opened(app, "sessions", gpu="l4", transformers_version="4.44")
    field(app, "GPU").set_value("device=cpu").run()
    assert field(app, "transformers").value == "4.44"
    field(app, "transformers").set_value("").run()
    assert "transformers" not in labels(app)


@pytest.mark.parametrize(
    ("page", "shown"),
    [("analysis", {"Current batch", PRICE}), ("sessions", {PRICE}),
     ("generate", set())],
)  # fmt: skip
def test_the_sidebar_asks_for_what_the_page_works_out(app, page, shown):
    opened(app, page)
    assert {each.label for each in app.sidebar.slider} == shown
    plan = [each for each in app.sidebar.number_input if "Dataset" in each.label]
    assert bool(plan) is (page == "analysis")
