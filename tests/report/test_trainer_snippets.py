"""Scripts for transformers' Trainer are run by the real one, on the CPU.

What agrees: the peak, to the byte, but for one batch and a few counters. accelerate's data loader
holds the next batch while one is trained with. On a GPU that one waits in the host's memory; here
the tracker counts it. The counters are the Trainer's own, of numbers of samples and tokens.
"""

from __future__ import annotations

import pytest
import test_snippets as scripts
from test_snippets import BATCH_SIZE, config_of, models, one_thread, promised  # noqa: F401

from memorymark.errors import UsageError
from memorymark.memory.torch_parts import tree_leaves
from memorymark.records.config import TrainingConfig
from memorymark.report.snippets import trainer_snippet, training_arguments
from memorymark.workloads.registry import resolve

AS_TRAINER = {"loop": "trainer", "use_cache": "off"}
COUNTERS_BYTES = 64
QUIET = 'save_strategy="no", report_to="none", disable_tqdm=True,'


def peak_of(text, folder):
    """Run a script in a folder and return the most that was alive, in bytes."""
    assert 'save_strategy="no",' in text and 'output_dir="out"' in text
    text = text.replace('output_dir="out"', f"output_dir={str(folder)!r}")
    return scripts.peak_of(text.replace('save_strategy="no",', QUIET))


def batch_bytes(name, config):
    batch = resolve(name).batch(BATCH_SIZE, config)
    return sum(tensor.nbytes for tensor in tree_leaves(batch))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("bert", {"freeze": "*embed*", "precision": "bf16"}),
        ("gpt2", {"gradient_accumulation": 2}),
        ("llama", {"gradient_checkpointing": True, "optimizer": "sgd"}),
        ("resnet", {"optimizer": "adam"}),
        ("t5", {"grad_clip": 1.0, "optimizer": "sgd-momentum"}),
        ("gpt2", {"lora_rank": 4}),
    ],
    ids=str,
)
def test_the_trainer_needs_what_was_measured(models, tmp_path, name, settings):  # noqa: F811
    config = config_of(name, **AS_TRAINER, **settings)
    expected = promised(models[name], config)
    found = peak_of(trainer_snippet(models[name], config, BATCH_SIZE), tmp_path)
    beyond = found - expected - batch_bytes(models[name], config)
    assert 0 <= beyond <= COUNTERS_BYTES


def test_mixed_precision_in_the_trainer_holds_its_outputs_in_fp32_too(models, tmp_path):  # noqa: F811
    """accelerate copies what autocast returns to fp32: logits, which the plain loop leaves."""
    config = config_of("gpt2", **AS_TRAINER, precision="amp-bf16")
    expected = promised(models["gpt2"], config)
    found = peak_of(trainer_snippet(models["gpt2"], config, BATCH_SIZE), tmp_path)
    logits_bytes = BATCH_SIZE * config.seq_len * 200 * 4
    beyond = found - expected - batch_bytes(models["gpt2"], config)
    assert 0 <= beyond <= logits_bytes + COUNTERS_BYTES


def test_arguments_say_what_the_trainer_has_arguments_for():
    config = TrainingConfig(
        precision="amp-bf16", gradient_accumulation=4, gradient_checkpointing=True, use_cache="on",
        optimizer_impl="fused", grad_clip=0.5,
    )  # fmt: skip
    made = arguments_of(training_arguments(config, 12))
    assert (made["per_device_train_batch_size"], made["gradient_accumulation_steps"]) == (12, 4)
    assert made["bf16"] and made["gradient_checkpointing"] and made["use_cache"]
    assert (made["optim"], made["max_grad_norm"]) == ("adamw_torch_fused", 0.5)


def arguments_of(text):
    """Return what a text gives to TrainingArguments, which takes all of it."""
    import transformers

    found = {}

    def note(**given):
        found.update(given)

    exec(text, {"TrainingArguments": note})
    assert found.keys() <= transformers.TrainingArguments.__dataclass_fields__.keys()
    return found


def test_gradients_are_clipped_only_where_it_was_asked_for():
    """The Trainer's default is 1.0."""
    assert arguments_of(training_arguments(TrainingConfig(), 8))["max_grad_norm"] == 0.0


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"precision": "bf16"}, "model = model.to(torch.bfloat16)"),
        ({"channels_last": True}, "model.to(memory_format=torch.channels_last)"),
        ({"expandable_segments": True}, 'os.environ["PYTORCH_ALLOC_CONF"]'),
        ({"attention": "eager"}, 'attn_implementation="eager"'),
        ({"optimizer": "adafactor"}, "torch.optim.Adafactor("),
        ({"lora_rank": 8}, "LoraConfig(r=8)"),
        ({"freeze": "*embed*"}, "of *embed*"),
        ({"dropout": False}, "model.train()"),
        ({"zero_grad": "before-backward"}, "after the optimizer step"),
    ],
    ids=str,
)
def test_what_has_no_argument_is_said_with_the_line_that_does_it(settings, line):
    text = training_arguments(TrainingConfig(**settings), 8)
    assert any(line in said for said in text.splitlines() if said.startswith("#"))
    arguments_of(text)


def test_a_model_that_returns_no_loss_has_no_trainer_script():
    with pytest.raises(UsageError, match="plain PyTorch"):
        trainer_snippet("torchvision:resnet18", TrainingConfig(), 8)
