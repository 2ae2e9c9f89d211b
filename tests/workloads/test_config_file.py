"""Whatever a config.json holds, reading it ends soon, with the configuration or with a sentence."""

from __future__ import annotations

import json
import os
import resource
import sys
import time

import pytest
import torch

from memorymark.bounds import Bounds, working_within
from memorymark.errors import MemoryMarkError, ModelNotFound, WorkloadError
from memorymark.records.config import TrainingConfig
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.simulate import simulate
from memorymark.workloads import resolve
from memorymark.workloads.build import build_model
from memorymark.workloads.hub import load_hf_config
from memorymark.workloads.trial_spec import TrialSpec

META = torch.device("meta")
TINY = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8}


def folder(path, text):
    (path / "config.json").write_text(text)
    return f"hf:{path}"


def estimated(name, seq_len=8, **training):
    """Simulate a step within bounds that a test can wait for."""
    workload = resolve(name)
    config = workload.describe(TrainingConfig(seq_len=seq_len, **training))
    with working_within(Bounds(operations=30_000, seconds=2.0, modules=5000), lambda: None):
        model = build_model(workload, config, META)
        return simulate(TrialSpec(workload, config, 2), model, Rules(Platform.CUDA, (8, 0)))


def most_memory_mib():
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1024**2 if sys.platform == "darwin" else most / 1024


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"model_type": "bert", "x": ' + "[" * 100_000 + "]" * 100_000 + "}", "too deeply"),
        ('{"model_type": "bert", "x": ' + "[" * 200 + "]" * 200 + "}", "too deeply"),
        ('{"model_type": "bert", "hidden_size": ' + "9" * 5000 + "}", "not readable JSON"),
        ('{"model_type": ["bert"]}', "does not name a model_type"),
        ('{"model_type": null}', "does not name a model_type"),
        ('{"model_type": "' + "nosuch" * 10**5 + '"}', "cannot be used"),
        ('{"model_type": "evil", "auto_map": {"AutoConfig": "evil.Evil"}}', "cannot be used"),
        ('{"model_type": "bert", "num_hidden_layers": 1000000000000}', "up to 10,000"),
        ('{"model_type": "bert", "num_hidden_layers": 1e300}', "up to 10,000"),
        ('{"model_type": "qwen2", "num_hidden_layers": 100000}', "up to 10,000"),
        ('{"model_type": "resnet", "depths": [1000000000, 4]}', "up to 10,000"),
        ('{"model_type": "xlnet", "n_layer": 1000000}', "up to 10,000"),
        ('{"model_type": "funnel", "block_sizes": [1000000000]}', "up to 10,000"),
        ('{"model_type": "clip", "text_config": {"num_hidden_layers": 1e9}}', "up to 10,000"),
        ('{"model_type": "bert", "num_labels": 1000000000}', "up to 1,000,000"),
    ],
)  # fmt: skip
def test_what_asks_for_too_much_is_refused_before_anything_is_made(tmp_path, text, reason):
    name = folder(tmp_path, text)
    start = time.perf_counter()
    with pytest.raises(WorkloadError, match=reason) as caught:
        load_hf_config(name.removeprefix("hf:"))
    assert time.perf_counter() - start < 10.0
    assert len(str(caught.value)) < 5000 and "\n" not in str(caught.value)


def test_a_file_is_measured_before_it_is_read(tmp_path):
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(2 * 1024**3)
    with pytest.raises(WorkloadError, match=r"has 2\.00 GiB.*up to 16\.0 MiB"):
        load_hf_config(str(tmp_path))


@pytest.mark.parametrize("kind", ["fifo", "device", "loop", "folder"])
def test_what_is_no_file_is_not_read(tmp_path, kind):
    path = tmp_path / "config.json"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "device" else path.name)
    with pytest.raises(ModelNotFound, match=r"has no config\.json"):
        load_hf_config(str(tmp_path))


def test_what_published_configurations_hold_is_read(tmp_path):
    text = '{"model_type": "mamba2", "num_hidden_layers": 64, "time_step_limit": [0.0, Infinity]}'
    assert load_hf_config(folder(tmp_path, text).removeprefix("hf:")).num_hidden_layers == 64


def test_a_configuration_of_the_hubs_cache_is_checked_too(tmp_path, monkeypatch):
    from transformers import utils

    file = tmp_path / "config.json"
    file.write_text('{"model_type": "bert", "num_hidden_layers": 1000000}')
    monkeypatch.setattr(utils, "cached_file", lambda *args, **kwargs: str(file))
    with pytest.raises(WorkloadError, match="up to 10,000"):
        load_hf_config("somebody/something")


SIZES = [0, -1, -(10**18), 7.5, "big", True, None, [1], {}, 10**9, 10**18, 10**30, "9" * 400]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: repr(size)[:12])
@pytest.mark.parametrize(
    "key", ["hidden_size", "num_attention_heads", "vocab_size", "max_position_embeddings"]
)
def test_sizes_that_are_none_end_in_a_sentence_and_large_ones_take_no_memory(tmp_path, key, size):
    values = {"model_type": "bert", **TINY, "num_hidden_layers": 1, key: size}
    name = folder(tmp_path, json.dumps(values))
    before = most_memory_mib()
    start = time.perf_counter()
    try:
        assert estimated(name).trace.events
    except MemoryMarkError as error:
        assert len(str(error)) < 5000
    assert time.perf_counter() - start < 30
    assert most_memory_mib() - before < 300


@pytest.mark.parametrize(
    ("values", "training"),
    [
        ({"model_type": "bert", **TINY, "num_hidden_layers": 2000}, {}),
        ({"model_type": "resnet", "depths": [9000, 4, 6, 3], "hidden_sizes": [8, 8, 8, 8],
          "embedding_size": 8}, {}),
        ({"model_type": "switch_transformers", "num_experts": 10**5, "d_model": 8}, {}),
        ({"model_type": "llama", **TINY, "num_attention_heads": -1}, {}),
        ({"model_type": "bert", **TINY, "hidden_size": 9, "num_attention_heads": 7}, {}),
        ({"model_type": "vit", "patch_size": 0}, {}),
        ({"model_type": "vit", "image_size": 10**9}, {}),
        ({"model_type": "bert", "architectures": 5}, {}),
        ({"model_type": "bert", "architectures": [None, {}]}, {}),
        ({"model_type": "bert", "id2label": 7}, {}),
        ({"model_type": "bert", "hidden_dropout_prob": 1e400}, {}),
        ({"model_type": "wav2vec2", "conv_dim": [8] * 10**4, "conv_kernel": [1] * 10**4,
          "conv_stride": [1] * 10**4}, {}),
        ({"model_type": "mamba", "hidden_size": 8, "num_hidden_layers": 1}, {"seq_len": 10**7}),
    ],
    ids=lambda value: value.get("model_type", "") if isinstance(value, dict) else "",
)  # fmt: skip
def test_no_configuration_takes_work_without_bound(tmp_path, values, training):
    name = folder(tmp_path, json.dumps(values))
    start = time.perf_counter()
    with pytest.raises(MemoryMarkError) as caught:
        estimated(name, **training)
    assert time.perf_counter() - start < 30  # the bound is two seconds of processor time
    assert len(str(caught.value)) < 5000


def test_large_sizes_of_a_step_take_no_memory_of_the_host(tmp_path):
    values = {"model_type": "llama", **TINY, "num_hidden_layers": 1}
    before = most_memory_mib()
    for attention in ("eager", "sdpa"):
        found = estimated(
            folder(tmp_path, json.dumps(values)), seq_len=10_000_000, attention=attention
        )
        assert found.free_running.peak_allocated_bytes > 10**9
    assert most_memory_mib() - before < 300
