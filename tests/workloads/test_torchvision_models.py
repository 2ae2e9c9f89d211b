import pytest
import torch

from memorymark.errors import InvalidValue
from memorymark.records.config import TrainingConfig
from memorymark.workloads.build import build_model, make_batch
from memorymark.workloads.registry import resolve
from memorymark.workloads.trial_spec import TrialSpec

CPU = torch.device("cpu")


def described(name, **values):
    return resolve(f"torchvision:{name}").describe(TrainingConfig(**values))


def batch_of(name, **values):
    spec = TrialSpec(resolve(f"torchvision:{name}"), TrainingConfig(**values), 2)
    return make_batch(spec, CPU)


@pytest.mark.parametrize(
    ("name", "task", "classes", "size", "frames"),
    [
        ("fasterrcnn_resnet50_fpn", "object-detection", 91, 800, None),
        ("ssd300_vgg16", "object-detection", 91, 300, None),
        ("ssdlite320_mobilenet_v3_large", "object-detection", 91, 320, None),
        ("keypointrcnn_resnet50_fpn", "keypoint-detection", 2, 800, None),
        ("deeplabv3_resnet50", "semantic-segmentation", 21, 520, None),
        ("r3d_18", "video-classification", 400, 112, 16),
        ("mvit_v2_s", "video-classification", 400, 224, 16),
    ],
)
def test_models_are_trained_on_what_they_were_made_for(name, task, classes, size, frames):
    config = described(name)
    said = (config.task, config.num_labels, config.image_size, config.num_frames)
    assert said == (task, classes, size, frames)
    with pytest.raises(InvalidValue, match=f"{task} for torchvision:{name}"):
        described(name, task="image-classification")


@pytest.mark.parametrize("name", ["fasterrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn"])
def test_boxes_pass_the_guards(name):
    batch = batch_of(name, image_size=64)
    assert [image.shape for image in batch["images"]] == [(3, 64, 64)] * 2
    for target in batch["targets"]:
        boxes = target["boxes"]
        assert (boxes[:, 2:] > boxes[:, :2]).all() and boxes.min() >= 0 and boxes.max() <= 64
        assert target["labels"].min() >= 1 and target["labels"].max() < 91
        assert ("masks" in target) == name.startswith("maskrcnn")


def test_people_have_seventeen_keypoints_within_their_boxes():
    target = batch_of("keypointrcnn_resnet50_fpn", image_size=64)["targets"][0]
    assert target["keypoints"].shape == (7, 17, 3) and target["keypoints"][..., 2].all()
    assert set(target["labels"].tolist()) == {1}


def test_videos_come_with_frames_behind_the_channels():
    batch = batch_of("r3d_18", image_size=32, num_frames=4)
    assert batch["images"].shape == (2, 3, 4, 32, 32)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("lraspp_mobilenet_v3_large", {"image_size": 64}),
        ("r3d_18", {"image_size": 16, "num_frames": 4}),
    ],
)
def test_a_step_has_a_finite_loss_with_gradients(name, values):
    workload = resolve(f"torchvision:{name}")
    spec = TrialSpec(workload, TrainingConfig(num_labels=3, **values), 2)
    model = build_model(workload, spec.config, CPU)
    loss, _ = workload.forward(model, make_batch(spec, CPU))
    loss.backward()
    assert loss.isfinite() and all(p.grad is not None for p in model.parameters())


def test_a_detector_has_no_loss_in_eval_mode():
    with pytest.raises(InvalidValue, match="training mode alone"):
        described("retinanet_resnet50_fpn", dropout=False)
