import dataclasses

import pytest
import torch
import transformers
from tiny import tiny_bert, tiny_gpt2, tiny_llama

from memorymark.errors import BatchTooLong, InvalidValue, UnknownChoice
from memorymark.records.config import Task, TrainingConfig
from memorymark.workloads.build import build_model, make_batch
from memorymark.workloads.huggingface import HuggingFaceWorkload
from memorymark.workloads.registry import resolve
from memorymark.workloads.trial_spec import TrialSpec

CPU = torch.device("cpu")
SMALL = {
    "vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 32, "max_position_embeddings": 40,
}  # fmt: skip


def small(kind, **values):
    config = getattr(transformers, f"{kind}Config")(**{**SMALL, **values})
    return HuggingFaceWorkload(kind, config)


def loss_of(workload, config, batch_size=3):
    config = workload.describe(config)
    model = build_model(workload, config, CPU)
    return workload.forward(model, make_batch(TrialSpec(workload, config, batch_size), CPU))


@pytest.mark.parametrize(
    "task",
    [
        Task.SEQUENCE_CLASSIFICATION,
        Task.TOKEN_CLASSIFICATION,
        Task.QUESTION_ANSWERING,
        Task.MULTIPLE_CHOICE,
        Task.CAUSAL_LM,
        Task.MASKED_LM,
    ],
)
def test_every_task_of_bert_has_a_loss(task):
    loss, _ = loss_of(tiny_bert(), TrainingConfig(task=task, seq_len=8))
    assert loss.numel() == 1 and loss.requires_grad and loss.isfinite()


def test_gpt2_classifies_batches_over_one():
    loss, outputs = loss_of(tiny_gpt2(), TrainingConfig(seq_len=8), batch_size=4)
    assert loss.isfinite() and outputs.logits.shape == (4, 2)


@pytest.mark.parametrize("configured", [True, False])
@pytest.mark.parametrize("asked", ["auto", "on", "off"])
def test_the_generation_cache_is_as_configured_or_as_asked(configured, asked):
    sizes = {**SMALL, "num_key_value_heads": 2}
    given = transformers.LlamaConfig(**sizes, use_cache=configured)
    workload = HuggingFaceWorkload("llama", given, Task.CAUSAL_LM)
    _, outputs = loss_of(workload, TrainingConfig(seq_len=8, use_cache=asked))
    expected = configured if asked == "auto" else asked == "on"
    assert (outputs.past_key_values is not None) is expected
    assert given.use_cache is configured


def test_recomputed_activations_make_no_generation_cache():
    config = TrainingConfig(seq_len=8, gradient_checkpointing=True)
    _, outputs = loss_of(tiny_gpt2(Task.CAUSAL_LM), config)
    assert not outputs.past_key_values or outputs.past_key_values.get_seq_length() == 0
    with pytest.raises(InvalidValue, match="makes no cache with gradient checkpointing"):
        tiny_gpt2(Task.CAUSAL_LM).describe(dataclasses.replace(config, use_cache="on"))


@pytest.mark.parametrize("length", ["audio_seconds", "num_frames"])
def test_lengths_of_what_the_model_does_not_take_are_refused(length):
    with pytest.raises(InvalidValue, match="accepted: nothing: 'tiny-gpt2' takes no"):
        tiny_gpt2(Task.CAUSAL_LM).describe(TrainingConfig(**{length: 5}))


def test_the_switch_reaches_the_configurations_within():
    text = {**SMALL, "num_key_value_heads": 2, "model_type": "llama"}
    vision = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    given = transformers.LlavaConfig(text_config=text, vision_config=vision)
    for asked, expected in (("auto", True), ("off", False)):
        made = HuggingFaceWorkload("llava", given)._training_config(
            TrainingConfig(task="causal-lm", use_cache=asked)
        )
        assert made.text_config.use_cache is expected


def test_a_model_without_a_generation_cache():
    for name in ("resnet", "torchvision:resnet18"):
        assert resolve(name).describe(TrainingConfig(use_cache="off")).use_cache == "off"
        with pytest.raises(InvalidValue, match=r"use cache.*auto or off.*no such cache"):
            resolve(name).describe(TrainingConfig(use_cache="on"))


def test_the_given_configuration_is_not_changed():
    given = transformers.GPT2Config(vocab_size=100, n_embd=32, n_layer=1, n_head=2)
    HuggingFaceWorkload("x", given).build(TrainingConfig(task="causal-lm", seq_len=8))
    assert given.pad_token_id is None and given.use_cache is True


@pytest.mark.parametrize(
    ("kind", "values", "limit"),
    [
        ("Bert", {}, 40),
        ("Roberta", {"pad_token_id": 1}, 38),
        ("OPT", {"word_embed_proj_dim": 32, "ffn_dim": 32}, 40),
    ],
)
def test_sequences_longer_than_the_table_of_positions(kind, values, limit):
    workload = small(kind, **values)
    assert loss_of(workload, TrainingConfig(seq_len=limit))[0].isfinite()
    with pytest.raises(BatchTooLong, match=rf"length is {limit + 1},.*table of {limit} ") as caught:
        workload.build(TrainingConfig(seq_len=limit + 1))
    assert caught.value.exit_code == 2


def test_models_without_a_table_take_any_length():
    workload = tiny_llama()
    config = workload.describe(TrainingConfig(seq_len=5000))
    assert workload.batch(1, config)["input_ids"].shape == (1, 5000)
    with torch.device("meta"):
        workload.build(config)


@pytest.mark.parametrize(
    ("architecture", "task"),
    [
        ("BertForMaskedLM", Task.MASKED_LM),
        ("BertForSequenceClassification", Task.SEQUENCE_CLASSIFICATION),
        ("BertForTokenClassification", Task.TOKEN_CLASSIFICATION),
        ("BertForQuestionAnswering", Task.QUESTION_ANSWERING),
        ("BertLMHeadModel", Task.CAUSAL_LM),
        (None, Task.MASKED_LM),
    ],
)
def test_the_default_task_follows_the_architecture(architecture, task):
    workload = small("Bert", architectures=[architecture] if architecture else None)
    assert workload.describe(TrainingConfig(seq_len=8)).task is task


def test_labels():
    config = TrainingConfig(task="sequence-classification", num_labels=7, seq_len=8)
    _, outputs = loss_of(small("Bert"), config)
    assert outputs.logits.shape == (3, 7)
    described = small("Bert", num_labels=5).describe(TrainingConfig(task=config.task, seq_len=8))
    assert described.num_labels == 5
    assert small("Bert").describe(TrainingConfig(task="masked-lm")).num_labels is None


def test_attention_by_name():
    for name, implementation in (("sdpa", "sdpa"), ("eager", "eager")):
        model = tiny_bert().build(TrainingConfig(attention=name, seq_len=8))
        assert model.config._attn_implementation == implementation


def test_flash_attention_needs_16_bits():
    with pytest.raises(InvalidValue, match="amp-bf16"):
        tiny_bert().describe(TrainingConfig(attention="flash"))
    given = TrainingConfig(attention="flash", precision="bf16")
    assert tiny_bert().describe(given).attention == "flash"


def test_images_of_a_fixed_size():
    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        image_size=32, patch_size=8,
    )  # fmt: skip
    workload = HuggingFaceWorkload("vit", config)
    assert loss_of(workload, TrainingConfig(image_size=32))[0].isfinite()
    with pytest.raises(BatchTooLong, match="32 pixels, not 48"):
        workload.describe(TrainingConfig(image_size=48))


def test_images_in_the_form_that_the_model_takes():
    clusters = transformers.ImageGPTConfig(
        n_embd=32, n_layer=1, n_head=2, vocab_size=17, n_positions=16
    )
    size = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    patches = transformers.Siglip2Config(
        vision_config={**size, "intermediate_size": 32, "patch_size": 4, "num_patches": 9},
    )
    config = TrainingConfig(task="image-classification", num_labels=3)
    for hf_config in (clusters, patches):
        workload = HuggingFaceWorkload(hf_config.model_type, hf_config)
        assert loss_of(workload, config)[0].isfinite()


def test_batches_are_full_and_in_range():
    batch = tiny_bert().batch(5, TrainingConfig(seq_len=8))
    assert batch["input_ids"].shape == (5, 8) and batch["attention_mask"].all()
    assert batch["input_ids"].min() >= 0 and batch["input_ids"].max() < 500
    assert set(batch["labels"].tolist()) <= {0, 1}


def test_a_task_that_the_model_has_no_class_for_is_refused():
    with pytest.raises(UnknownChoice, match=r"task for resnet 'causal-lm'.*image-classification"):
        resolve("resnet").describe(TrainingConfig(task="causal-lm"))
