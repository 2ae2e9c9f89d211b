"""The shipped configurations: what they are, where they come from, and that they build."""

import datetime
import subprocess
import sys

import pytest
import torch

from memorymark.records.config import Task, TrainingConfig
from memorymark.workloads.known_models import (
    BUILTIN_TASKS,
    find_known_model,
    known_models,
    lengths_of,
    model_choices,
    nearest_known,
)
from memorymark.workloads.registry import resolve
from memorymark.workloads.sample_lengths import lengths_left_out
from memorymark.workloads.vision import list_vision_models

MODELS = known_models()
NAMES = [model.name for model in MODELS]


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_well_known_families_are_there():
    kinds = {model.config["model_type"] for model in MODELS}
    assert kinds >= {
        "llama", "qwen2", "qwen3", "qwen3_moe", "mistral", "mixtral", "gemma2", "gemma3", "phi3",
        "olmo2", "gpt_neox", "gpt2", "modernbert", "bert", "roberta", "deberta-v2", "distilbert",
        "t5", "bart", "whisper", "wav2vec2", "vit", "swin", "convnext", "convnextv2", "dinov2",
        "clip", "sam", "resnet",
    }  # fmt: skip
    assert len(MODELS) >= 40


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_a_model_has_its_published_size_and_says_whose_figures_these_are(model):
    workload = resolve(model.name)
    config = workload.describe(TrainingConfig())
    with torch.device("meta"):
        built = workload.build(config)
    parameters = sum(parameter.numel() for parameter in built.parameters())
    assert parameters == pytest.approx(model.parameters, rel=0.01)
    assert (workload.name, config.task) == (f"hf:{model.name}", model.task)
    assert model.source == f"https://huggingface.co/{model.name}/blob/main/config.json"
    assert model.parameters_source.startswith("https://")
    assert datetime.date.fromisoformat(model.seen_on) >= datetime.date(2026, 11, 21)
    assert model.licence is None or model.licence


def test_names_labels_and_short_names_are_one_models_own():
    for names in (NAMES, [m.label for m in MODELS], [m.short_name for m in MODELS]):
        assert len({name.lower() for name in names}) == len(MODELS)


@pytest.mark.parametrize(
    "given",
    ["meta-llama/Llama-3.1-8B", "hf:meta-llama/Llama-3.1-8B", "llama-3.1-8b", "hf:Llama-3.1-8B"],
)
def test_a_model_goes_by_its_id_and_its_short_name(given):
    assert find_known_model(given).label == "Llama 3.1 8B"
    assert resolve(given).name == "hf:meta-llama/Llama-3.1-8B"


def test_built_in_names_stay_what_they_are():
    assert resolve("gpt2").name == "gpt2"
    assert resolve("hf:gpt2").name == "hf:openai-community/gpt2"


def test_a_folder_of_that_name_is_the_users_way_to_differ(tmp_path, monkeypatch):
    folder = tmp_path / "meta-llama" / "Llama-3.1-8B"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "bert", "hidden_size": 36}')
    monkeypatch.chdir(tmp_path)
    task = resolve("hf:meta-llama/Llama-3.1-8B").describe(TrainingConfig()).task
    assert task is Task.MASKED_LM


def test_the_choices_have_labels_to_search_in():
    choices = model_choices()
    assert choices["hf:meta-llama/Llama-3.1-8B"] == "Llama 3.1 8B · meta-llama/Llama-3.1-8B"
    assert list(choices)[: len(BUILTIN_TASKS)] == list(BUILTIN_TASKS)
    names = [label.split(" · ")[0] for label in choices.values()]
    assert len(set(names)) == len(names)
    labels = [label for name, label in choices.items() if name.startswith("hf:meta-llama/")]
    assert [label.split(" · ")[0] for label in labels] == [
        "Llama 2 7B", "Llama 2 13B", "Llama 3.1 8B", "Llama 3.1 70B", "Llama 3.2 1B",
        "Llama 3.2 3B",
    ]  # fmt: skip


@pytest.mark.parametrize("name", [*BUILTIN_TASKS, *NAMES])
def test_the_lengths_of_a_model_are_those_that_it_takes(name):
    taken, workload = lengths_of(name), resolve(name)
    for length, other in (("audio_seconds", 7), ("num_frames", 7), ("image_size", 112)):
        given, said = TrainingConfig(**{length: other}), ""
        try:
            said = " ".join(lengths_left_out(given, workload.describe(given)))
        except Exception as error:
            said = str(error)
        is_refused = "accepted: nothing" in said or "is left out" in said
        assert is_refused is (length not in taken), said
    assert ("seq_len" in taken) is ("input_ids" in batch_of(workload))


def batch_of(workload):
    config = workload.describe(TrainingConfig(seq_len=8))
    with torch.device("meta"):
        batch = workload.batch(1, config)
    return {"input_ids"} if config.task in SPEECH and "labels" in batch else set(batch)


SPEECH = (Task.SPEECH_SEQ2SEQ, Task.CTC)  # whose text is in the labels


def test_the_lengths_of_other_models():
    assert lengths_of("hf:somebody/something") is lengths_of("nonsense") is None
    assert lengths_of("timm:resnet18") == ("image_size",)
    assert lengths_of("bert", Task.TOKEN_CLASSIFICATION) == ("seq_len",)


def test_the_lengths_of_torchvisions_models():
    for name in list_vision_models("torchvision"):
        task = resolve(f"torchvision:{name}").describe(TrainingConfig()).task
        assert lengths_of(f"torchvision:{name}") == task.lengths, name


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("meta-lama/Llama-3.1-8B", "meta-llama/Llama-3.1-8B"),
        ("hf:qwen3-0.6", "Qwen/Qwen3-0.6B"),
        ("nobody-at-all/no-such-model", None),
        ("a" * 1_000_000, None),
    ],
)
def test_a_mistyped_name_finds_its_model(given, meant):
    assert nearest_known(given) == meant


def test_listing_needs_no_torch():
    code = (
        "import sys; from memorymark.workloads.known_models import lengths_of, model_choices; "
        "model_choices(); lengths_of('torchvision:r3d_18'); "
        "assert not {'torch', 'transformers', 'streamlit'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["google/flan-t5-base", "google-t5/t5-small"])
def test_heads_are_tied_as_the_file_says(name):
    with torch.device("meta"):
        model = resolve(name).build(TrainingConfig())
    tied = model.lm_head.weight is model.shared.weight
    assert tied is (name == "google-t5/t5-small")
    assert model.encoder.embed_tokens.weight is model.shared.weight


def test_sliding_windows_experts_and_ties_are_as_written():
    def config(name):
        return resolve(name)._hf_config

    gemma = config("gemma-3-1b-pt")
    assert gemma.layer_types.count("full_attention") == 26 // 6 and gemma.sliding_window == 512
    assert config("gemma-2-2b").layer_types.count("sliding_attention") == 13
    assert config("modernbert-base").layer_types.count("full_attention") == 8
    moe = config("qwen3-30b-a3b")
    assert (moe.num_experts, moe.num_experts_per_tok, moe.moe_intermediate_size) == (128, 8, 768)
    mixtral = config("mixtral-8x7b-v0.1")
    assert (mixtral.num_local_experts, mixtral.num_experts_per_tok) == (8, 2)
    assert config("qwen2.5-0.5b").tie_word_embeddings
    assert not config("qwen2.5-7b").tie_word_embeddings
