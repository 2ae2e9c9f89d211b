"""Models whose images are read by another part write what transformers' own `generate` does."""

import pytest
import torch
from generators import tiny_blip, tiny_blip2, tiny_captioner, tiny_llava
from tiny_models import decoder

from memorymark.errors import UnsupportedOperation
from memorymark.inference.generate import generate
from memorymark.inference.inference_step import InferenceStep
from memorymark.inference.writers import looks_again, writer_of
from memorymark.records.config import TrainingConfig
from memorymark.records.serving_config import ServingConfig

NEW = 5


def built(workload):
    torch.manual_seed(0)
    return workload.build(TrainingConfig(seq_len=16, dropout=False)).eval()


def written(model, inputs):
    tokens = []
    generate(
        InferenceStep(model, ServingConfig(weights="fp32")), inputs, most=NEW, read=int,
        on_token=lambda token, state: tokens.append(token),
    )  # fmt: skip
    return tokens


def pixels():
    return torch.rand(1, 3, 32, 32)


def test_a_captioner_looks_at_its_image_with_every_token():
    model, image = built(tiny_blip()), pixels()
    assert looks_again(model) and writer_of(model) is model.text_decoder
    told = {"max_new_tokens": NEW, "min_new_tokens": NEW, "do_sample": False}
    ids = torch.tensor([[1, 30, 40, 2]])  # its generate takes off the last one
    expected = model.generate(image, ids.clone(), **told)[0, 3:].tolist()
    assert written(model, {"pixel_values": image, "input_ids": ids[:, :-1]}) == expected


@pytest.mark.parametrize("make", [tiny_blip2, tiny_llava])
def test_an_image_among_the_tokens_is_read_once(make):
    model, image = built(make()), pixels()
    assert not looks_again(model)
    count = 4 if make is tiny_blip2 else 16
    ids = torch.tensor([[*[190] * count, 11, 12]])
    given = {"pixel_values": image, "input_ids": ids, "attention_mask": torch.ones_like(ids)}
    told = {"max_new_tokens": NEW, "min_new_tokens": NEW, "do_sample": False}
    expected = model.generate(**given, **told)[0, -NEW:].tolist()
    assert written(model, given) == expected


def test_an_encoder_of_images_with_a_decoder_writes():
    model, image = built(tiny_captioner()), pixels()
    model.config.decoder_start_token_id = 1
    told = {
        "max_new_tokens": NEW, "min_new_tokens": NEW, "do_sample": False, "pad_token_id": 0,
        "decoder_start_token_id": 1,
    }  # fmt: skip
    assert written(model, {"pixel_values": image}) == model.generate(image, **told)[0, 1:].tolist()


def test_a_model_writes_itself_unless_it_is_known_otherwise():
    model = decoder("llama")
    assert writer_of(model) is model
    blip = built(tiny_blip2())
    blip.language_model.config.is_encoder_decoder = True
    with pytest.raises(UnsupportedOperation, match="only decoders are run behind an image"):
        writer_of(blip)
