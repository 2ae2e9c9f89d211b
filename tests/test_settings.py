from __future__ import annotations

import re
from pathlib import Path

import pytest

from memorymark import settings as settings_module
from memorymark.settings import load_settings


def test_every_setting_is_in_the_readme():
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    names = set(re.findall(r"\bMEMORYMARK_[A-Z_]+", settings_module.__doc__ or ""))
    assert len(names) > 5
    assert names <= set(re.findall(r"`(MEMORYMARK_[A-Z_]+)`", readme))


def test_nothing_set_guards_nothing():
    settings = load_settings({})
    assert not settings.is_guarded
    assert settings.workloads == settings.allowed_users == ()
    assert settings.history_path.name == "runs.sqlite3"


def test_home_holds_history_and_locks(tmp_path: Path):
    settings = load_settings({"MEMORYMARK_HOME": str(tmp_path)})
    assert settings.history_path.parent == settings.locks_folder.parent == tmp_path


@pytest.mark.parametrize("said", ["1", "true", "YES"])
def test_a_sign_in_or_a_key_guards(said: str):
    assert load_settings({"MEMORYMARK_SIGN_IN": said}).is_guarded
    assert load_settings({"MEMORYMARK_RUN_KEY": "word"}).is_guarded
    assert not load_settings({"MEMORYMARK_SIGN_IN": "0", "MEMORYMARK_RUN_KEY": ""}).is_guarded


def test_lists_are_split_at_commas():
    values = {"MEMORYMARK_WORKLOADS": " a.b:c, d:e ,", "MEMORYMARK_ALLOWED_USERS": "x@y.z"}
    settings = load_settings(values)
    assert settings.workloads == ("a.b:c", "d:e")
    assert settings.allowed_users == ("x@y.z",)
