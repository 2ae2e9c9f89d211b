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
