"""Operations and tensors that simulations could not run, or counted at another size."""

import pytest
import torch
from test_parity import assert_same
from test_questions import CONFIG, Own, floats
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel
from torchvision.ops import nms

from memorymark.errors import UnsupportedOperation
from memorymark.memory.tracker import MemoryTracker
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.simulate import simulate
from memorymark.workloads.build import build_model
from memorymark.workloads.trial_spec import TrialSpec


def speech(batch_size):
    return (
        torch.randn(batch_size, 50, 64),
        torch.randint(1, 30, (batch_size, 12)),
        torch.arange(batch_size) % 8 + 4,
    )


def aligned(model, batch):
    frames, targets, lengths = batch
    scores = model(frames).log_softmax(-1).transpose(0, 1)
    steps = torch.full((len(frames),), frames.size(1))
    return functional.ctc_loss(scores, targets, steps, lengths, zero_infinity=True)


def ragged(model, parts):
    nested = torch.nested.nested_tensor(parts, layout=torch.jagged)
    return model(nested).values().square().mean()


def margins(model, batch):
    return functional.multi_margin_loss(
        model(batch), torch.arange(len(batch), device=batch.device) % 30
    )


def in_half(model, batch):
    hooks = torch.autograd.graph.saved_tensors_hooks(lambda x: x.half(), lambda x: x.float())
    with hooks:
        return model(batch).square().mean()


WORKLOADS = {
    "ctc": (speech, aligned, lambda: nn.Linear(64, 30)),
    "ragged": (
        lambda n: [torch.randn(3 + index % 5, 64) for index in range(n)],
        ragged,
        lambda: nn.Linear(64, 32),
    ),
    "margins": (floats, margins, lambda: nn.Linear(64, 30)),
    "saved in half precision": (
        floats,
        in_half,
        lambda: nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)),
    ),
    "sparse gradients that are kept": (
        lambda n: torch.randint(500, (n, 40)),
        lambda model, batch: model[1](model[0](batch).mean(1)).square().mean(),
        lambda: nn.Sequential(nn.Embedding(500, 64, sparse=True), nn.Linear(64, 8)),
    ),
    "sparse gradients": (
        lambda n: torch.randint(500, (n, 20)),
        lambda model, batch: model(batch).square().mean(),
        lambda: nn.Sequential(nn.Embedding(500, 64, sparse=True), nn.Linear(64, 8)),
    ),
}


@pytest.mark.parametrize("name", WORKLOADS)
def test_these_hold_what_they_hold(name):
    assert_same(Own(*WORKLOADS[name]), CONFIG, batch_size=32)


def run(make_batch, loss, make_model, batch_size=32):
    workload = Own(make_batch, loss, make_model)
    spec = TrialSpec(workload, CONFIG, batch_size)
    model = build_model(workload, spec.config, torch.device("meta"))
    return simulate(spec, model, Rules(Platform.CUDA))


def saved_on_host(model, batch):
    with torch.autograd.graph.save_on_cpu():
        return model(batch).square().mean()


def deep():
    return nn.Sequential(*[nn.Sequential(nn.Linear(64, 64), nn.ReLU()) for _ in range(8)])


def test_what_is_saved_on_the_host_takes_no_room_on_the_device():
    plain = run(floats, lambda model, batch: model(batch).square().mean(), deep, 40_000)
    saved = run(floats, saved_on_host, deep, 40_000)
    peaks = [done.free_running.peak_allocated_bytes for done in (plain, saved)]
    assert peaks[1] < 0.6 * peaks[0]
    assert not any("on the host" in sentence for sentence in saved.assumptions)


def test_an_averaged_model_is_simulated():
    def loss(model, batch):
        average = AveragedModel(model)
        average.update_parameters(model)
        return model(batch).square().mean()

    assert run(floats, loss, lambda: nn.Linear(64, 64)).free_running.peak_allocated_bytes > 0


def adjacency(batch_size):
    edges = torch.stack([torch.arange(batch_size), torch.arange(batch_size).flip(0)])
    weights = torch.ones(batch_size)
    return torch.sparse_coo_tensor(edges, weights, (batch_size, batch_size)), floats(batch_size)


def test_a_product_with_a_sparse_matrix_is_refused_in_one_sentence():
    with pytest.raises(UnsupportedOperation, match=r"aten\.\w*mm.*on a device instead") as caught:
        run(adjacency, lambda model, x: (x[0] @ model(x[1])).mean(), lambda: nn.Linear(64, 8))
    assert "\n" not in str(caught.value)


def test_bags_with_sparse_gradients_are_refused_and_others_are_not():
    def make_model(sparse):
        return lambda: nn.Sequential(nn.EmbeddingBag(500, 64, sparse=sparse), nn.Linear(64, 8))

    def batch(batch_size):
        return torch.randint(500, (batch_size, 20))

    def loss(model, given):
        return model(given).square().mean()

    with pytest.raises(UnsupportedOperation, match=r"_embedding_bag.*module 0.*on a device"):
        run(batch, loss, make_model(True))
    assert run(batch, loss, make_model(False)).free_running.peak_allocated_bytes > 0


def test_an_operation_that_refuses_tensors_without_data_is_named_with_its_line():
    from torch.nn.attention.flex_attention import flex_attention

    def loss(model, batch):
        heads = model(batch).view(4, 2, -1, 16)
        return flex_attention(heads, heads, heads).mean()

    with pytest.raises(
        UnsupportedOperation, match=r"FlexAttention.*test_other_tensors.py:\d+.*on a device instead"
    ):
        run(floats, loss, lambda: nn.Linear(64, 32))


def test_known_boxes_are_suppressed_and_unknown_ones_are_kept():
    def loss(model, batch):
        made = model(batch)
        boxes = torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 8], [20, 20, 30, 30]])
        kept = nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5)
        assert kept.tolist() == [0, 2]
        corners = torch.cat([made[:, :2], made[:, :2] + 1], -1).detach()
        assert len(nms(corners, made[:, 0].detach(), 0.5)) in (1, len(made))
        return made.mean()

    told = run(floats, loss, lambda: nn.Linear(64, 8)).assumptions
    assert any("nms()" in sentence for sentence in told)


class Quantized(torch.Tensor):
    """A weight of one byte an element, with a scale for each row."""

    @staticmethod
    def __new__(cls, values, scale):
        return torch.Tensor._make_wrapper_subclass(cls, values.shape, dtype=scale.dtype)

    def __init__(self, values, scale):
        self.values, self.scale = values, scale

    def __tensor_flatten__(self):
        return ["values", "scale"], None

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.detach.default:
            return cls(args[0].values, args[0].scale)
        plain = [x.values * x.scale if isinstance(x, cls) else x for x in args]
        return func(*plain, **(kwargs or {}))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_quantized_weight_counts_at_its_inner_size(device):
    values = torch.zeros(100, 50, dtype=torch.int8, device=device)
    weight = nn.Parameter(Quantized(values, torch.ones(100, 1, device=device)), requires_grad=False)
    given = torch.zeros(8, 50, device=device)
    with MemoryTracker(device) as tracker:
        tracker.add([("weight", weight)], "parameters")
        assert tracker.live_bytes == 100 * 50 + 100 * 4
        made = given @ weight.t()
        assert tracker.live_bytes == 100 * 50 + 100 * 4 + made.nbytes
    assert tracker.peak_bytes == 100 * 50 + 100 * 4 + 100 * 50 * 4 + made.nbytes
    assert {block.owner for block in tracker.trace.blocks[:2]} == {"weight"}
