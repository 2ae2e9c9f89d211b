"""The loop ends where the text does, where it is long enough, or within a token of a stop."""

import pytest
import torch
from tiny_models import decoder, prompt, t5, whisper

from memorymark.errors import WorkloadError
from memorymark.inference.choosing import Chooser
from memorymark.inference.generate import generate
from memorymark.inference.inference_step import InferenceStep
from memorymark.records.generation_plan import GenerationPlan
from memorymark.records.generation_run import Ending
from memorymark.records.serving_config import ServingConfig


def run(model=None, inputs=None, *, most=6, opening=(), **more):
    step = InferenceStep(
        model or decoder("llama"), ServingConfig(weights="fp32"),
        Chooser(GenerationPlan(), opening=opening),
    )  # fmt: skip
    tokens, given = [], inputs or fixed_prompt()
    told = {"read": int, "on_token": lambda token, state: tokens.append(token), **more}
    return generate(step, given, most=most, opening=len(opening), **told), tokens


def fixed_prompt():
    torch.manual_seed(1)
    return prompt(batch_size=1)


@pytest.mark.parametrize("name", ["gpt2", "llama", "mistral", "mamba"])
def test_the_tokens_are_those_of_transformers(name):
    model, inputs = decoder(name), fixed_prompt()
    told = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    expected = model.generate(**inputs, **told)[0, 12:].tolist()
    assert run(model, inputs) == (Ending.LENGTH, expected)


def test_the_tokens_of_an_encoder_and_a_decoder_are_those_of_transformers():
    model, inputs = t5(), fixed_prompt()
    told = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False}
    assert run(model, inputs)[1] == model.generate(**inputs, **told)[0, 1:].tolist()


def test_the_end_of_a_text_is_handed_on_and_the_last_token():
    _, tokens = run()
    ends = {next(token for token in tokens[1:] if token != tokens[0])}
    ending, told = run(ends=ends)
    assert ending is Ending.END and told == tokens[: len(told)] and set(told[-1:]) == ends


@pytest.mark.parametrize("after", [1, 3])
def test_a_stop_ends_within_a_token(after):
    made = []
    ending, tokens = run(
        most=50, on_token=lambda token, state: made.append(token),
        is_stopped=lambda: len(made) == after,
    )  # fmt: skip
    assert ending is Ending.STOPPED and len(made) == after and tokens == []


def test_an_opening_is_read_and_not_handed_on():
    model, sound = whisper(), {"input_features": torch.randn(1, 20, 100)}
    ending, tokens = run(model, sound, opening=(7, 8), most=3)
    start = torch.tensor([[1, 7, 8, *tokens[:-1]]])
    with torch.no_grad():
        expected = model(**sound, decoder_input_ids=start).logits.argmax(-1)[0, 2:].tolist()
    assert ending is Ending.LENGTH and tokens == expected


def test_logits_that_are_no_numbers_end_with_a_sentence():
    model = decoder("gpt2")
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(WorkloadError, match="hold NaN or infinity, so that no token"):
        run(model)
