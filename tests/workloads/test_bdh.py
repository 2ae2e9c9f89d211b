"""BDH is what its equations say, token by token and all at once."""

import json
import math

import pytest
import torch
from torch.nn import functional

from memorymark.errors import WorkloadError
from memorymark.records.config import Task, TrainingConfig
from memorymark.workloads import resolve
from memorymark.workloads.bdh import BdhForCausalLM
from memorymark.workloads.bdh_config import BdhConfig

SIZES = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 3, "expansion": 8}


@pytest.fixture(autouse=True)
def _home(home):
    """A home of its own, and one thread."""


@pytest.fixture
def model():
    torch.manual_seed(0)
    return BdhForCausalLM(BdhConfig(**SIZES)).eval()


@pytest.fixture
def ids():
    return torch.randint(0, 64, (2, 12), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def by_the_equations(model, ids):
    """The equations of arXiv 2509.26507 as they stand, head by head."""
    layer, width, heads = model.model.layer, 32, 4
    neurons = 8 * width // heads
    encode = layer.encoder.weight.view(heads, neurons, width).transpose(1, 2)
    turns = 65536.0 ** (-2 * (torch.arange(neurons) // 2) / neurons) / (2 * math.pi)
    phases = ((torch.arange(ids.shape[1]).unsqueeze(1) * turns) % 1) * 2 * math.pi

    def turned(v):
        other = torch.stack((-v[..., 1::2], v[..., ::2]), dim=-1).view(v.shape)
        return v * phases.cos() + other * phases.sin()

    def norm(v):
        return functional.layer_norm(v, (width,))

    x = norm(model.model.embed_tokens(ids)).unsqueeze(1)
    for _ in range(3):
        s = torch.relu(x @ encode)
        a = (turned(s) @ turned(s).mT).tril(-1) @ x
        z = s * torch.relu(norm(a) @ layer.value_encoder)
        beside = z.transpose(1, 2).reshape(len(ids), 1, ids.shape[1], heads * neurons)
        x = norm(x + norm(beside @ layer.decoder.weight.T))
    return x.squeeze(1) @ model.lm_head.weight.T


def test_the_defaults_have_the_published_number_of_parameters():
    with torch.device("meta"):
        model = BdhForCausalLM(BdhConfig())
    assert sum(each.numel() for each in model.parameters()) == 25_296_896
    assert 25_296_896 == 3 * 4 * 8192 * 256 + 2 * 256 * 256


@torch.no_grad()
def test_logits_are_those_of_the_equations(model, ids):
    torch.testing.assert_close(model(ids).logits, by_the_equations(model, ids))


@torch.no_grad()
@pytest.mark.parametrize("kind", ["dynamic", "static", "its own"])
def test_token_by_token_gives_the_logits_of_one_pass(model, ids, kind):
    from transformers import DynamicCache, StaticCache

    make = {
        "dynamic": lambda: DynamicCache(config=model.config),
        "static": lambda: StaticCache(config=model.config, max_cache_len=20),
        "its own": lambda: None,
    }
    cache, parts = make[kind](), []
    for start, end in [(0, 5), *((at, at + 1) for at in range(5, 10)), (10, 12)]:
        outputs = model(ids[:, start:end], past_key_values=cache, use_cache=True)
        cache = outputs.past_key_values
        parts.append(outputs.logits)
    torch.testing.assert_close(torch.cat(parts, dim=1), model(ids).logits)


@torch.no_grad()
def test_no_token_sees_itself_or_what_comes_after(model, ids):
    changed = ids.clone()
    changed[:, 6] = (changed[:, 6] + 1) % 64
    before, after = model(ids).logits, model(changed).logits
    torch.testing.assert_close(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 7:], after[:, 7:])


@torch.no_grad()
def test_padding_before_a_text_changes_nothing(model, ids):
    padded = torch.cat([torch.full((2, 3), 7), ids], dim=1)
    mask = torch.ones_like(padded)
    mask[:, :3] = 0
    found = model(padded, attention_mask=mask).logits[:, 3:]
    torch.testing.assert_close(found, model(ids).logits)


def test_labels_are_shifted_inside(model, ids):
    outputs = model(ids, labels=ids)
    expected = functional.cross_entropy(outputs.logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    torch.testing.assert_close(outputs.loss, expected)


def test_recomputing_layers_gives_the_same_gradients(model, ids):
    model.train()
    gradients = []
    for recomputes in (False, True):
        if recomputes:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        torch.manual_seed(5)
        model.zero_grad()
        model(ids, labels=ids).loss.backward()
        gradients.append([each.grad.clone() for each in model.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)
    assert all(each.abs().sum() > 0 for each in gradients[0])


@torch.no_grad()
def test_a_folder_holds_it_and_is_read_as_any_other(model, ids, tmp_path):
    from transformers import AutoModelForCausalLM

    model.save_pretrained(tmp_path)
    workload = resolve(f"hf:{tmp_path}")
    config = workload.describe(TrainingConfig())
    assert config.task is Task.CAUSAL_LM
    read = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(read(ids).logits, model(ids).logits)
    served = workload.build_to_serve(config, torch.float32, tmp_path).eval()
    torch.testing.assert_close(served(ids).logits, model(ids).logits)


@torch.no_grad()
def test_transformers_own_generation_takes_it(model, ids):
    written = model.generate(ids[:, :4], max_new_tokens=5, do_sample=False, pad_token_id=0)
    read = ids[:, :4]
    for _ in range(5):
        read = torch.cat([read, model(read).logits[:, -1:].argmax(-1)], dim=1)
    assert written.tolist() == read.tolist()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"hidden_size": 0}, "hidden_size is 0; accepted: a whole number from 1"),
        ({"hidden_size": "x"}, "hidden_size"),
        ({"hidden_size": 3, "expansion": 1}, "a multiple of two for each head"),
    ],
)
def test_sizes_that_do_not_go_together_are_refused(tmp_path, values, said):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bdh", **SIZES, **values}))
    with pytest.raises(WorkloadError, match=said):
        resolve(f"hf:{tmp_path}")
