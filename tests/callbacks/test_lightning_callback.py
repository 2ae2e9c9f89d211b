"""The callback of Lightning's Trainer, in real trainings of a tiny model on the CPU."""

import importlib

import pytest
import torch
from lightning import pytorch as lightning
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from memorymark.callbacks import LightningMemoryMarkCallback
from memorymark.errors import DoesNotFit

pytestmark = [
    pytest.mark.usefixtures("home"),
    pytest.mark.filterwarnings("ignore"),  # of Lightning, about few workers and the like
]

WIDTH, SAMPLES = 1024, 256
BUDGET = "40MiB"  # enough for the model, not for all samples at once


class Net(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.first, self.dropout, self.last = nn.Linear(8, WIDTH), nn.Dropout(), nn.Linear(WIDTH, 8)
        self.losses = []

    def training_step(self, batch, batch_index):
        x, y = batch
        x = torch.cat([torch.relu(self.first(x)) * k for k in range(1, 17)])
        noise = torch.zeros(1, device=self.device)
        x = self.last(self.dropout(x)) + noise
        loss = nn.functional.mse_loss(x, y.repeat(16, 1))
        self.log("loss", loss)
        self.losses.append(loss.item())
        return loss

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def data(count=SAMPLES):
    return TensorDataset(torch.rand(count, 8), torch.rand(count, 8))


class Data(lightning.LightningDataModule):
    def __init__(self, batch_size):
        super().__init__()
        self.batch_size, self.data = batch_size, data()

    def train_dataloader(self):
        return DataLoader(self.data, self.batch_size, shuffle=True)


def fit(
    tmp_path, *callbacks, batch_size=16, kind=Net, datamodule=False, library=lightning, **options
):
    lightning.seed_everything(0, verbose=False)
    model = kind()
    trainer = library.Trainer(
        accelerator="cpu", max_steps=3, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
        callbacks=list(callbacks), **options,
    )  # fmt: skip
    loader = Data(batch_size)
    loader = (
        {"datamodule": loader} if datamodule else {"train_dataloaders": loader.train_dataloader()}
    )
    trainer.fit(model, **loader)
    return trainer, model


def test_a_training_that_fits_is_bit_for_bit_the_same(tmp_path):
    said = []
    callback = LightningMemoryMarkCallback(gpu="l4", say=said.append)
    _, plain = fit(tmp_path)
    _, checked = fit(tmp_path, callback)
    assert plain.losses == checked.losses and len(checked.losses) == 3
    pairs = zip(plain.parameters(), checked.parameters(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)
    assert "Batch 16 of Net fits on NVIDIA L4" in said[0]
    assert (callback.fit.config.loop, callback.fit.config.zero_grad) == (
        "trainer",
        "before-backward",
    )


def test_a_training_that_does_not_fit_stops_before_its_first_step(tmp_path):
    callback = LightningMemoryMarkCallback(gpu="l4", memory_budget=BUDGET)
    with pytest.raises(DoesNotFit, match=r"largest batch that fits is \d+\..*accumulate") as why:
        fit(tmp_path, callback, batch_size=SAMPLES)
    assert 0 < why.value.fit.max_batch_size < SAMPLES


def test_it_only_warns_where_that_is_asked_for(tmp_path):
    said = []
    callback = LightningMemoryMarkCallback(
        gpu="l4", memory_budget=BUDGET, on_misfit="warn", say=said.append
    )
    trainer, _ = fit(tmp_path, callback, batch_size=SAMPLES)
    assert trainer.global_step == 3
    assert "does not fit" in said[0]


def test_it_finds_the_batch_of_a_data_module(tmp_path):
    said = []
    callback = LightningMemoryMarkCallback(
        gpu="l4", memory_budget=BUDGET, find=True, say=said.append
    )
    trainer, _ = fit(tmp_path, callback, batch_size=SAMPLES, datamodule=True)
    found = trainer.datamodule.batch_size
    assert 0 < found < SAMPLES
    assert found * trainer.accumulate_grad_batches == SAMPLES
    assert callback.fit.fits and callback.fit.batch_size == found
    assert f"batch_size was set to {found}" in said[0]


def test_it_says_how_to_set_a_batch_that_it_cannot_set(tmp_path):
    said = []
    callback = LightningMemoryMarkCallback(gpu="l4", find=True, say=said.append)
    fit(tmp_path, callback)
    assert "LightningDataModule" in said[0] and "fits" in said[1]


def test_precision_and_accumulation_are_the_trainers(tmp_path):
    callback = LightningMemoryMarkCallback(gpu="l4", say=lambda sentence: None)
    fit(tmp_path, callback, precision="bf16-mixed", accumulate_grad_batches=2)
    assert callback.fit.config.precision == "amp-bf16"
    assert callback.fit.config.gradient_accumulation == 2


class Manual(Net):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, batch_index):
        loss = nn.functional.mse_loss(self.last(self.first(batch[0])), batch[1])
        self.manual_backward(loss)
        self.optimizers().step()


def test_what_cannot_be_checked_is_said_and_trains(tmp_path):
    said = []
    callback = LightningMemoryMarkCallback(gpu="l4", say=said.append)
    trainer, _ = fit(tmp_path, callback, kind=Manual)
    assert "was not checked" in said[0] and "step=" in said[0]
    assert trainer.global_step == 3


def test_both_names_of_the_package_take_it(tmp_path):
    other = importlib.import_module("pytorch_lightning")
    callback = LightningMemoryMarkCallback(gpu="l4", say=lambda sentence: None)

    class Other(other.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def training_step(self, batch, batch_index):
            return nn.functional.mse_loss(self.layer(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    trainer, _ = fit(tmp_path, callback, kind=Other, library=other)
    assert trainer.global_step == 3 and callback.fit
