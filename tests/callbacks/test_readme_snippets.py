"""The README's snippets of the callbacks, in real trainings."""

import re
from pathlib import Path

import pytest
import torch
import transformers
from lightning import pytorch as lightning
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

README = (Path(__file__).parents[2] / "README.md").read_text()
pytestmark = [pytest.mark.usefixtures("home"), pytest.mark.filterwarnings("ignore")]


def snippet(name):
    fences = re.findall(r"^```python\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    (found,) = [text for text in fences if re.search(rf"import {name}\b", text)]
    return found


def run(name, **names):
    exec(compile(snippet(name), "README.md", "exec"), names)
    return names["trainer"]


def test_the_one_for_transformers(tmp_path, capsys):
    class Samples(Dataset):
        def __len__(self):
            return 16

        def __getitem__(self, index):
            return {"input_ids": torch.arange(8), "labels": index % 2}

    shape = transformers.BertConfig(
        vocab_size=32, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16,
    )  # fmt: skip
    args = transformers.TrainingArguments(
        output_dir=str(tmp_path), use_cpu=True, report_to=[], max_steps=1, save_strategy="no"
    )
    model = transformers.BertForSequenceClassification(shape)
    trainer = run(
        "MemoryMarkCallback", Trainer=transformers.Trainer, model=model, args=args,
        samples=Samples(),
    )  # fmt: skip
    assert trainer.state.global_step == 1
    assert "Batch 8 of BertForSequenceClassification fits on NVIDIA L4" in capsys.readouterr().err


def test_the_one_for_lightning(tmp_path, monkeypatch, capsys):
    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def training_step(self, batch, batch_index):
            return nn.functional.mse_loss(self.layer(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    class Data(lightning.LightningDataModule):
        batch_size = 8

        def train_dataloader(self):
            return DataLoader(TensorDataset(torch.rand(32, 4), torch.rand(32, 4)), self.batch_size)

    monkeypatch.chdir(tmp_path)
    trainer = run(
        "LightningMemoryMarkCallback", Trainer=lightning.Trainer, module=Module(), data=Data()
    )
    assert trainer.global_step == 3
    assert "Batch 8 of Module fits on NVIDIA L4" in capsys.readouterr().err
