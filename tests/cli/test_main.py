"""The command line on a stand-in probe: arguments, streams, exit codes."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest
from fakes import FakeProbe, FakeWorkload, measured_target
from stand_in_engine import StandInEngine, install

import memorymark
from memorymark import errors
from memorymark.cli import main, serve
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.request import Request
from memorymark.records.trial import GradientCheck, Outcome
from memorymark.report.visible import visible
from memorymark.service import sign_in
from memorymark.service.history import RunHistory, RunStatus
from memorymark.units import GIB, MIB
from memorymark.workloads.trial_spec import TrialSpec

ROOT = Path(__file__).resolve().parents[2]
TRACEBACK = "Traceback"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEMORYMARK_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> StandInEngine:
    return install(monkeypatch)


def run(capsys: pytest.CaptureFixture[str], line: str, code: int = 0) -> tuple[str, str]:
    """Run a command line and return what it wrote on standard output and standard error."""
    given = main(line.split())
    out, err = capsys.readouterr()
    assert given == code, err
    return out, err


# ---- results ---------------------------------------------------------------------------------


def test_analyze_prints_one_json_document(engine: StandInEngine, capsys: Any) -> None:
    out, err = run(capsys, "analyze bert --json")
    values = json.loads(out)
    assert values["max_batch_size"] == 192
    assert values["speedup"] > 1
    assert len(values["trials"]) == values["probes"] > 3
    assert "batch   192" in err and "samples/s" in err and "ok" in err
    assert "batch   200" in err and "out of memory" in err
    assert "Searching" in err and "Done after" in err


def test_analyze_in_words(engine: StandInEngine, capsys: Any) -> None:
    out, _ = run(capsys, "analyze bert")
    assert out.startswith("Largest batch that fits: 192. Recommended: ")
    assert "\nbert · Test device (measured) · fp32 · adamw · " in out
    assert "8.00 GiB" in out and "Speed-up" in out


def test_prints_of_the_users_code_do_not_spoil_the_json(engine: StandInEngine, capsys: Any) -> None:
    engine.before = lambda: print("hello from the model")  # noqa: T201
    out, err = run(capsys, "measure bert --batch-size 4 --json")
    assert json.loads(out)["outcome"] == "ok"
    assert "hello from the model" in err


@pytest.mark.parametrize(
    ("line", "name", "figures", "words"),
    [
        ("estimate bert --batch-size 4 --gpu l4", "model", {"batch_size": 4, "fits": True},
         "bert at batch size 4 on NVIDIA A100 40GB (simulated): fits, "),
        ("measure bert --batch-size 4", "model", {"batch_size": 4, "source": "measured"},
         "bert at batch size 4 on Test device (measured): fits, "),
        ("validate backward bert", "model_name", {"verdict": "PASS", "max_batch_size": 192},
         "PASS: bert · Test device (measured) · batch size 8 · fp32 · adamw"),
        ("validate compile bert", "model_name", {"verdict": "PASS", "break_even_steps": 5358},
         "PASS: bert · Test device (measured) · batch size 8 · fp32 · adamw"),
        ("compare bert --gpus l4,a10", "model_name", {"source": "simulated"},
         "Cheapest: NVIDIA "),
    ],
)  # fmt: skip
def test_every_job_answers_in_words_and_in_json(
    engine: StandInEngine, capsys: Any, line: str, name: str, figures: dict, words: str
) -> None:
    out, _ = run(capsys, f"{line} --json")
    values = json.loads(out)
    assert values[name] == "bert"
    assert {key: values[key] for key in figures} == figures
    out, _ = run(capsys, line)
    assert out.startswith(words)


def test_out_of_memory_is_a_result(engine: StandInEngine, capsys: Any) -> None:
    out, _ = run(capsys, "measure bert --batch-size 60000 --json")
    values = json.loads(out)
    assert (values["outcome"], values["fits"]) == ("oom", False)
    out, _ = run(capsys, "measure bert --batch-size 60000")
    assert "out of memory" in out


def test_a_models_own_error_is_a_failure(engine: StandInEngine, capsys: Any) -> None:
    engine.probe = FakeProbe(errors={4: "The model raised ValueError: too wide."})
    out, err = run(capsys, "measure bert --batch-size 4 --json", code=1)
    assert out == "" and "too wide" in err and TRACEBACK not in err


def test_nothing_fits_is_said_and_fails(engine: StandInEngine, capsys: Any) -> None:
    engine.probe = FakeProbe(target=measured_target(GIB))
    out, err = run(capsys, "analyze bert --json", code=1)
    assert json.loads(out)["max_batch_size"] is None
    assert (
        "Does not fit: batch 1 needs more than the 1.00 GiB of this GPU." in err
        and TRACEBACK not in err
    )


def test_validations_name_the_stage_of_each_trial(engine: StandInEngine, capsys: Any) -> None:
    out, err = run(capsys, "validate backward bert")
    assert "forward-only" in out
    assert "ok, forward-only" in err
    out, err = run(capsys, "validate compile bert")
    assert "compiled" in out and "ok, compiled" in err


def test_a_failed_validation_is_printed_and_fails(engine: StandInEngine, capsys: Any) -> None:
    engine.probe = FakeProbe(gradient_check=GradientCheck(10, 9, True, 100, 90, ("head.bias",)))
    out, err = run(capsys, "validate backward bert --json", code=1)
    assert json.loads(out)["verdict"] == "FAIL"
    assert "The validation failed." in err and TRACEBACK not in err


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("analyze bert --gpu l4 --price 2 --memory-budget 20GiB --headroom 0.1", "analysis"),
        ("validate backward bert --gpu l4 --batch-size 4", "backward"),
        ("validate compile bert --seq-len 64 --batch-size 4", "compile"),
        ("compare bert --gpus t4,l4 --memory-budget 4GiB --epochs 3", "comparison"),
    ],
)
def test_results_are_kept_with_the_words_that_repeat_them(
    engine: StandInEngine, capsys: Any, line: str, kind: str
) -> None:
    run(capsys, line)
    history = RunHistory()
    (listed,) = history.list()
    kept = history.open(listed.run_id)
    assert (kept.kind, kept.status) == (kind, RunStatus.DONE)
    assert kept.record["model_name"] == "bert"
    repeated = Request.from_dict(kept.request).command().removeprefix("memorymark ")
    run(capsys, repeated)
    first, second = engine.requests
    assert repeated.split()[0] == line.split()[0]
    assert first == second == Request.from_dict(kept.request)


def test_a_history_that_cannot_be_written_costs_no_result(
    engine: StandInEngine, capsys: Any, home: Path
) -> None:
    (home / "runs.sqlite3").mkdir()
    out, err = run(capsys, "analyze bert --json")
    assert json.loads(out)["max_batch_size"] == 192
    assert "was not saved" in err


def test_a_home_that_is_no_folder_costs_no_simulation(
    engine: StandInEngine, capsys: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "file").touch()
    monkeypatch.setenv("MEMORYMARK_HOME", str(home / "file"))
    out, err = run(capsys, "analyze bert --gpu l4 --json")
    assert json.loads(out)["max_batch_size"]
    assert "was not saved" in err
    _, err = run(capsys, "analyze bert --json", code=1)
    assert "no lock against other measurements" in err


# ---- options ---------------------------------------------------------------------------------


def test_every_training_option_reaches_the_engine(engine: StandInEngine, capsys: Any) -> None:
    run(
        capsys,
        "measure bert --batch-size 2 --task causal-lm --num-labels 3 --seq-len 64 --image-size 96"
        " --precision amp-bf16 --optimizer sgd --optimizer-impl foreach --zero-grad after-step"
        " --gradient-checkpointing --gradient-accumulation 4 --attention eager --no-dropout"
        " --channels-last --device cpu --memory-budget 2GiB",
    )
    (asked,) = engine.requests
    assert (asked.kind, asked.model, asked.batch_size) == ("measure", "bert", 2)
    assert (asked.device, asked.gpu, asked.memory_budget) == ("cpu", None, 2 * GIB)
    assert asked.config == TrainingConfig(
        task="causal-lm",
        num_labels=3,
        seq_len=64,
        image_size=96,
        precision="amp-bf16",
        optimizer="sgd",
        optimizer_impl="foreach",
        zero_grad="after-step",
        gradient_checkpointing=True,
        gradient_accumulation=4,
        attention="eager",
        dropout=False,
        channels_last=True,
    )


def test_defaults_are_those_of_the_config(engine: StandInEngine, capsys: Any) -> None:
    run(capsys, "measure bert --batch-size 2")
    assert engine.requests[0].config == TrainingConfig()
    run(capsys, "analyze bert")
    assert engine.requests[1].options == AnalysisOptions()


def test_every_analysis_option_reaches_the_engine(engine: StandInEngine, capsys: Any) -> None:
    run(
        capsys,
        "analyze gpt2 --gpu a10 --memory-budget 4GiB --current-batch-size 8 --price 1.29"
        " --dataset-size 1000 --epochs 3 --runs-per-year 12 --objective memory --granularity 1"
        " --headroom 0.1 --max-batch-size 512",
    )
    (asked,) = engine.requests
    assert (asked.model, asked.device, asked.gpu) == ("gpt2", None, "a10")
    assert asked.memory_budget == 4 * GIB
    assert asked.options == AnalysisOptions(
        current_batch_size=8,
        price_per_hour=1.29,
        dataset_size=1000,
        epochs=3,
        runs_per_year=12,
        objective="memory",
        granularity=1,
        headroom=0.1,
        max_batch_size=512,
    )


def test_compare_reads_names_with_commas(engine: StandInEngine, capsys: Any) -> None:
    run(capsys, "compare bert --gpus a10,l4")
    run(capsys, "compare bert")
    run(capsys, "compare bert --gpus a10,,l4,")
    assert [asked.gpus for asked in engine.requests] == [("a10", "l4"), (), ("a10", "l4")]


@pytest.mark.parametrize("gpus", [",", " , ", " ", ""])
def test_compare_without_a_name_is_not_compare_with_all(
    engine: StandInEngine, capsys: Any, gpus: str
) -> None:
    code = main(["compare", "bert", "--gpus", gpus])
    out, err = capsys.readouterr()
    assert (code, out, engine.requests) == (2, "", [])
    said = "There is no GPU to compare. Name at least one, as in a10,a100-40gb."
    assert err == f"Error: {said}\n"


# ---- words that are off ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("analyse bert", "'analyze'"),
        ("validate backwards bert", "'backward'"),
        ("analyze bert --precison fp16", "'--precision'"),
        ("analyze bert --precision fp17", "'fp16'"),
        ("analyze bert --optimizer adamww", "'adamw'"),
        ("analyze bert --optimizer-impl fuse", "'fused'"),
        ("analyze bert --attention sdp", "'sdpa'"),
        ("analyze bert --zero-grad after", "'after-step'"),
        ("analyze bert --task masked-ml", "'masked-lm'"),
        ("analyze bert --seq-len many", "--seq-len"),
        ("analyze bert --seq-len 0", "seq len is 0"),
        ("analyze bert --gradient-accumulation -1", "gradient accumulation is -1"),
        ("analyze", "model"),
        ("analyze bert gpt2", "gpt2"),
        ("measure bert", "--batch-size"),
        ("estimate bert --batch-size 4", "--gpu"),
        ("measure bert --batch-size", "--batch-size"),
        ("levers bert --device cpu", "accepted: cuda or cuda:N"),
        ("levers bert --device mps", "--gpu"),
        ("analyze bert --device cpu --levers", "accepted: cuda or cuda:N"),
        ("validate", "command"),
        ("--jsn", "'--jsn'"),
        ("app --port 70000", "--port"),
    ],
)
def test_wrong_words_end_with_two_and_one_sentence(
    engine: StandInEngine, capsys: Any, line: str, said: str
) -> None:
    out, err = run(capsys, line, code=2)
    assert out == "" and not engine.requests
    assert said in err
    assert err.startswith("Error: ") and err.count("\n") == 1
    assert TRACEBACK not in err and "╭" not in err


# ---- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.NotAvailable("Simulation is not available yet."), 1),
        (errors.ModelNotFound("There is no such model."), 1),
        (errors.UnknownChoice("GPU", "a11", ["a10"]), 2),
        (errors.InvalidValue("batch size", 0, "a whole number from 1"), 2),
    ],
)
@pytest.mark.parametrize("json_option", ["", " --json"])
def test_an_error_is_its_sentence_and_its_code(
    engine: StandInEngine, capsys: Any, error: Exception, code: int, json_option: str
) -> None:
    engine.raises = error
    out, err = run(capsys, f"analyze bert{json_option}", code=code)
    assert out == ""
    assert err == f"Error: {error}\n"


def test_a_model_that_exits_is_a_failure(engine: StandInEngine, capsys: Any) -> None:
    engine.raises = SystemExit(0)
    out, err = run(capsys, "measure bert --batch-size 4 --json", code=1)
    assert out == "" and "called sys.exit(0)" in err and TRACEBACK not in err


def test_a_history_that_cannot_be_read_is_no_bug(
    home: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "file").touch()
    for folder in (home / "file", home / "junk"):
        monkeypatch.setenv("MEMORYMARK_HOME", str(folder))
        if folder.name == "junk":
            folder.mkdir()
            (folder / "runs.sqlite3").write_text("not a history " * 100)
        _, err = run(capsys, "runs", code=1)
        assert "cannot be read" in err and "MEMORYMARK_HOME" in err


@pytest.mark.parametrize(
    "line",
    [
        "analyze bert --gpu L4X",
        "analyze bert --device tpu",
        "compare bert --gpus a10,foo",
        "measure brt --batch-size 1 --device cpu",
        "measure a..b:f --batch-size 1",
        "measure bert --batch-size 1 --device cuda:99999",
        f"estimate bert --batch-size 1 --gpu l4 --memory-budget {'9' * 400}",
    ],
)
def test_invalid_arguments_are_found_before_torch_is_loaded(line: str, home: Path) -> None:
    code = (
        "import sys; from memorymark.cli import main\n"
        "code = main(sys.argv[1:]); assert 'torch' not in sys.modules; sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *line.split()], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2, done.stderr


def test_a_bug_is_called_one(engine: StandInEngine, capsys: Any) -> None:
    engine.raises = KeyError("lost")
    out, err = run(capsys, "analyze bert", code=1)
    assert out == "" and TRACEBACK not in err
    assert "bug in MemoryMark" in err and "KeyError" in err and "--debug" in err


def test_debug_shows_the_traceback(engine: StandInEngine, capsys: Any) -> None:
    engine.raises = KeyError("lost")
    _, err = run(capsys, "analyze bert --debug", code=1)
    assert TRACEBACK in err and "KeyError" in err


@pytest.mark.parametrize(
    ("at", "said"),
    [(1, "no result"), (2, "batch size 16 fits"), (3, "16 fits, batch size 4096 is out of")],
)
def test_ctrl_c_says_the_partial_result(
    engine: StandInEngine, capsys: Any, at: int, said: str
) -> None:
    engine.probe = FakeProbe(raises={at: KeyboardInterrupt()})
    engine.probe.memory = lambda batch_size: 4 * GIB if len(engine.probe.calls) < 2 else 9 * GIB
    out, err = run(capsys, "validate backward bert --batch-size 16 --json", code=130)
    said = said.replace("4096", "16")
    assert out == "" and said in err and TRACEBACK not in err


def test_a_stopped_analysis_is_printed(engine: StandInEngine, capsys: Any) -> None:
    engine.probe = FakeProbe(raises={2: KeyboardInterrupt()})
    out, err = run(capsys, "analyze bert --json", code=130)
    assert json.loads(out)["complete"] is False
    assert "Partial result: batch size 8 fits" in err and TRACEBACK not in err


def test_an_analysis_that_met_an_error_is_printed_and_fails(
    engine: StandInEngine, capsys: Any
) -> None:
    engine.probe = FakeProbe(errors={192: "The model raised."})
    engine.probe.memory = lambda batch_size: GIB + 32 * MIB * batch_size
    out, err = run(capsys, "analyze bert --json --max-batch-size 192", code=1)
    assert json.loads(out)["stopped_by"] == "The model raised."
    assert err.endswith("Error: The model raised.\n")


def test_an_analysis_without_any_result_prints_only_its_error(
    engine: StandInEngine, capsys: Any
) -> None:
    engine.probe = FakeProbe(errors={8: "The model raised."})
    out, err = run(capsys, "analyze bert", code=1)
    assert out == "" and err.endswith("Error: The model raised.\n")


# ---- lists -----------------------------------------------------------------------------------


def test_help_and_version(capsys: Any) -> None:
    out, _ = run(capsys, "--help")
    for command in ("analyze", "estimate", "measure", "validate", "compare", "models", "gpus"):
        assert command in out
    assert run(capsys, "")[0].strip() == out.strip()
    assert memorymark.__version__ in run(capsys, "--version")[0]


def test_models(capsys: Any) -> None:
    out, _ = run(capsys, "models --json")
    assert {"bert", "gpt2", "resnet"} <= {row["form"] for row in json.loads(out)}
    assert "resnet" in run(capsys, "models")[0]


def test_models_lists_the_shipped_ones_with_size_task_licence_and_source(capsys: Any) -> None:
    rows = {row["form"]: row for row in json.loads(run(capsys, "models --json")[0])}
    row = rows["hf:meta-llama/Llama-3.1-8B"]
    assert (row["parameters"], row["task"], row["licence"]) == (
        8_030_261_248,
        "causal-lm",
        "llama3.1",
    )
    text = run(capsys, "models")[0]
    line = next(line for line in text.splitlines() if line.startswith("meta-llama/Llama-3.1-8B "))
    for part in ("Llama 3.1 8B", "8,030 M", "causal-lm", "llama3.1", row["source"]):
        assert part in line


def test_a_shipped_model_is_estimated_without_a_network_and_says_so(
    capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    out, _ = run(capsys, "estimate t5-small --batch-size 2 --seq-len 16 --gpu l4 --json")
    trial = json.loads(out)
    assert trial["model"] == "hf:google-t5/t5-small" and trial["fits"]
    assert any("comes with MemoryMark" in text for text in trial["assumptions"])


def test_a_length_that_the_model_does_not_take_is_left_out_and_said(capsys: Any) -> None:
    words = "estimate hf:gpt2 --batch-size 2 --gpu l4 --image-size 384"
    _, said = run(capsys, words)
    assert "'hf:gpt2' takes no images: the image size 384 is left out." in said
    _, said = run(capsys, "estimate hf:gpt2 --batch-size 2 --gpu l4 --num-frames 4", code=2)
    assert "takes no video; its lengths: sequence length" in said


def test_models_of_a_library(capsys: Any) -> None:
    names = json.loads(run(capsys, "models --library torchvision --json")[0])
    assert "torchvision:resnet50" in names
    assert "torchvision:vgg16" in run(capsys, "models --library torchvision")[0]
    _, said = run(capsys, "models --library torchvison", code=2)
    assert "'torchvision'" in said


def test_gpus(capsys: Any) -> None:
    rows = json.loads(run(capsys, "gpus --json")[0])
    assert {"t4", "a100-40gb", "h100-80gb"} <= {row["key"] for row in rows}
    assert "a100-40gb" in run(capsys, "gpus")[0]


def test_doctor(capsys: Any) -> None:
    values = json.loads(run(capsys, "doctor --json")[0])
    assert values["packages"]["torch"]
    assert "measure on cpu" in values["can"]
    assert "Python" in run(capsys, "doctor")[0]


def test_runs(capsys: Any) -> None:
    assert json.loads(run(capsys, "runs --json")[0]) == []
    record = {"model_name": "bert", "device": "Fake GPU", "source": "measured"}
    run_id = RunHistory().save("analysis", record)
    assert run_id in run(capsys, "runs")[0]
    assert json.loads(run(capsys, "runs --json")[0])[0]["model"] == "bert"
    assert json.loads(run(capsys, f"runs {run_id}")[0])["run_id"] == run_id
    _, err = run(capsys, "runs nope", code=1)
    assert "nope" in err


@pytest.mark.parametrize("name", ["[bold]x[/red]", "\x1b[2Jx", "x\nforged", "\u202ex", "\udcffx"])
def test_a_name_in_the_history_is_neither_markup_nor_an_escape(capsys: Any, name: str) -> None:
    RunHistory().save("analysis", {"model_name": name, "device": name, "source": "measured"})
    out, _ = run(capsys, "runs")
    assert visible(name) in out
    assert all(line.isprintable() for line in out.split("\n"))


# ---- the app ---------------------------------------------------------------------------------


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    commands: list[list[str]] = []
    execv = create_autospec(os.execv, side_effect=lambda path, words: commands.append(words))
    monkeypatch.setattr(os, "execv", execv)
    monkeypatch.setattr(serve, "check_free", create_autospec(serve.check_free))
    monkeypatch.chdir(ROOT)
    return commands


def test_app_says_that_it_listens_everywhere(started: list[list[str]], capsys: Any) -> None:
    _, err = run(capsys, "app --port 8600")
    assert "all interfaces, port 8600" in err
    serving = str(ROOT / "memorymark" / "ui" / "serving.py")
    assert started[0][1:5] == ["-P", serving, "run", str(ROOT / "streamlit_app.py")]
    options = dict(zip(started[0][5::2], started[0][6::2], strict=True))
    assert options["--server.port"] == "8600" and options["--server.address"] == "0.0.0.0"
    assert options["--server.showEmailPrompt"] == "false"


def test_app_on_one_address(started: list[list[str]], capsys: Any) -> None:
    _, err = run(capsys, "app --address 127.0.0.1")
    assert "127.0.0.1" in err and "all interfaces" not in err
    assert started[0][started[0].index("--server.address") + 1] == "127.0.0.1"


def test_app_does_not_start_with_a_guard_that_cannot_hold(
    started: list[list[str]], capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMORYMARK_SIGN_IN", "on please")
    assert "Accepted: 1, true" in run(capsys, "app", code=2)[1]
    monkeypatch.setenv("MEMORYMARK_HOME", __file__)
    monkeypatch.setenv("MEMORYMARK_SIGN_IN", "")
    assert "which is a file" in run(capsys, "app", code=2)[1]
    monkeypatch.setenv("MEMORYMARK_SIGN_IN", "")
    monkeypatch.setenv("MEMORYMARK_ALLOWED_USERS", "ada@example.org")
    assert "MEMORYMARK_SIGN_IN is not on" in run(capsys, "app", code=2)[1]
    assert not started


def test_app_says_at_the_start_what_sign_in_lacks(
    started: list[list[str]], capsys: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MEMORYMARK_SIGN_IN", "1")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    find = create_autospec(importlib.util.find_spec, return_value=None)
    monkeypatch.setattr(sign_in, "find_spec", find)
    assert "pip install 'streamlit[auth]'" in run(capsys, "app", code=1)[1]
    find.return_value = "there"
    assert "[auth]" in run(capsys, "app", code=2)[1]
    assert not started
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "secrets.toml").write_text("[auth]\n")
    run(capsys, "app")
    assert len(started) == 1


def test_app_without_its_pages_says_so(
    started: list[list[str]], capsys: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(serve, "ENTRIES", (tmp_path / "streamlit_app.py",))
    _, err = run(capsys, "app", code=1)
    assert "make app" in err and not started


# ---- the program -----------------------------------------------------------------------------


def test_python_dash_m_is_the_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "memorymark", "analyse"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stdout == ""
    assert "Did you mean 'analyze'?" in done.stderr


def test_trial_line_has_no_error_word_for_an_ok_trial() -> None:
    from memorymark.cli.live import trial_row

    trial = FakeProbe(thrashing_from=1).run_trial(TrialSpec(FakeWorkload(), TrainingConfig(), 8))
    assert trial.outcome is Outcome.OK
    assert "allocator retries" in trial_row(trial) and "error" not in trial_row(trial)


def test_levers_offer_only_devices_that_are_simulated(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = run(capsys, "levers --help")
    said = " ".join(out.replace("│", " ").split())
    assert "CUDA device of this machine, which is simulated: cuda or cuda:N." in said
    assert "measure" not in said.lower() and "mps" not in said
