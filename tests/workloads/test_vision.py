import pytest
import torch

from memorymark.errors import InvalidValue, MissingPackage, UnknownChoice, WorkloadError
from memorymark.records.config import TrainingConfig
from memorymark.workloads.build import build_model, make_batch
from memorymark.workloads.registry import resolve
from memorymark.workloads.trial_spec import TrialSpec
from memorymark.workloads.vision import ImageClassifier, list_vision_models

CPU, META = torch.device("cpu"), torch.device("meta")


def test_what_can_be_trained_is_listed():
    names = list_vision_models("torchvision")
    assert {"resnet50", "vit_b_16", "fasterrcnn_resnet50_fpn", "fcn_resnet50", "r3d_18"} <= {*names}
    assert len(names) == len({*names})
    assert not any(name.startswith(("quantized", "raft")) for name in names)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("quantized_resnet18", "is quantized.*Train torchvision:resnet18"),
        ("raft_small", "optical flow.*Write a package.module:factory"),
    ],
)
def test_what_cannot_be_trained_says_what_to_do(name, sentence):
    with pytest.raises(WorkloadError, match=sentence):
        resolve(f"torchvision:{name}")


def test_a_small_network_trains():
    workload = ImageClassifier("torchvision", "squeezenet1_1")
    config = workload.describe(TrainingConfig(image_size=64, num_labels=3))
    model = build_model(workload, config, CPU)
    loss, outputs = workload.forward(model, make_batch(TrialSpec(workload, config, 2), CPU))
    assert outputs.shape == (2, 3) and loss.isfinite()


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_auxiliary_heads_count_in_the_loss(name):
    workload = ImageClassifier("torchvision", name)
    config = workload.describe(TrainingConfig(image_size=299))
    model = build_model(workload, config, META)
    loss, outputs = workload.forward(model, make_batch(TrialSpec(workload, config, 2), META))
    loss.backward()
    assert loss.numel() == 1 and len(outputs) > 1
    assert {parameter.grad is not None for parameter in model.parameters()} == {True}


def test_a_transformer_takes_the_size_that_is_asked_for():
    workload = ImageClassifier("torchvision", "vit_b_32")
    config = workload.describe(TrainingConfig(image_size=64))
    model = build_model(workload, config, META)
    assert workload.forward(model, make_batch(TrialSpec(workload, config, 2), META))[0].numel() == 1


def test_defaults_and_other_tasks():
    workload = ImageClassifier("torchvision", "resnet18")
    config = workload.describe(TrainingConfig())
    assert (config.task, config.num_labels) == ("image-classification", 1000)
    with pytest.raises(InvalidValue, match="image-classification"):
        workload.describe(TrainingConfig(task="causal-lm"))


def test_the_nearest_name():
    with pytest.raises(UnknownChoice, match="Did you mean 'resnet50'"):
        ImageClassifier("torchvision", "resnet5O")


def test_a_library_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(MissingPackage, match="pip install timm"):
        ImageClassifier("timm", "resnet18")


def test_images_have_the_size_that_the_model_was_made_for():
    made_for = {"resnet18": 224, "inception_v3": 299}
    for name, size in made_for.items():
        assert ImageClassifier("torchvision", name).describe(TrainingConfig()).image_size == size
