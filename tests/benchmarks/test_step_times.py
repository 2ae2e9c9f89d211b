"""Published step times: a few rows, each within its bound, and how rows are told apart."""

from __future__ import annotations

import pytest
import step_times
from step_times import CARDS_APART, Scored, family_of, is_family_apart, load, score, summary
from timm import layers

ROWS = {(row.id, row.config.image_size): row for row in load()}
# Families and cards that took no part in the fit, and BERT on cards with a few rows.
APART = {
    ("timm-infer-nhwc-pt240-rtx4090-convnext_tiny", 288): 0.3,
    ("timm-train-nchw-pt112-rtx3090-swinv2_tiny_window8_256", 256): 0.2,
    ("timm-train-nhwc-pt112-rtx3090-xception", 299): 0.25,
    ("timm-train-nhwc-pt112-rtx3090-regnetx_008", 224): 0.3,
    ("timm-train-nchw-pt112-rtx3090-convmixer_1024_20_ks9_p14", 224): 0.3,
}
OTHERS = {
    ("timm-infer-nchw-pt291-5090-vit_base_patch16_224", 224): 0.2,
    ("timm-infer-nchw-pt291-5090-resnet50d", 224): 0.2,
    ("timm-infer-nchw-pt240-rtx4090-efficientformerv2_l", 224): 0.3,
    ("lambda-fp16-a100-40gb-bert_base_squad", None): 0.3,
    ("lambda-fp32-a6000-bert_base_squad", None): 0.3,
    ("timm-train-nhwc-pt112-rtx3090-resnet50", 224): 0.15,
    ("timm-train-nchw-pt112-rtx3090-resnet50", 224): 0.15,
}


@pytest.fixture(autouse=True)
def timms_own_settings():
    """Timm's switches are the process's: set back what a row sets."""
    fused, fast = layers.use_fused_attn(), layers.is_fast_norm()
    yield
    layers.set_fused_attn(bool(fused))
    layers.set_fast_norm(fast)


@pytest.mark.parametrize("name", {**APART, **OTHERS}, ids=lambda name: name[0])
def test_an_estimate_is_near_the_published_time(name, tmp_path):
    row = ROWS[name]
    assert row.is_apart == (name in APART)
    found = score(row, tmp_path)
    assert abs(found.error) < {**APART, **OTHERS}[name]
    assert found.is_within


def test_families_are_kin_and_some_are_kept_apart():
    assert family_of("timm:gluon_seresnext50_32x4d") == family_of("timm:resnet50") == "resnet"
    assert family_of("timm:deit3_small_patch16_384") == family_of("timm:eva_large") == "vit"
    families = {row.family for row in ROWS.values()}
    apart = {family for family in families if is_family_apart(family)}
    assert len(apart) >= 10 and "resnet" not in apart
    assert {row.gpu for row in ROWS.values()} > CARDS_APART


def test_a_score_says_how_far_and_how_often():
    rows = list(ROWS.values())[:10]
    scored = [Scored(row, row.seconds * 1.1, row.seconds, row.seconds * 1.2) for row in rows[:9]]
    scored.append(Scored(rows[9], rows[9].seconds * 2, rows[9].seconds * 1.9, 9.0))
    found = summary(scored)
    assert found["median_error"] == pytest.approx(0.1)
    assert found["nine_in_ten_within"] == pytest.approx(0.1)
    assert found["within_band"] == found["within_30_percent"] == 0.9


def test_a_model_that_cannot_be_built_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(step_times, "_name_of", lambda model, folder: "timm:no_such_model")
    assert score(next(iter(ROWS.values())), tmp_path) is None


def test_rows_of_models_that_were_rebuilt_before_they_ran_are_left_out():
    software = {name for name, _ in ROWS if "fastvit" in name or "repghostnet" in name}
    assert software and not any("pt291" in name for name in software)


@pytest.mark.parametrize(
    ("published", "today"),
    [
        ("timm:ig_resnext101_32x16d", "timm:resnext101_32x16d"),
        ("timm:ig_resnext101_32x8d", "timm:resnext101_32x8d"),
        ("timm:gluon_resnet50_v1d", "timm:resnet50d"),
        ("timm:resnet50", "timm:resnet50"),
        ("bert (question-answering)", "bert"),
    ],
)
def test_a_model_is_built_as_wide_as_its_name_says(published, today, tmp_path):
    assert step_times._name_of(published, tmp_path) == today
