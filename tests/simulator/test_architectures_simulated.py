"""Each kind of Hugging Face model simulates, and holds what it holds when it really trains."""

import pytest
from test_parity import assert_same, simulated
from tiny_configs import NAMED, TINY, tiny_training, tiny_workload

from memorymark.records.config import TrainingConfig
from memorymark.workloads.registry import resolve

# Each reads another kind of batch.
COMPARED = (
    "whisper", "clip", "blip", "llava", "qwen2_vl", "gemma3", "segformer", "sam", "vit_mae",
    "videomae_pretraining", "timesformer", "wav2vec2",
)  # fmt: skip


def training(name):
    return TrainingConfig(**tiny_training(name))


@pytest.mark.parametrize("name", [*TINY, *NAMED])
def test_a_step_simulates(name):
    assert simulated(tiny_workload(name), training(name), 2).events


@pytest.mark.parametrize("name", COMPARED)
def test_peaks_agree(name):
    assert_same(tiny_workload(name), training(name), 2)


def test_peaks_agree_where_objects_are_matched():
    assert_same(tiny_workload("detr"), training("detr"), 2)


@pytest.mark.parametrize(
    "name", ["fasterrcnn_mobilenet_v3_large_320_fpn", "ssdlite320_mobilenet_v3_large"]
)
def test_detectors_of_torchvision_simulate(name):
    config = TrainingConfig(image_size=96, num_labels=3, optimizer="sgd")
    assert simulated(resolve(f"torchvision:{name}"), config, 2).events


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("lraspp_mobilenet_v3_large", {"image_size": 64}),
        ("r3d_18", {"image_size": 16, "num_frames": 4}),
    ],
)
def test_peaks_of_torchvision_agree(name, values):
    config = TrainingConfig(num_labels=3, optimizer="sgd", **values)
    assert_same(resolve(f"torchvision:{name}"), config, 2)
