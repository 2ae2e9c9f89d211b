"""Sessions from the command line: figures, JSON, and one sentence for what does not suit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from transformers import LlamaConfig

from memorymark.cli import main
from memorymark.service.history import RunHistory

KEYS = {
    "model", "config", "device", "source", "policy", "sessions_requested", "sessions_completed",
    "first_swap_session", "weights_bytes", "cache_bytes_per_session", "demand_bytes",
    "capacity_bytes", "peak_reserved_bytes", "timeline", "swaps", "first_token_seconds",
    "next_token_seconds", "verdict", "reason",
}  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMORYMARK_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def folder(tmp_path):
    LlamaConfig(
        vocab_size=100, hidden_size=64, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=512, architectures=["LlamaForCausalLM"],
    ).save_pretrained(tmp_path / "model")  # fmt: skip
    return f"hf:{tmp_path / 'model'}"


def run(capsys, line, code=0):
    assert main(line.split()) == code
    return capsys.readouterr()


def test_one_json_document_with_the_keys_of_the_interface(folder, capsys):
    line = f"sessions {folder} --gpu l4 --context 128 --sessions 3 --max-new-tokens 4"
    out, err = run(capsys, f"{line} --json")
    values = json.loads(out)
    assert values.keys() >= KEYS and values["sessions_completed"] == 3
    assert values["source"] == "simulated" and values["policy"] == "hold"
    assert {"act", "session", "allocated_bytes", "reserved_bytes", "at_seconds"} <= set(
        values["timeline"][0]
    )
    assert "Session 3 of 3, turn 2" in err
    kept = RunHistory().find(limit=1)[0]
    opened = RunHistory().open(kept.run_id).record
    assert opened == {**values, "run_id": kept.run_id} and kept.kind == "sessions"


def test_words_name_the_verdict_and_the_settings(folder, capsys):
    line = f"sessions {folder} --device cpu --precision fp32 --context 64 --max-new-tokens 2"
    out, _ = run(capsys, f"{line} --sessions 2 --policy swap --memory-budget 1GiB")
    first, second = out.splitlines()[:2]
    assert first.startswith("NOT PROVEN: All 2 sessions completed, but they need")
    assert "(measured)" in second and "context of 64 tokens · caches swapped" in second


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "--context 4096",
            "for a context of 4,096 tokens. Set the context (--context) to 512",
        ),
        ("--context 8", "max new tokens is 16; accepted: fewer than the context's 8"),
        ("--context 64 --policy keep", "policy 'keep'"),
        ("--context 64 --sessions 0", "sessions is 0"),
        ("--context 64 --host-memory lots", "host memory is 'lots'"),
        ("--context 64 --pause-layer 9", "layer"),
        ("--context 64 --precision int3", "Unknown weights 'int3'"),
    ],
)
def test_what_does_not_suit_is_one_sentence(folder, capsys, words, said):
    out, err = run(capsys, f"sessions {folder} --gpu l4 {words}", 2)
    assert not out and said in err and "Traceback" not in err
    assert len(err.strip().splitlines()) == 1


def test_a_model_that_does_not_generate_is_refused(capsys):
    _, err = run(capsys, "sessions resnet --gpu l4", 2)
    assert "Error: 'resnet' writes no text: it is a model for image-classif" in err
    assert "Traceback" not in err


def test_a_killed_run_leaves_nothing_behind(folder, home):
    line = f"sessions {folder} --device cpu --precision fp32 --context 256 --sessions 5000"
    before = os.environ | {"MEMORYMARK_HOME": str(home)}
    command = [sys.executable, "-m", "memorymark", *line.split()]
    running = subprocess.Popen(command, env=before, stderr=subprocess.PIPE, text=True)
    for said in running.stderr:
        if said.startswith("Session 2 of"):
            break
    running.send_signal(signal.SIGKILL)
    running.wait(timeout=30)
    started = time.monotonic()
    short = line.replace("5000", "1").replace("256", "64")
    again = subprocess.run(
        [sys.executable, "-m", "memorymark", *short.split()], env=before, timeout=120, check=False
    )  # fmt: skip
    assert again.returncode == 0 and time.monotonic() - started < 110
    assert not RunHistory().find(kinds=["sessions"], limit=10)[1:]


def test_a_flag_that_switches_off_says_what_is_without_it(capsys):
    said = " ".join(run(capsys, "sessions --help")[0].replace("│", " ").split())
    assert "--no-expandable-segments <bool> Segments of CUDA's allocator do not grow" in said
