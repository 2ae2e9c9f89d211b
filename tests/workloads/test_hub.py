import socket
from unittest.mock import create_autospec

import pytest

from memorymark.errors import ModelNotFound, WorkloadError
from memorymark.workloads.hub import load_hf_config


def folder(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    return str(tmp_path)


def test_a_folder_or_its_file(tmp_path):
    ref = folder(tmp_path, '{"model_type": "bert", "hidden_size": 36}')
    assert load_hf_config(ref).hidden_size == 36
    assert load_hf_config(f"{ref}/config.json").hidden_size == 36


def test_a_folder_without_a_config(tmp_path):
    with pytest.raises(ModelNotFound, match=r"has no config\.json"):
        load_hf_config(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"model_type": "be', "not readable JSON"),
        ("", "not readable JSON"),
        ('{"hidden_size": 36}', "does not name a model_type"),
        ("[1, 2]", "does not name a model_type"),
        ('{"model_type": "no-such-model"}', "cannot be used"),
    ],
)
def test_configs_that_cannot_be_used(tmp_path, text, reason):
    with pytest.raises(WorkloadError, match=reason) as caught:
        load_hf_config(folder(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_without_a_network_it_is_said_at_once(monkeypatch, tmp_path):
    refuse = create_autospec(socket.create_connection, side_effect=OSError("unreachable"))
    for name in ("HTTPS_PROXY", "https_proxy", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(ModelNotFound, match=r"cannot be reached.*hf:FOLDER"):
        load_hf_config("nobody-at-all/no-such-model")
    assert refuse.called
