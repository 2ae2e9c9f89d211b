import pytest
import torch

from memorymark.errors import ModelNotFound, UnknownChoice, UsageError
from memorymark.records.config import TrainingConfig
from memorymark.workloads import resolve
from memorymark.workloads.custom import CustomWorkload
from memorymark.workloads.huggingface import HuggingFaceWorkload
from memorymark.workloads.vision import ImageClassifier


@pytest.mark.parametrize(
    ("name", "task", "labels"),
    [
        ("bert", "sequence-classification", 2),
        ("gpt2", "sequence-classification", 2),
        ("resnet", "image-classification", 1000),
    ],
)
def test_built_in_models(name, task, labels):
    workload = resolve(f" {name} ")
    config = workload.describe(TrainingConfig())
    assert isinstance(workload, HuggingFaceWorkload) and workload.name == name
    assert (config.task, config.num_labels) == (task, labels)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("bert", 109_483_778), ("gpt2", 124_441_344), ("resnet", 25_557_032)],
)
def test_built_in_models_have_their_published_sizes(name, parameters):
    with torch.device("meta"):
        model = resolve(name).build(TrainingConfig())
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_a_local_folder(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert", "hidden_size": 36}')
    assert resolve(f"hf:{tmp_path}").name == resolve(str(tmp_path)).name == f"hf:{tmp_path}"


def test_torchvision_and_own_code(monkeypatch, tmp_path):
    assert isinstance(resolve("torchvision:resnet18"), ImageClassifier)
    (tmp_path / "my_own_model.py").write_text(
        "from torch import nn\ndef make():\n    return nn.Linear(1, 1), list, max\n"
    )
    monkeypatch.chdir(tmp_path)
    assert isinstance(resolve("my_own_model:make"), CustomWorkload)
    with pytest.raises(UsageError, match="custom code"):
        resolve("my_own_model:make", allow_code=False)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("brt", "bert"), ("gpt-2", "gpt2"), ("resnett", "resnet"), ("BERT", "bert")],
)
def test_the_nearest_match(name, nearest):
    with pytest.raises(UnknownChoice, match=f"Did you mean '{nearest}'") as caught:
        resolve(name)
    assert "package.module:factory" in str(caught.value)


@pytest.mark.parametrize("name", ["", "hf:", "torchvision:", "a b:c", ":x"])
def test_names_of_no_form(name):
    with pytest.raises(UnknownChoice):
        resolve(name)


def test_a_folder_that_is_not_there():
    with pytest.raises(ModelNotFound, match=r"no folder '.*nowhere'"):
        resolve("./nowhere")
