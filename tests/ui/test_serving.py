"""How the app's server ends."""

from unittest.mock import create_autospec

import click
import pytest
from streamlit.web import cli

from memorymark.ui.serving import main


@pytest.mark.parametrize("end", [KeyboardInterrupt, click.Abort])
def test_ctrl_c_ends_the_server_without_a_complaint(monkeypatch, capsys, end):
    monkeypatch.setattr(cli, "main", create_autospec(cli.main, side_effect=end))
    assert main(["run", "app.py"]) == 0
    assert capsys.readouterr() == ("", "")


def test_what_streamlit_refuses_is_said(capsys):
    assert main(["run", "--no-such-option", "app.py"]) == 2
    assert "--no-such-option" in capsys.readouterr().err
