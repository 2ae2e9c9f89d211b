import textwrap

import pytest
import torch
from torch import nn

from memorymark.errors import InvalidValue, ModelNotFound, UnknownChoice, WorkloadError
from memorymark.records.config import TrainingConfig
from memorymark.workloads.build import build_model, make_batch
from memorymark.workloads.custom import load_custom, workload_of
from memorymark.workloads.losses import loss_of
from memorymark.workloads.trial_spec import TrialSpec

CPU = torch.device("cpu")
CONFIG = TrainingConfig()
MODULE = """
    import torch
    from torch import nn
    from tiny import TinyNet

    def triple():
        return nn.Linear(4, 1), lambda n: torch.rand(n, 4), lambda model, x: model(x).mean()

    def with_outputs():
        def loss(model, x):
            y = model(x)
            return y.mean(), y
        return nn.Linear(4, 1), lambda n: torch.rand(n, 4), loss

    def wrong_loss():
        return nn.Linear(4, 1), lambda n: torch.rand(n, 4), lambda model, x: model(x)

    def no_batch():
        return nn.Linear(4, 1), lambda n: 1 / 0, lambda model, x: model(x).mean()

    def raising():
        raise ValueError("no such weights")

    def wrong():
        return nn.Linear(4, 1), 3

    workload = TinyNet
    number = 3
"""


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    (tmp_path / "users_models.py").write_text(textwrap.dedent(MODULE))
    (tmp_path / "users_broken.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)


def run(name, batch_size=3):
    workload = load_custom(f"users_models:{name}")
    model = build_model(workload, CONFIG, CPU)
    return loss_of(workload, model, make_batch(TrialSpec(workload, CONFIG, batch_size), CPU))


@pytest.mark.parametrize(("name", "has_outputs"), [("triple", False), ("with_outputs", True)])
def test_three_parts(name, has_outputs):
    loss, outputs = run(name)
    assert loss.numel() == 1 and (outputs is not None) is has_outputs


def test_every_build_is_a_new_model():
    workload = load_custom("users_models:triple")
    assert workload.build(CONFIG) is not workload.build(CONFIG)


def test_a_workload_of_the_users():
    workload = load_custom("users_models:workload")
    assert workload.runs_own_code and workload.name == "tiny-net"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("users_models:raising", "raised ValueError.'no such weights'."),
        ("users_models:wrong", "returned a tuple of Linear, int; accepted: "),
        ("users_broken:make", "Importing 'users_broken' raised ZeroDivisionError"),
    ],
)
def test_what_cannot_be_used(name, reason):
    with pytest.raises(WorkloadError, match=reason):
        load_custom(name)


def test_names_that_are_not_there():
    with pytest.raises(ModelNotFound, match="module 'users_nothing'"):
        load_custom("users_nothing:make")
    with pytest.raises(UnknownChoice, match="Did you mean 'triple'"):
        load_custom("users_models:tripel")
    with pytest.raises(UnknownChoice):
        load_custom("users_models:number")


def test_a_loss_of_the_wrong_shape():
    with pytest.raises(WorkloadError, match=r"a tensor of shape \(3, 1\)"):
        run("wrong_loss")


def test_a_batch_that_cannot_be_made():
    with pytest.raises(WorkloadError, match=r"make_batch\(3\).*ZeroDivisionError"):
        run("no_batch")


# ---- factories that take the config, and options that others ignore --------------------------


def own(*parts):
    return workload_of(
        "users:factory", lambda: (nn.Linear(4, 1), lambda n: torch.rand(n, 4), *parts)
    )


def mean(model, x):
    return model(x).mean()


def sized(config):
    width = config.seq_len
    return nn.Linear(width, 1), lambda n: torch.rand(n, width), mean


def sized_by_default(config=None):
    return sized(config)


@pytest.mark.parametrize("factory", [sized, sized_by_default])
def test_a_factory_may_take_the_config(factory):
    workload = workload_of("users:factory", factory)
    spec = TrialSpec(workload, TrainingConfig(seq_len=9), 2)
    for device in (CPU, torch.device("meta")):
        model = build_model(workload, spec.config, device)
        assert model.in_features == 9 and make_batch(spec, device).shape == (2, 9)
    assert build_model(workload, TrainingConfig(seq_len=5), CPU).in_features == 5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seq_len": 512}, "seq len is '512'; accepted: 128, the default: the factory 'users:"),
        ({"image_size": 64}, "image size is '64'; accepted: 224, the default: the factory"),
        ({"task": "causal-lm"}, "task is 'causal-lm'; accepted: nothing: the factory"),
        ({"num_labels": 3}, "num labels is '3'; accepted: nothing"),
        ({"attention": "eager"}, "attention is 'eager'; accepted: sdpa or flash"),
        ({"use_cache": "on"}, "use cache is 'on'; accepted: auto"),
    ],
)
def test_options_that_the_factory_ignores_are_refused(options, said):
    with pytest.raises(InvalidValue, match=said):
        TrialSpec(own(mean), TrainingConfig(**options), 2)
    assert TrialSpec(workload_of("users:factory", sized), TrainingConfig(**options), 2)


def test_options_for_any_model_are_taken():
    config = TrainingConfig(
        optimizer="sgd", precision="bf16", zero_grad="after-step", gradient_accumulation=2,
        channels_last=True, dropout=False, loop="trainer",
    )  # fmt: skip
    assert TrialSpec(own(mean), config, 2).config.seq_len == 128


def test_a_factory_that_needs_other_arguments():
    with pytest.raises(WorkloadError, match="needs the arguments width, depth; accepted: none, or"):
        workload_of("users:factory", lambda width, depth: None)
    assert workload_of("users:factory", lambda width=3: (nn.Linear(width, 1), lambda n: 0, mean))


def test_what_a_factory_returns_is_described():
    for made, said in [
        (nn.Linear(2, 2), r"a module \(Linear\) alone"),
        ((nn.Linear(2, 2), lambda n: n), "a tuple of Linear, function"),
        ((nn.Linear(2, 2), lambda n: n, None), "a tuple of Linear, function, NoneType"),
        (None, "None"),
    ]:
        with pytest.raises(WorkloadError, match=f"returned {said}; accepted: a memorymark"):
            workload_of("users:factory", lambda made=made: made)
