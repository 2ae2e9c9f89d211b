"""Two models write one text: at either end of the blend it is one model's own."""

import pytest
import torch
from generators import byte_tokenizer, saved, spec_of, tiny_vit
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_llama, tiny_t5

from memorymark.errors import UsageError
from memorymark.inference.choosing import NO_TOKEN, BlendedChooser, Chooser
from memorymark.probes.cpu import CpuProbe
from memorymark.probes.generation import RANDOM, generate_on
from memorymark.records.event import CancelToken
from memorymark.records.generation_plan import GenerationPlan
from memorymark.records.generation_run import Ending, GenerationRun, WeightsFrom
from memorymark.report.generation_lines import generation_figures, generation_sentence
from memorymark.units import GIB
from memorymark.workloads.blended_spec import blended_spec
from memorymark.workloads.byte_models import byte_tokenizer as numbered_bytes
from memorymark.workloads.checkpoint import Checkpoint
from memorymark.workloads.huggingface import HuggingFaceWorkload

DRAWN = {"temperature": 1.5, "top_k": 40, "top_p": 0.95, "seed": 7}
PLANS = {"greedy": {}, "drawn": DRAWN, "drawn-among-all": {"temperature": 0.8}}


@pytest.fixture(autouse=True)
def _home(home):
    """A home of its own, and one thread."""


@pytest.fixture
def folders(tmp_path):
    """A BDH and a GPT-2 over the same bytes, in folders."""
    torch.manual_seed(0)
    found = {}
    for name, make in {"bdh": tiny_bdh, "gpt2": tiny_gpt2_bytes}.items():
        saved(make(), tmp_path / name)
        numbered_bytes().save_pretrained(tmp_path / name)
        found[name] = make(), Checkpoint(tmp_path / name, WeightsFrom.FOLDER)
    return found


def tiny_bdh():
    from memorymark.workloads.bdh_config import BdhConfig
    from memorymark.workloads.own_architectures import know_architecture

    know_architecture("bdh")
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "expansion": 4}
    return HuggingFaceWorkload("tiny-bdh", BdhConfig(**sizes, initializer_range=0.5))


def tiny_gpt2_bytes(**more):
    from transformers import GPT2Config

    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 128, "vocab_size": 256}
    special = {"bos_token_id": None, "eos_token_id": None, "initializer_range": 0.5}
    return HuggingFaceWorkload("tiny-gpt2", GPT2Config(**{**sizes, **special, **more}))


def alone(folders, name, **plan):
    workload, checkpoint = folders[name]
    return spec_of(workload, checkpoint=checkpoint, prompt="Once", max_new_tokens=20, **plan)


def both(folders, share, **plan):
    more = {**plan, "blend": "tiny-gpt2", "blend_share": share}
    return blended_spec(alone(folders, "bdh", **more), alone(folders, "gpt2", **more))


def written(spec, budget=GIB, **more):
    return generate_on(CpuProbe(budget), spec, **more)


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_at_either_end_the_text_is_one_models_own(folders, plan):
    for share, name in ((0, "bdh"), (1, "gpt2")):
        run, own = written(both(folders, share, **plan)), written(alone(folders, name, **plan))
        assert run.tokens == own.tokens and run.text == own.text
        assert set(run.blend_shares) == {float(share)}
    texts = {written(both(folders, share, **plan)).text for share in (0.0, 0.4, 1.0)}
    assert len(texts) == 3


@pytest.mark.parametrize("weights", ["fp32", "bf16"])
@pytest.mark.parametrize("share", [0, 0.3, 1])
@pytest.mark.parametrize("plan", [{}, DRAWN], ids=["greedy", "drawn"])
def test_what_both_hold_is_predicted_to_the_byte(folders, share, plan, weights):
    more = {**plan, "weights": weights, "blend": "x", "blend_share": share}
    specs = [alone(folders, name, **more) for name in ("bdh", "gpt2")]
    run = written(blended_spec(*specs))
    assert run.predicted_peak_bytes == run.peak_allocated_bytes > run.weights_bytes
    alone_bytes = [written(spec).weights_bytes for spec in specs]
    assert run.weights_bytes == sum(alone_bytes)
    assert run.cache_bytes > written(specs[0]).cache_bytes


@torch.no_grad()
def test_tokens_are_the_likeliest_of_the_mixture_and_their_shares_are_said(folders):
    from memorymark.workloads.served_model import serving_models

    spec = both(folders, 0.3)
    run = written(spec)
    folder = [each.checkpoint.folder for each in spec.models]
    first, second = serving_models(spec, torch.device("cpu"), folder).children()
    ids = torch.tensor([list(b"Once")])
    for token, share in zip(run.tokens, run.blend_shares, strict=True):
        ours, theirs = (torch.softmax(each(ids).logits[0, -1], -1) for each in (first, second))
        mixed = 0.7 * ours + 0.3 * theirs
        assert mixed[token] == pytest.approx(mixed.max().item(), rel=1e-4)
        assert share == pytest.approx((0.3 * theirs[token] / mixed[token]).item(), abs=1e-4)
        ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
    assert run.mean_blend_share == pytest.approx(sum(run.blend_shares) / 20)
    assert 0 < run.mean_blend_share < 1
    figures = dict(generation_figures(run))
    assert figures["share of tiny-gpt2, given"] == "30 %"
    assert "share of tiny-gpt2 in the tokens" in figures
    assert generation_sentence(run).startswith("tiny-bdh blended with 30 % of tiny-gpt2 on CPU")
    values = run.to_dict()
    assert values["mean_blend_share"] == run.mean_blend_share
    assert values["blend_weights_from"] == "folder"
    assert GenerationRun.from_dict(values) == run


def test_what_is_written_alone_says_nothing_of_a_second_model(folders):
    run = written(alone(folders, "bdh"))
    assert not {"blend_shares", "mean_blend_share", "blend_weights_from"} & run.to_dict().keys()
    assert run.mean_blend_share is None


def test_it_streams_stops_and_ends_within_its_budget(folders):
    heard, cancel = [], CancelToken()

    def hear(piece, known):
        heard.append(piece)
        assert len(known().blend_shares) == known().new_tokens
        if len(heard) == 3:
            cancel.cancel()

    run = written(both(folders, 0.5, temperature=1), on_text=hear, cancel=cancel)
    assert run.stopped_by is Ending.STOPPED and "".join(heard) == run.text
    assert run.predicted_peak_bytes == run.peak_allocated_bytes
    needed = written(both(folders, 0.5)).predicted_peak_bytes
    run = written(both(folders, 0.5), budget=run.weights_bytes)
    assert run.stopped_by is Ending.OUT_OF_MEMORY and run.text is None
    run = written(both(folders, 0.5), budget=needed - 1)
    assert run.stopped_by is Ending.OUT_OF_MEMORY and 0 < run.new_tokens < 20


def test_whose_weights_are_random_is_said(folders):
    random = tiny_gpt2_bytes(), Checkpoint(folders["gpt2"][1].folder, WeightsFrom.RANDOM)
    run = written(both({**folders, "gpt2": random}, 0.5))
    assert "The weights of 'tiny-gpt2' are random: its part" in " ".join(run.findings)
    assert RANDOM not in run.findings and run.blend_weights_from is WeightsFrom.RANDOM
    (workload, checkpoint) = folders["bdh"]
    nothing = workload, Checkpoint(checkpoint.folder, WeightsFrom.RANDOM)
    assert RANDOM in written(both({"bdh": nothing, "gpt2": random}, 0.5)).findings


def test_vocabularies_that_differ_are_refused(folders, tmp_path):
    bdh = alone(folders, "bdh")
    with pytest.raises(UsageError, match=r"has 256 tokens and 'tiny-llama' 500: two models"):
        blended_spec(bdh, spec_of(tiny_llama()))
    with pytest.raises(UsageError, match="'tiny-gpt2' comes without a tokenizer"):
        blended_spec(bdh, spec_of(tiny_gpt2_bytes()))
    other = tiny_gpt2_bytes(vocab_size=256)
    saved(other, tmp_path / "other")
    byte_tokenizer().save_pretrained(tmp_path / "other")  # whose numbers are no bytes
    checkpoint = Checkpoint(tmp_path / "other", WeightsFrom.FOLDER)
    with pytest.raises(UsageError, match="'tiny-bdh' and 'tiny-gpt2' have other tokens"):
        blended_spec(bdh, spec_of(other, checkpoint=checkpoint, prompt="Once"))


def test_what_reads_or_writes_otherwise_is_refused(folders, tmp_path):
    bdh = alone(folders, "bdh")
    with pytest.raises(UsageError, match="'tiny-t5' is used for seq2seq-lm"):
        blended_spec(bdh, spec_of(tiny_t5()))
    from generators import image_bytes

    (tmp_path / "a.png").write_bytes(image_bytes())
    vit = spec_of(tiny_vit(), image=str(tmp_path / "a.png"))
    with pytest.raises(UsageError, match="Give two decoders"):
        blended_spec(vit, bdh)


def test_a_share_needs_a_second_model():
    with pytest.raises(UsageError, match="Name one with --blend MODEL"):
        GenerationPlan(blend_share=0.3)
    with pytest.raises(UsageError, match=r"blend share is 1\.5; accepted: a share from 0 to 1"):
        GenerationPlan(blend="bdh", blend_share=1.5)
    assert GenerationPlan(blend=" ").blend is None


def chooser(share, temperature=0.0, **more):
    plan = GenerationPlan(temperature=temperature, blend="b", blend_share=share, **more)
    generator = torch.Generator().manual_seed(1)
    return BlendedChooser(plan, Chooser(plan, generator), Chooser(plan, generator))


@given(
    st.lists(st.floats(-30, 30, width=32), min_size=6, max_size=6),
    st.floats(0, 1),
    st.floats(0.01, 10),
)
def test_the_share_is_that_of_the_definition(values, share, temperature):
    ours, theirs = torch.tensor([values[:3]]), torch.tensor([values[3:]])
    choose = chooser(share, temperature)
    choose.keep(ours.clone())
    token = int(choose(theirs.clone()))
    p, q = (torch.softmax(each.double() / temperature, -1)[0, token] for each in (ours, theirs))
    assert float(choose.share) == pytest.approx(
        float(share * q / ((1 - share) * p + share * q)), abs=1e-3
    )


@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_logits_that_are_no_numbers_choose_no_token(share):
    for broken in ("first", "second"):
        choose, fine = chooser(share), torch.zeros(1, 4)
        torn = torch.full((1, 4), float("nan"))
        choose.keep((torn if broken == "first" else fine).clone())
        token = int(choose((torn if broken == "second" else fine).clone()))
        counts = {"first": share < 1, "second": share > 0}[broken]
        assert (token == NO_TOKEN) is counts


def test_a_token_that_one_model_refuses_may_be_the_others():
    plan = GenerationPlan(blend="b", blend_share=0.5)
    refused = torch.tensor([False, True, False])
    choose = BlendedChooser(plan, Chooser(plan, refused=refused), Chooser(plan))
    choose.keep(torch.tensor([[0.0, 9.0, 0.0]]))
    assert int(choose(torch.tensor([[0.0, 9.0, 0.0]]))) == 1
    assert float(choose.share) == pytest.approx(1.0)
