"""The written batch has the shapes and types of the batch that was simulated."""

import pytest
import torch

from memorymark.memory.torch_parts import tree_map
from memorymark.records.config import Task, TrainingConfig
from memorymark.report.scripts.batch_code import batch_code, has_batch
from memorymark.report.scripts.model_code import model_code
from memorymark.workloads.known_models import BUILTIN_TASKS, known_models
from memorymark.workloads.registry import resolve

META = torch.device("meta")
SIZES = {"seq_len": 24}
# Tasks for which no short way to write a batch is known: the script says where yours goes.
UNWRITTEN = {Task.IMAGE_TEXT_TO_TEXT, Task.MASK_GENERATION}
MODELS = [*BUILTIN_TASKS, *(f"hf:{model.name}" for model in known_models())]
VISION = ["torchvision:resnet18", "torchvision:fcn_resnet50", "torchvision:r3d_18", "timm:resnet18"]


def written(name, config):
    """Return what the script's make_batch makes, and whether it makes any."""
    code = model_code(name, config)
    lines = batch_code(code, config)
    workload = resolve(name)
    names = {
        "torch": torch, "device": META, "BATCH_SIZE": 3, "SEQ_LEN": config.seq_len,
        "config": workload._training_config(config) if hasattr(workload, "_hf_config") else None,
    }  # fmt: skip
    exec("\n".join(lines), names)
    return names["make_batch"], has_batch(lines)


def described(batch):
    def of(x):
        return (tuple(x.shape), x.dtype) if isinstance(x, torch.Tensor) else x

    return tree_map(of, batch)


@pytest.mark.parametrize("name", [*MODELS, *VISION])
def test_a_batch_is_as_it_was_simulated(name):
    workload = resolve(name)
    config = workload.describe(TrainingConfig(**SIZES))
    make, is_written = written(name, config)
    assert is_written is (config.task not in UNWRITTEN)
    if not is_written:
        with pytest.raises(NotImplementedError, match="data loader"):
            make()
        return
    with META:
        expected = workload.batch(3, config)
    assert described(make()) == described(expected)


@pytest.mark.parametrize("task", ["token-classification", "question-answering", "multiple-choice"])
def test_the_batch_of_another_task_too(task):
    workload = resolve("bert")
    config = workload.describe(TrainingConfig(task=task, **SIZES))
    with META:
        assert described(written("bert", config)[0]()) == described(workload.batch(3, config))


def test_images_come_in_the_weights_format_and_order():
    config = resolve("resnet").describe(TrainingConfig(precision="bf16", channels_last=True))
    images = written("resnet", config)[0]()["pixel_values"]
    assert images.dtype is torch.bfloat16
    assert images.is_contiguous(memory_format=torch.channels_last)
