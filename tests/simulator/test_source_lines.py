"""The line that is named is the model's."""

import torch
from torch import nn

from memorymark.records.serving_config import ServingConfig
from memorymark.records.session_run import SessionPlan
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.simulated_sessions import simulate_sessions
from memorymark.simulator.source_lines import running_line
from memorymark.workloads.build import build_model
from memorymark.workloads.huggingface import HuggingFaceWorkload
from memorymark.workloads.serving_spec import ServingSpec


class Asking(nn.Module):
    def forward(self, x):
        return running_line()


def test_the_line_is_that_of_the_model():
    assert "test_source_lines.py" in Asking()(torch.zeros(1))
    assert "return running_line()" in Asking()(torch.zeros(1))


def test_lines_of_torch_are_passed_over():
    found = []
    layer = nn.Linear(1, 1)
    layer.register_forward_hook(lambda *args: found.append(running_line()))
    layer(torch.zeros(1))
    assert "found.append" in found[0]


def test_whoever_asks_for_a_token_is_not_the_model():
    """A line of transformers is told, and none of a file that calls the library."""
    from transformers import MixtralConfig

    config = MixtralConfig(
        vocab_size=50, hidden_size=32, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, num_local_experts=4,
    )  # fmt: skip
    serving = ServingConfig(context_tokens=8, output_tokens=2)
    spec = ServingSpec(HuggingFaceWorkload("routed", config), serving, SessionPlan(sessions=1))
    model = build_model(spec.workload, spec.built_as, torch.device("meta"))
    found = simulate_sessions(spec, model, Rules(Platform.CUDA, (8, 0)), None)
    assert any("chooses by values" in sentence for sentence in found.assumptions)
    assert not any("test_source_lines.py" in sentence for sentence in found.assumptions)
