"""Loaded weights are those of the folder, in the form in which a model without data is built."""

import pytest
import torch
from generators import saved, spec_of
from tiny import tiny_gpt2, tiny_llama, tiny_t5

from memorymark.errors import UsageError, WorkloadError
from memorymark.memory.storage import storage_key
from memorymark.records.config import Task
from memorymark.workloads import resolve
from memorymark.workloads.huggingface import HuggingFaceWorkload
from memorymark.workloads.read_weights import missing_weights
from memorymark.workloads.served_model import build_served, served

CPU, META = torch.device("cpu"), torch.device("meta")


def layout(model):
    """Name, format and storage of each tensor."""
    named = [*model.named_parameters(), *model.named_buffers()]
    keys = list(dict.fromkeys(storage_key(x) for _, x in named))
    return [
        (name, x.dtype, keys.index(storage_key(x)), x.untyped_storage().nbytes())
        for name, x in named
    ]


@pytest.mark.parametrize("weights", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama, tiny_t5])
def test_random_loaded_and_without_data_a_model_is_laid_out_alike(tmp_path, make, weights):
    model = saved(make(), tmp_path, weights)
    built_as = spec_of(make(), weights=weights).built_as
    loaded = build_served(make(), built_as, CPU, tmp_path)
    assert layout(loaded) == layout(model) == layout(build_served(make(), built_as, META))
    assert missing_weights(loaded) is None and not loaded.training
    for name, parameter in loaded.named_parameters():
        assert torch.equal(parameter, model.get_parameter(name))


def test_weights_in_shards_are_read(tmp_path):
    model = saved(tiny_llama(), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    model.save_pretrained(tmp_path, max_shard_size="100KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    loaded = build_served(tiny_llama(), spec_of(tiny_llama()).built_as, CPU, tmp_path)
    assert torch.equal(loaded.lm_head.weight, model.lm_head.weight)


@pytest.mark.parametrize("size", [0, 7, 1000])
def test_damaged_weights_are_a_sentence(tmp_path, size):
    saved(tiny_llama(), tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(WorkloadError, match=r"The weights in .* cannot be read: ") as caught:
        build_served(tiny_llama(), spec_of(tiny_llama()).built_as, CPU, tmp_path)
    assert "\n" not in str(caught.value)


def gpt2_of_the_same_width():
    from transformers import GPT2Config

    config = GPT2Config(vocab_size=500, n_embd=64, n_layer=2, n_head=2, n_positions=64)
    return HuggingFaceWorkload("gpt2-64", config, Task.CAUSAL_LM)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (gpt2_of_the_same_width, "are of another model: 27 of GPT2LMHeadModel's 28 weights"),
        (tiny_gpt2, "cannot be read: "),  # of another width
    ],
)
def test_weights_of_another_model_are_refused(tmp_path, make, said):
    saved(tiny_llama(), tmp_path)
    with pytest.raises(WorkloadError, match=said) as caught:
        build_served(make(), spec_of(make()).built_as, CPU, tmp_path)
    assert "\n" not in str(caught.value)


def test_what_a_folder_lacks_is_said(tmp_path):
    from safetensors.torch import load_file, save_file

    saved(tiny_llama(), tmp_path)
    file = str(tmp_path / "model.safetensors")
    left = {name: x for name, x in load_file(file).items() if name != "lm_head.weight"}
    save_file(left, file, {"format": "pt"})
    loaded = build_served(tiny_llama(), spec_of(tiny_llama()).built_as, CPU, tmp_path)
    assert missing_weights(loaded).startswith(
        "Random, since the folder has no weights for them: lm"
    )


def test_only_models_of_transformers_are_used():
    with pytest.raises(UsageError, match="no model of Hugging Face transformers"):
        served(resolve("torchvision:squeezenet1_1"))
