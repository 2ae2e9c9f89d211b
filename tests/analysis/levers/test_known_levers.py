from __future__ import annotations

import pytest

from memorymark.analysis.levers.combined_levers import COMBINATIONS, possible
from memorymark.analysis.levers.known_levers import BY_KEY, LEVERS
from memorymark.records.config import TrainingConfig


def test_keys_are_unique_and_combinations_name_them() -> None:
    assert len(BY_KEY) == len(LEVERS)
    assert {key for keys in COMBINATIONS for key in keys} <= BY_KEY.keys()
    for keys in COMBINATIONS:
        dimensions = [BY_KEY[key].dimension for key in keys]
        assert len(set(dimensions)) == len(dimensions), keys


@pytest.mark.parametrize("lever", LEVERS, ids=lambda lever: lever.key)
def test_every_lever_names_its_source(lever) -> None:
    assert lever.notes.endswith(".")
    assert "(" in lever.notes or lever.key == "half-audio"


def test_every_change_is_a_config_and_another_one() -> None:
    config = TrainingConfig(task="causal-lm", attention="eager")
    found = possible(config, 16)
    assert len(found) > 20
    for combined in found:
        fields = {name: value for name, value in combined.changes.items() if name != "batch_size"}
        assert TrainingConfig(**{**vars(config), **fields}) != config


def test_what_is_set_already_is_no_lever() -> None:
    config = TrainingConfig(precision="bf16", gradient_checkpointing=True, optimizer="sgd")
    keys = {lever.key for combined in possible(config, 15) for lever in combined.levers}
    assert not keys & {"tf32", "amp-bf16", "bf16", "gradient-checkpointing", "sgd", "accumulation"}


def test_images_have_levers_of_images() -> None:
    images = TrainingConfig(task="image-classification", image_size=224)
    keys = {lever.key for combined in possible(images, 16) for lever in combined.levers}
    assert {"channels-last", "half-image-size"} <= keys
    assert not keys & {"half-seq-len", "use-cache-off", "chunked-cross-entropy"}
