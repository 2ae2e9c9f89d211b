"""What is frozen does not train, takes no gradient and no states, and is said."""

import pytest
import torch
from tiny import TinyNet, tiny_bert, tiny_gpt2

from memorymark.errors import UnknownChoice, WorkloadError
from memorymark.probes.cpu import CpuProbe
from memorymark.records.config import Task, TrainingConfig
from memorymark.workloads.build import build_model, findings_on
from memorymark.workloads.trial_spec import TrialSpec

META = torch.device("meta")


def built(workload, freeze, **options):
    config = workload.describe(TrainingConfig(seq_len=16, freeze=freeze, **options))
    return build_model(workload, config, META)


def frozen(model):
    return {name for name, p in model.named_parameters() if not p.requires_grad}


def test_names_and_patterns_freeze():
    model = built(tiny_bert(), "bert.embeddings.*,classifier.bias")
    names = frozen(model)
    assert "classifier.bias" in names and "classifier.weight" not in names
    assert {name for name in names if name.startswith("bert.")} == {
        name for name, _ in model.named_parameters() if name.startswith("bert.embeddings.")
    }
    count = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    total = sum(p.numel() for p in model.parameters())
    (said,) = findings_on(model)
    assert said == f"Frozen are {count:,} of {total:,} parameters ({100 * count / total:.3g} %)."


def test_a_tied_weight_is_found_by_either_name():
    for name in ("lm_head.weight", "transformer.wte.weight"):
        assert frozen(built(tiny_gpt2(Task.CAUSAL_LM), name)) == {"transformer.wte.weight"}


def test_a_pattern_of_nothing_gets_the_nearest():
    with pytest.raises(UnknownChoice, match=r"'\*word_embedings\*'") as caught:
        built(tiny_bert(), "*word_embedings*")
    assert "Did you mean '*word_embeddings*'?" in str(caught.value)
    assert "'tiny-bert' has 41 of them, such as bert.embeddings" in str(caught.value)


def test_nothing_left_to_train_is_an_error():
    with pytest.raises(WorkloadError, match="All parameters of 'tiny-bert' are frozen by"):
        built(tiny_bert(), "*")


def test_adapters_can_be_frozen_too():
    model = built(tiny_bert(), "*layer.0.*", lora_rank=2)
    assert not any(".layer.0." in name for name, p in model.named_parameters() if p.requires_grad)
    (said,) = findings_on(model)
    assert said.startswith("LoRA of rank 2 trains ")


def test_the_backward_pass_ends_at_the_first_layer_that_trains():
    """No activation is kept of a part behind which nothing trains."""

    def activations(freeze):
        spec = TrialSpec(TinyNet(), TrainingConfig(freeze=freeze, optimizer="sgd"), 4096)
        return CpuProbe(2**30).run_trial(spec)

    whole, last = activations(None), activations("0.*")
    assert last.peak_allocated_bytes < whole.peak_allocated_bytes - 4096 * 256 * 4
