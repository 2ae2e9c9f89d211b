import socket
import time
from unittest.mock import create_autospec

import pytest

from memorymark.errors import InvalidValue, ModelNotFound, WorkloadError
from memorymark.records.config import TrainingConfig
from memorymark.workloads import hub
from memorymark.workloads.hub import load_hf_config
from memorymark.workloads.registry import resolve


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


@pytest.mark.parametrize(
    "ref", ["~nosuch/x", "./" + "a" * 300, "a" * 300, "/a\0b", "a b/c", "\udcff", "x/" * 500, "--%"]
)
def test_names_that_are_no_folder_and_no_id(ref):
    with pytest.raises(ModelNotFound, match="There is no folder"):
        load_hf_config(ref)


@pytest.mark.parametrize("address", ["garbage", "http://[", "http://h:99999", "http://", "ftp://h"])
def test_an_address_that_is_none(monkeypatch, address):
    monkeypatch.setenv("HF_ENDPOINT", address)
    with pytest.raises(InvalidValue, match="HF_ENDPOINT is"):
        resolve("bert")


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "garbage.invalid", "http://["])
def test_a_dead_proxy_is_said_at_once(monkeypatch, proxy):
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(ModelNotFound, match="cannot be reached"):
        load_hf_config("nobody-at-all/no-such-model")


def test_a_hub_that_stops_answering_is_given_up(monkeypatch):
    def load(ref, *, local):
        if local:
            raise ModelNotFound("Not in the cache.")
        time.sleep(5)

    monkeypatch.setattr(hub, "_load", load)
    monkeypatch.setattr(hub, "hub_answers", lambda ref: True)
    monkeypatch.setattr(hub, "_LOAD_TIMEOUT_S", 0.1)
    with pytest.raises(ModelNotFound, match="cannot be reached"):
        load_hf_config("nobody-at-all/no-such-model")


@pytest.mark.parametrize(
    "text",
    [
        '{"model_type": "detr", "use_timm_backbone": false, "backbone": "some/model"}',
        '{"model_type": "upernet", "use_timm_backbone": false, "backbone": "some/model"}',
        '{"model_type": "dpt", "backbone": "some/model", "use_pretrained_backbone": true}',
    ],
)
def test_a_folder_never_asks_the_hub_for_the_backbone_that_it_names(tmp_path, text, monkeypatch):
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *_, **__: asked.append(host) or 1 / 0)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with pytest.raises(WorkloadError, match="names another model, as its backbone"):
        load_hf_config(folder(tmp_path, text))
    assert not asked


@pytest.mark.parametrize("ref", ["meta-lama/Llama-3.1-8B", "mistralai/Mistral-7B-v0.2"])
def test_offline_the_error_names_the_nearest_model_and_what_works_in_the_app(monkeypatch, ref):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelNotFound, match=r"HF_HUB_OFFLINE is set.*Did you mean hf:m") as caught:
        load_hf_config(ref)
    said = str(caught.value)
    for way in ("memorymark models", "torchvision:NAME", "MEMORYMARK_WORKLOADS=hf:FOLDER"):
        assert way in said


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("You are trying to access a gated repo.", "is gated.*ask for access.*hf auth login"),
        ("is not a valid repository name", "check the spelling.*private model.*hf auth login"),
    ],
)
def test_gated_private_and_missing_models(monkeypatch, reason, said):
    import transformers.utils

    def refuse(ref, name, *, local_files_only):
        raise OSError(reason)

    monkeypatch.setattr(transformers.utils, "cached_file", refuse)
    monkeypatch.setattr(hub, "hub_answers", lambda ref: True)
    with pytest.raises(ModelNotFound, match=said):
        load_hf_config("somebody/secret")


def test_a_gated_model_that_is_shipped_needs_no_token(monkeypatch):
    monkeypatch.setattr(hub, "hub_answers", lambda ref: pytest.fail("the hub was asked"))
    assert load_hf_config("meta-llama/Llama-3.2-1B").hidden_size == 2048


def test_a_t5_in_a_folder_keeps_the_head_of_its_own(tmp_path):
    values = '"model_type": "t5", "d_model": 32, "d_kv": 8, "d_ff": 32, "num_layers": 1, '
    values += '"num_heads": 2, "vocab_size": 40'
    parameters = {}
    for tied in ("true", "false"):
        ref = folder(tmp_path, f'{{{values}, "tie_word_embeddings": {tied}}}')
        model = resolve(f"hf:{ref}").build(TrainingConfig())
        parameters[tied] = sum(parameter.numel() for parameter in model.parameters())
    assert parameters["false"] - parameters["true"] == 32 * 40
