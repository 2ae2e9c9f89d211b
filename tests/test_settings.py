from __future__ import annotations

import re
import sys
from pathlib import Path
from unittest.mock import create_autospec, patch

import pytest
from platformdirs import windows
from platformdirs.api import PlatformDirsABC
from platformdirs.macos import MacOS

from memorymark import settings as settings_module
from memorymark.cli import main
from memorymark.errors import UsageError
from memorymark.settings import load_settings, same_address


def test_every_setting_is_in_the_readme():
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    names = set(re.findall(r"\bMEMORYMARK_[A-Z_]+", settings_module.__doc__ or ""))
    assert len(names) > 5
    assert names <= set(re.findall(r"`(MEMORYMARK_[A-Z_]+)`", readme))


def test_nothing_set_guards_nothing():
    settings = load_settings({})
    assert not settings.sign_in and settings.run_key is None
    assert settings.workloads == settings.allowed_users == ()
    assert settings.history_path.name == "runs.sqlite3"


def test_home_holds_history_and_locks(tmp_path: Path):
    settings = load_settings({"MEMORYMARK_HOME": str(tmp_path)})
    assert settings.history_path.parent == settings.locks_folder.parent == tmp_path


@pytest.mark.skipif(sys.platform != "linux", reason="each system has its own folder")
def test_home_is_the_users_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert load_settings({}).home == tmp_path / ".local" / "share" / "memorymark"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert load_settings({}).home == tmp_path / "data" / "memorymark"
    assert list(tmp_path.iterdir()) == []


def test_home_is_one_folder_on_other_systems(monkeypatch: pytest.MonkeyPatch):
    for name in ("XDG_DATA_HOME", "WIN_PD_OVERRIDE_LOCAL_APPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/Users/ada")
    assert asked_folder(MacOS) == "/Users/ada/Library/Application Support/memorymark"
    folder = create_autospec(windows.get_win_folder, side_effect="C:/{}".format)
    monkeypatch.setattr(windows, "get_win_folder", folder)
    assert asked_folder(windows.Windows) == "C:/CSIDL_LOCAL_APPDATA/memorymark"


def asked_folder(system: type[PlatformDirsABC]) -> str:
    """The folder that the settings ask for, on another operating system."""
    asked = create_autospec(settings_module.user_data_path, side_effect=system)
    with patch.object(settings_module, "user_data_path", asked):
        return load_settings({}).home.user_data_dir  # type: ignore[attr-defined]


@pytest.mark.parametrize("said", ["1", "true", "YES"])
def test_a_sign_in_is_asked_for(said: str):
    assert load_settings({"MEMORYMARK_SIGN_IN": said}).sign_in
    off = load_settings({"MEMORYMARK_SIGN_IN": "0", "MEMORYMARK_RUN_KEY": ""})
    assert not off.sign_in and off.run_key is None


def test_lists_are_split_at_commas():
    given = " a.b:c, hf:/models/mine, d:e ,"
    values = {"MEMORYMARK_WORKLOADS": given, "MEMORYMARK_ALLOWED_USERS": "x@y.z,"}
    values["MEMORYMARK_SIGN_IN"] = "1"
    settings = load_settings(values)
    assert settings.workloads == ("a.b:c", "hf:/models/mine", "d:e")
    assert settings.allowed_users == ("x@y.z",)


@pytest.mark.parametrize("said", ["1", "true", "YES", "y", "on", "On", "1 ", " true", "\tYes\n"])
def test_a_sign_in_that_is_meant_is_on(said: str):
    assert load_settings({"MEMORYMARK_SIGN_IN": said}).sign_in


@pytest.mark.parametrize("said", ["", " ", "0", "false", "No", "n", "OFF", " 0 "])
def test_a_sign_in_that_is_not_meant_is_off(said: str):
    assert not load_settings({"MEMORYMARK_SIGN_IN": said}).sign_in


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"SIGN_IN": "ture"}, "'ture'. Accepted: 1, true, yes or on"),
        ({"SIGN_IN": "2"}, "'2'"),
        ({"SIGN_IN": "1,"}, "'1,'"),
        ({"ALLOWED_USERS": "a@b.org"}, "MEMORYMARK_SIGN_IN is not on"),
        ({"ALLOWED_USERS": "a@b.org", "SIGN_IN": "off"}, "MEMORYMARK_SIGN_IN is not on"),
        ({"ALLOWED_USERS": ",", "SIGN_IN": "1"}, "names nobody"),
        ({"ALLOWED_USERS": " ", "SIGN_IN": "1"}, "names nobody"),
        ({"ALLOWED_USERS": "a@b.org c@d.org", "SIGN_IN": "1"}, "no e-mail address"),
        ({"ALLOWED_USERS": "a@b.org;c@d.org", "SIGN_IN": "1"}, "no e-mail address"),
        ({"ALLOWED_USERS": "ada", "SIGN_IN": "1"}, "'ada' is no e-mail address"),
        ({"RUN_KEY": "  "}, "begins or ends with a blank"),
        ({"RUN_KEY": "sesame\n"}, "begins or ends with a blank"),
        ({"RUN_KEY": "ses\x00ame"}, "nobody can enter"),
        ({"WORKLOADS": "os.system"}, "'os.system'. Accepted: package.module:function"),
        ({"WORKLOADS": "a.b:c, d:e:f"}, "'d:e:f'"),
        ({"WORKLOADS": "a b:c"}, "'a b:c'"),
        ({"PROBE_FACTORY": "make_probe"}, "package.module:function"),
        ({"HOME": "~nosuchuser/x"}, "MEMORYMARK_HOME is no folder"),
        ({"HOME": "a\x00b"}, "no folder"),
        ({"HOME": "a" * 5_000}, "no folder"),
    ],
)
def test_what_is_not_understood_stops_the_start(values: dict[str, str], words: str):
    with pytest.raises(UsageError) as refused:
        load_settings({f"MEMORYMARK_{name}": value for name, value in values.items()})
    assert words in str(refused.value)
    assert "sesame" not in str(refused.value)  # a key is never said


def test_an_empty_home_is_none_given():
    assert load_settings({"MEMORYMARK_HOME": ""}).home == load_settings({}).home


def test_addresses_are_compared_as_e_mail_is():
    given = " Ada@Example.org , b@x.org"
    settings = load_settings({"MEMORYMARK_SIGN_IN": "1", "MEMORYMARK_ALLOWED_USERS": given})
    assert settings.allowed_users == ("ada@example.org", "b@x.org")
    assert same_address("ADA@EXAMPLE.ORG ") == "ada@example.org"
    assert same_address("\u212aate@example.org") != "kate@example.org"  # the sign for kelvin


def test_no_command_starts_with_a_guard_that_is_not_understood(capsys, monkeypatch):
    monkeypatch.setenv("MEMORYMARK_SIGN_IN", "enabled")
    for command in ("app", "runs", "doctor"):
        assert main([command]) == 2
        assert "MEMORYMARK_SIGN_IN is 'enabled'" in capsys.readouterr().err


def test_texts_to_train_on_are_there_or_nothing_starts(tmp_path: Path):
    text = tmp_path / "a.txt"
    text.write_text("To be.")
    assert load_settings({"MEMORYMARK_DATA": f"{text}, {tmp_path}"}).data == (
        str(text), str(tmp_path),
    )  # fmt: skip
    with pytest.raises(UsageError, match="MEMORYMARK_DATA names '/no/such', which is not"):
        load_settings({"MEMORYMARK_DATA": f"{text},/no/such"})
