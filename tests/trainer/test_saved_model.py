import json

import torch
from small_trainings import small_job, train_small
from transformers import AutoModelForCausalLM

from memorymark.probes.cpu import CpuProbe
from memorymark.trainer.saved_model import save_model
from memorymark.trainer.training import Training
from memorymark.units import MIB


def test_the_model_opens_in_transformers_and_says_the_same(tmp_path):
    run = train_small(small_job(steps=5, learning_rate=0.01, checkpoint=str(tmp_path)))
    model = AutoModelForCausalLM.from_pretrained(run.model_folder).eval()
    ids = torch.arange(16)[None]
    loss = model(input_ids=ids, labels=ids).loss
    assert loss.item() < 3.5
    assert json.loads((tmp_path / "model" / "config.json").read_text())["model_type"] == "gpt2"


def test_adapters_are_added_to_the_weights(tmp_path):
    job = small_job(steps=5, learning_rate=0.1, config={"lora_rank": 2, "dropout": False})
    training = Training(job, CpuProbe(512 * MIB))
    with training.limit.held():
        for _ in range(5):
            training.run_step(5)
    ids = torch.arange(16)[None]
    expected = training.model.eval()(input_ids=ids).logits
    plain = AutoModelForCausalLM.from_pretrained(save_model(training.model, tmp_path)).eval()
    assert not any("lora" in name for name, _ in plain.named_parameters())
    torch.testing.assert_close(plain(input_ids=ids).logits, expected, rtol=1e-4, atol=1e-5)
