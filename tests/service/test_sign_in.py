"""What sign-in needs, said at the start."""

import importlib.util
from unittest.mock import create_autospec

import pytest

from memorymark.errors import MissingPackage, UsageError
from memorymark.service import sign_in


@pytest.fixture
def authlib(monkeypatch):
    """Says whether the package of the sign-in is installed."""

    def set_to(is_there):
        find = create_autospec(importlib.util.find_spec, return_value="spec" if is_there else None)
        monkeypatch.setattr(sign_in, "find_spec", find)

    return set_to


def test_without_its_package_it_says_what_to_install(authlib):
    authlib(False)
    with pytest.raises(MissingPackage, match=r"pip install 'streamlit\[auth\]'"):
        sign_in.check_sign_in(has_section=True)


def test_without_a_provider_it_says_where_to_name_one(authlib):
    authlib(True)
    with pytest.raises(UsageError, match=r"secrets\.toml has a section \[auth\]"):
        sign_in.check_sign_in(has_section=False)
    sign_in.check_sign_in(has_section=True)


def test_secrets_are_found_where_streamlit_finds_them(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    (second / ".streamlit").mkdir(parents=True)
    assert not sign_in.has_auth_section([first, second])
    secrets = second / ".streamlit" / "secrets.toml"
    secrets.write_text("[other]\nx = 1\n")
    assert not sign_in.has_auth_section([first, second])
    secrets.write_text("not toml")
    assert not sign_in.has_auth_section([first, second])
    secrets.write_text('[auth]\nclient_id = "x"\n')
    assert sign_in.has_auth_section([first, second])
