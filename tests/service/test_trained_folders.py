"""Models that trainings of the app wrote may be opened by it, and nothing else of the disk."""

from __future__ import annotations

import dataclasses

import pytest

from memorymark.errors import NotAllowed
from memorymark.service.admission import check_model
from memorymark.service.trained_folders import as_name, is_trained_here, new_folder
from memorymark.settings import Settings


def model_in(folder, *more):
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "tokenizer.json", *more):
        (folder / name).write_text("{}")
    return folder


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path / "home")


def test_a_model_that_was_trained_here_is_opened(settings):
    own = model_in(settings.trained_folder / "one" / "model")
    compared = model_in(settings.trained_folder / "two" / "1-gpt2" / "model")
    for folder in (own, compared):
        assert is_trained_here(f"hf:{folder}", settings)
        check_model(f"hf:{folder}", settings)
    elsewhere = dataclasses.replace(settings, home=settings.home / "other")
    assert not is_trained_here(f"hf:{own}", elsewhere)


def test_nothing_else_is(settings, tmp_path):
    root = settings.trained_folder
    outside = model_in(tmp_path / "outside" / "model")
    model_in(root / "one" / "model")
    (root / "link").symlink_to(tmp_path / "outside")
    (root / "three").mkdir()
    (root / "three" / "model").symlink_to(outside)
    pickled = model_in(root / "four" / "model", "weights.bin")
    coded = model_in(root / "five" / "model", "modeling.py")
    linked = model_in(root / "six" / "model")
    (linked / "special.json").symlink_to("/etc/passwd")
    for folder in (
        outside, root / "link" / "model", root / "three" / "model", pickled, coded, linked,
        root, root / "one", root / "one" / ".." / "one" / "model", "/etc", "~/model", "model",
        "\0", "x" * 5000,
    ):  # fmt: skip
        assert not is_trained_here(f"hf:{folder}", settings), folder
    with pytest.raises(NotAllowed):
        check_model(f"hf:{outside}", settings)
    assert not is_trained_here(str(root / "one" / "model"), settings)


def test_names_of_folders_hold_no_path(settings):
    assert as_name("hf:../../etc/x y") == "x-y" and as_name("..") == "model"
    assert new_folder("hf:../../etc", settings).parent == settings.trained_folder
