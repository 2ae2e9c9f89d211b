"""The callback of transformers' Trainer, in real trainings of a tiny model on the CPU."""

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

from memorymark.callbacks import MemoryMarkCallback
from memorymark.errors import DoesNotFit, InvalidValue, UnknownChoice

pytestmark = pytest.mark.usefixtures("home")

LENGTH = 16
BUDGET = "48MiB"  # not enough for 128 samples
SIZES = {
    "vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 1024, "max_position_embeddings": 64,
}  # fmt: skip


class Samples(torch.utils.data.Dataset):
    """Random samples; reading one draws a random number, as augmentations do."""

    def __init__(self, count=128):
        self.read = []
        self.tokens = torch.randint(64, (count, LENGTH), generator=torch.Generator().manual_seed(0))

    def __len__(self):
        return len(self.tokens)

    def __getitem__(self, index):
        torch.rand(1)
        return {"input_ids": self.tokens[index], "labels": index % 2}


def trainer(tmp_path, *callbacks, kind=Trainer, dataset=None, **arguments):
    torch.manual_seed(0)
    model = BertForSequenceClassification(BertConfig(**SIZES))
    arguments = {"per_device_train_batch_size": 4, "max_steps": 4, "logging_steps": 1} | arguments
    args = TrainingArguments(
        output_dir=str(tmp_path), use_cpu=True, report_to=[], save_strategy="no",
        disable_tqdm=True, **arguments,
    )  # fmt: skip
    return kind(model, args, train_dataset=dataset or Samples(), callbacks=list(callbacks))


def losses(trainer):
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def weights(trainer):
    return [p.detach().clone() for p in trainer.model.parameters()]


def test_a_training_that_fits_is_bit_for_bit_the_same(tmp_path):
    said = []
    callback = MemoryMarkCallback(gpu="l4", say=said.append)
    plain = trainer(tmp_path)
    plain.train()
    checked = trainer(tmp_path, callback)
    checked.train()
    assert losses(plain) == losses(checked) and len(losses(checked)) == 4
    assert all(torch.equal(*pair) for pair in zip(weights(plain), weights(checked), strict=True))
    assert callback.fit and callback.fit.batch_size == 4
    assert "Batch 4 of BertForSequenceClassification fits on NVIDIA L4" in said[0]


def test_a_training_that_does_not_fit_stops_before_its_first_step(tmp_path):
    callback = MemoryMarkCallback(gpu="l4", memory_budget=BUDGET)
    stopped = trainer(tmp_path, callback, per_device_train_batch_size=128)
    before = weights(stopped)
    with pytest.raises(
        DoesNotFit, match=r"largest batch that fits is [1-9]\d*\..*find=True"
    ) as why:
        stopped.train()
    assert why.value.fit.max_batch_size < 128
    assert stopped.state.global_step == 0
    assert all(torch.equal(*pair) for pair in zip(before, weights(stopped), strict=True))


def test_it_only_warns_where_that_is_asked_for(tmp_path):
    said = []
    callback = MemoryMarkCallback(gpu="l4", memory_budget=BUDGET, on_misfit="warn", say=said.append)
    warned = trainer(tmp_path, callback, per_device_train_batch_size=128, max_steps=1)
    warned.train()
    assert warned.state.global_step == 1
    assert "does not fit" in said[0]


def test_it_finds_the_batch_and_keeps_the_effective_one(tmp_path):
    said = []
    callback = MemoryMarkCallback(gpu="l4", memory_budget=BUDGET, find=True, say=said.append)
    found = trainer(tmp_path, callback, per_device_train_batch_size=128, max_steps=1)
    args = found.args
    assert args.per_device_train_batch_size < 128
    assert args.per_device_train_batch_size * args.gradient_accumulation_steps == 128
    assert f"set to {args.per_device_train_batch_size}" in said[0]
    found.train()
    assert found.state.global_step == 1
    assert callback.fit.batch_size == args.per_device_train_batch_size


def test_what_it_finds_allows_for_activations_that_are_recomputed(tmp_path, monkeypatch):
    monkeypatch.setitem(SIZES, "num_hidden_layers", 8)
    found = {}
    for recomputes in (False, True):
        callback = MemoryMarkCallback(gpu="l4", memory_budget=BUDGET, find=True, say=lambda _: None)
        how = {"per_device_train_batch_size": 128, "gradient_checkpointing": recomputes}
        args = trainer(tmp_path, callback, **how).args
        found[recomputes] = args.per_device_train_batch_size
    assert found[True] > found[False]


def test_precision_and_accumulation_are_the_trainers(tmp_path):
    callback = MemoryMarkCallback(gpu="l4", say=lambda sentence: None)
    mixed = trainer(tmp_path, callback, bf16=True, gradient_accumulation_steps=2, max_steps=1)
    mixed.train()
    assert callback.fit.config.precision == "amp-bf16"
    assert callback.fit.config.gradient_accumulation == 2
    assert callback.fit.config.loop == "trainer"


class Weighing(Trainer):
    """A Trainer with a loss of its own, which keeps what it has seen."""

    def __init__(self, *args, **kwargs):
        self.seen = []
        super().__init__(*args, **kwargs)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        loss = torch.nn.functional.cross_entropy(outputs.logits, labels)
        loss = loss + 0.01 * sum(p.square().sum() for p in self.model.parameters())
        self.seen.append(loss.item())
        return (loss, outputs) if return_outputs else loss


def test_a_loss_of_its_own_is_used_and_nothing_of_it_is_kept(tmp_path):
    said = []
    callback = MemoryMarkCallback(gpu="l4", say=said.append)
    own = trainer(tmp_path, callback, kind=Weighing, max_steps=1)
    own.train()
    assert callback.fit, said
    assert len(own.seen) == 1


def test_what_cannot_be_checked_is_said_and_trains(tmp_path):
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter([Samples()[i] for i in range(8)])

    said = []
    callback = MemoryMarkCallback(gpu="l4", say=said.append)
    streamed = trainer(tmp_path, callback, dataset=Stream(), max_steps=1)
    streamed.train()
    assert "was not checked" in said[0] and "batch=" in said[0]
    assert callback.fit is None and streamed.state.global_step == 1


def test_a_batch_of_the_longest_samples_is_checked(tmp_path):
    said = []
    callback = MemoryMarkCallback(gpu="l4", longest=64, say=said.append)
    first = MemoryMarkCallback(gpu="l4", say=said.append)
    for each in (callback, first):
        trainer(tmp_path, each, max_steps=1).train()
    held = [each.fit.trial.breakdown.inputs for each in (callback, first)]
    assert held[0] > held[1]


def test_wrong_arguments_are_refused(tmp_path):
    with pytest.raises(InvalidValue, match="stop or warn"):
        MemoryMarkCallback(on_misfit="cry")
    with pytest.raises(UnknownChoice, match="l4"):
        trainer(tmp_path, MemoryMarkCallback(gpu="l44"), max_steps=1).train()
