"""Who a visitor is taken for."""

import pytest
import streamlit as st

from memorymark.ui import engine, pieces


@pytest.fixture
def signed_in(monkeypatch):
    def set_to(**token):
        monkeypatch.setattr(engine.st, "user", token)
        return engine.signed_in_address()

    return set_to


def test_a_verified_address_is_trusted(signed_in):
    token = {"is_logged_in": True, "email": "ada@example.org"}
    assert signed_in(**token, email_verified=True) == "ada@example.org"
    assert signed_in(**token) == "ada@example.org"  # the provider does not say


@pytest.mark.parametrize("said", [False, "false", "False", 0, None, ""])
def test_an_address_that_is_not_verified_is_nobodys(signed_in, said):
    assert signed_in(is_logged_in=True, email="ada@example.org", email_verified=said) is None


def test_who_is_not_signed_in_has_no_address(signed_in):
    assert signed_in(is_logged_in=False, email="ada@example.org") is None
    assert signed_in() is None
    assert signed_in(is_logged_in=True) is None


def test_a_link_to_a_run_stays_one_parameter_of_this_page(monkeypatch):
    address = property(lambda context: "https://host:8501/runs")
    monkeypatch.setattr(type(st.context), "url", address)
    assert pieces.share_link("ab12") == "https://host:8501/runs?run=ab12"
    link = pieces.share_link("x&embed=true#@evil.example/\r\n")
    assert link.startswith("https://host:8501/runs?run=x%26embed%3Dtrue%23%40evil")
    assert not set("\r\n#@") & set(link)
