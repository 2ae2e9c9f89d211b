"""Which models the app takes."""

import pytest

from memorymark.errors import NotAllowed, UsageError
from memorymark.service.admission import check_model
from memorymark.settings import Settings


@pytest.mark.parametrize(
    "model",
    ["bert", "resnet", "torchvision:vgg16", "hf:google-bert/bert-base-uncased", "a/b", "my.pkg:fn"],
)
def test_models_that_pass(tmp_path, model):
    check_model(model, Settings(home=tmp_path, workloads=("my.pkg:fn",)))


@pytest.mark.parametrize(
    "model",
    ["hf:/etc", "hf:../x", "hf:~/m", "hf:a/b/c", "./model", "my.pkg:fn", "os:system", "hf:..",
     "timm:../x"],
)  # fmt: skip
def test_folders_and_code_do_not_pass(tmp_path, model):
    with pytest.raises(NotAllowed):
        check_model(model, Settings(home=tmp_path))


def test_hub_id_that_is_a_folder_does_not_pass(tmp_path, monkeypatch):
    (tmp_path / "org" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotAllowed, match="folder"):
        check_model("hf:org/model", Settings(home=tmp_path))


def test_nonsense_is_no_model(tmp_path):
    for model in ("", "be rt", "bert;ls"):
        with pytest.raises(UsageError):
            check_model(model, Settings(home=tmp_path))


def test_a_model_of_a_megabyte_is_refused_in_a_short_sentence(tmp_path):
    for model in ("a" * 1_000_000, "torchvision:" + "a" * 1_000_000):
        with pytest.raises(UsageError, match="at most 200") as refused:
            check_model(model, Settings(home=tmp_path))
        assert len(str(refused.value)) < 200


def test_a_folder_passes_where_the_owner_allows_it(tmp_path):
    folder = f"hf:{tmp_path}"
    with pytest.raises(NotAllowed, match=r"MEMORYMARK_WORKLOADS=hf:FOLDER"):
        check_model(folder, Settings(home=tmp_path))
    check_model(folder, Settings(home=tmp_path, workloads=(folder,)))


@pytest.mark.parametrize("model", ["llama-3.1-8b", "hf:qwen3-0.6b", "hf:nosuch"])
def test_short_names_and_ids_pass(tmp_path, model):
    check_model(model, Settings(home=tmp_path))


@pytest.mark.parametrize(("model", "meant"), [("lama-3.1-8b", "llama-3.1-8b"), ("brt", "bert")])
def test_a_mistyped_model_is_said_at_once(tmp_path, model, meant):
    with pytest.raises(UsageError, match=f"Did you mean {meant}. Choose a model of the list"):
        check_model(model, Settings(home=tmp_path))


@pytest.mark.parametrize("model", ["./model", "hf:/etc", "os:system"])
def test_a_refusal_says_what_the_owner_can_allow_and_sends_nobody_in_a_circle(tmp_path, model):
    with pytest.raises(NotAllowed, match="MEMORYMARK_WORKLOADS=") as refused:
        check_model(model, Settings(home=tmp_path))
    assert "command line" in str(refused.value)
