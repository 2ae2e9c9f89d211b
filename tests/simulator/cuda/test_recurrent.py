"""Recurrent layers: one call of cuDNN on CUDA, and what the CPU allocates on the CPU."""

import pytest
import torch
from test_parity import assert_same
from tiny import Recurrent
from torch import nn

from memorymark.memory.storage import storage_key
from memorymark.memory.tracker import MemoryTracker
from memorymark.records.config import TrainingConfig
from memorymark.simulator.cuda.recurrent import flatten_weights
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.device import SimulatedDevice
from memorymark.simulator.session import simulating
from memorymark.simulator.simulate import simulate
from memorymark.simulator.tensors.shapes import ShapeCache
from memorymark.workloads.build import build_model
from memorymark.workloads.trial_spec import TrialSpec

CUDA = Rules(Platform.CUDA)
META = torch.device("meta")
LAYERS = [
    (nn.LSTM, {}),
    (nn.LSTM, {"num_layers": 2, "dropout": 0.1}),
    (nn.LSTM, {"num_layers": 2, "bidirectional": True, "batch_first": True}),
    (nn.LSTM, {"bias": False}),
    (nn.GRU, {"num_layers": 2, "dropout": 0.1}),
    (nn.GRU, {"num_layers": 2, "bidirectional": True, "bias": False}),
    (nn.RNN, {"bidirectional": True, "batch_first": True}),
    (nn.RNN, {"nonlinearity": "relu"}),
]


@pytest.mark.parametrize(("kind", "options"), LAYERS)
def test_the_cpu_holds_what_it_holds(kind, options):
    assert_same(Recurrent(kind, **options), TrainingConfig(optimizer="adamw"), batch_size=16)


def blocks_of(module, *args):
    flatten_weights(module)
    with (
        simulating(CUDA) as session,
        SimulatedDevice(session, ShapeCache()) as device,
    ):
        kept = module(*args)
    del kept
    return [(str(block.operation), block.size_bytes) for block in device.trace.blocks]


@pytest.mark.parametrize(("kind", "reserved"), [(nn.LSTM, 736_000_000), (nn.GRU, 864_000_000)])
def test_cudnn_reserves_what_was_published(kind, reserved):
    layer = kind(123, 320, num_layers=4, device=META)
    made = blocks_of(layer, torch.empty(100, 250, 123, device=META))
    assert ("aten._cudnn_rnn.default", reserved) in made


def test_cudnn_runs_a_layer_in_one_call():
    made = blocks_of(nn.LSTM(8, 16, device=META), torch.empty(20, 4, 8, device=META))
    assert sum("_cudnn_rnn" in operation for operation, _ in made) == 4 + 1  # and its workspace


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"num_layers": 2, "proj_size": 4}])
def test_weights_share_one_storage_and_keep_their_shapes(options):
    layer = nn.LSTM(8, 16, device=META, **options)
    before = {name: x.shape for name, x in layer.named_parameters()}
    flatten_weights(layer)
    flatten_weights(layer)
    assert {name: x.shape for name, x in layer.named_parameters()} == before
    assert len({storage_key(x) for x in layer.parameters()}) == 1


def steps(workload, precision="fp32", batch_size=16, **config):
    spec = TrialSpec(workload, TrainingConfig(precision=precision, **config), batch_size)
    return simulate(spec, build_model(workload, spec.config, META), CUDA)


def test_reserved_and_scratch_memory_are_said_to_be_estimates():
    done = steps(Recurrent(nn.LSTM))
    assert any("cuDNN's recurrent layers" in sentence for sentence in done.assumptions)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_half_precision_holds_less(kind):
    workload = Recurrent(kind, num_layers=2)
    peaks = {
        precision: steps(workload, precision, 512).free_running.peak_allocated_bytes
        for precision in ("fp32", "amp-fp16", "bf16")
    }
    assert peaks["bf16"] < peaks["amp-fp16"] < peaks["fp32"]


def test_gradients_have_the_weights_format_under_autocast():
    workload = Recurrent(nn.LSTM)
    spec = TrialSpec(workload, TrainingConfig(precision="amp-fp16", zero_grad="before-forward"), 4)
    model = build_model(workload, spec.config, META)
    simulate(spec, model, CUDA)
    assert {x.grad.dtype for x in model.parameters()} == {torch.float32}


def test_the_state_of_dropout_is_allocated_once():
    trace = steps(Recurrent(nn.LSTM, num_layers=2, dropout=0.5)).trace
    assert sum(str(block.operation) == "cuDNN dropout state" for block in trace.blocks) == 1


def test_a_layer_in_eval_mode_has_no_backward_pass_as_with_cudnn():
    layer = nn.LSTM(8, 16, device=META).eval()
    flatten_weights(layer)
    with simulating(CUDA) as session, SimulatedDevice(session, ShapeCache()):
        loss = layer(torch.empty(5, 4, 8, device=META))[0].sum()
        with pytest.raises(RuntimeError, match="training mode"):
            loss.backward()


@pytest.mark.parametrize("cell", [nn.LSTMCell, nn.GRUCell])
def test_cuda_fuses_a_cell(cell):
    made = blocks_of(cell(8, 16, device=META), torch.empty(4, 8, device=META))
    assert any("_thnn_fused" in operation for operation, _ in made)
    with MemoryTracker("meta") as tracker:
        cell(8, 16, device=META)(torch.empty(4, 8, device=META))
    assert not any("_thnn_fused" in str(block.operation) for block in tracker.trace.blocks)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_packed_sequences_run_in_one_call_too(kind):
    full, packed = Recurrent(kind), Recurrent(kind, packed=True)
    peaks = [steps(x, batch_size=512).free_running.peak_allocated_bytes for x in (full, packed)]
    assert peaks[1] < peaks[0]
    trace = steps(packed).trace
    assert any("_cudnn_rnn" in str(block.operation) for block in trace.blocks)
