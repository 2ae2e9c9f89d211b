"""Every command and snippet of the README is run.

As written, on a stand-in for the probes, so that each word of it is one that the program takes.
And by the real engine, with small models in the place of bert, gpt2 and resnet, and small budgets.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from unittest.mock import create_autospec

import pytest
import torch
from stand_in_engine import StandInEngine, install

from memorymark import __version__
from memorymark.cli import main
from memorymark.probes.choose import has_cuda
from memorymark.records.arc_plan import ArcPlan
from memorymark.records.arc_report import ArcReport
from memorymark.records.config import TrainingConfig
from memorymark.records.generation_plan import GenerationPlan
from memorymark.records.generation_run import Ending, GenerationRun, WeightsFrom
from memorymark.records.serving_config import ServingConfig
from memorymark.records.training_comparison import TrainingComparison
from memorymark.records.training_plan import TrainingPlan
from memorymark.records.training_run import StoppedBy, TrainingRun
from memorymark.records.trial import Source, Target
from memorymark.workloads.known_models import BUILTIN_TASKS, find_known_model
from memorymark.workloads.own_training import as_training

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
PYTHON_DASH_M = (".venv/bin/python", "-m")
SMALL_BUDGET = "16MiB"
# Small models of the same kind and task as the built-in ones.
SMALL = {
    "bert": {
        "model_type": "bert", "architectures": ["BertForSequenceClassification"],
        "vocab_size": 500, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 64,
    },
    "gpt2": {
        "model_type": "gpt2", "architectures": ["GPT2ForSequenceClassification"],
        "vocab_size": 500, "n_embd": 32, "n_layer": 1, "n_head": 2, "bos_token_id": 1,
        "eos_token_id": 1,
    },
    "resnet": {
        "model_type": "resnet", "architectures": ["ResNetForImageClassification"],
        "embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1],
    },
}  # fmt: skip
# And of the built-in ones that are trained.
SMALL_TRAINED = {
    "gpt2-bytes-small": {
        "model_type": "gpt2", "vocab_size": 256, "n_positions": 64, "n_embd": 16, "n_layer": 1,
        "n_head": 2, "bos_token_id": 0, "eos_token_id": 0,
    },
    "bdh-small": {"model_type": "bdh", "hidden_size": 16, "num_hidden_layers": 1},
}  # fmt: skip
TRAINING = ("train", "compare-training")
# What a command's answer in words holds besides the model's name.
SAID = {
    "analyze": r"Recommended: \d+(.|\n)*\nLargest that fits +batch (at least )?[\d,]+: ",
    "measure": r": fits, (.|\n)*peak allocated +\d(.|\n)*parameters +\d",
    "estimate": r": fits, (.|\n)*peak reserved +\d(.|\n)*parameters +\d",
    "compare": r"(t4|l4|a100-40gb)( .*){3}\n",
    "levers": r"samples/s(.|\n)*Gradient checkpointing +(yes|no) +\d",
    "generate": r"peak allocated, measured +\d(.|\n)*none, to the byte",
    "arc": r"test grids right after training(.|\n)*trained on each task +\d",
    "sessions": r"^(PASS|FAIL): (.|\n)*cache of a session +\d(.|\n)*next token +\d",
    "train": r"was trained on CPU(.|\n)*measured(.|\n)*Memory: PASS(.|\n)*h100-80gb +yes",
    "compare-training": r"^On the same data(.|\n)*evaluation loss(.|\n)*peak memory, predicted",
    "validate": r"^(PASS|WARN): (.|\n)*batch 4",
}
# What works on a text and takes no model, with what its answer in words holds.
OF_TEXTS = {"tokenize": r"^[\d,]+ tokens of [\d,]+ bytes of text are in (.|\n)*bytes per token"}
TEXT = "To be, or not to be: that is the question.\n" * 200
WRITTEN = GenerationRun(
    "gpt2", ServingConfig(), GenerationPlan(), Target("CPU", "cpu", Source.MEASURED, None),
    WeightsFrom.RANDOM, Ending.LENGTH, weights_bytes=1, text="Once",
)  # fmt: skip
ANSWERED = ArcReport(
    "gpt2", TrainingConfig(), ArcPlan(), Target("CPU", "cpu", Source.MEASURED, None),
    WeightsFrom.RANDOM,
)  # fmt: skip
TRAINED = TrainingRun(
    "gpt2", TrainingConfig(), TrainingPlan(), WRITTEN.target, 1, StoppedBy.LENGTH, steps=1
)  # fmt: skip
LISTED = {"runs": "", "models": "resnet", "gpus": "a100-40gb", "doctor": "torch"}


def fences(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """The lines of the shell fences, and what the text and the snippets name in passing."""
    lines = [line for fence in fences("sh") for line in fence.splitlines() if line.strip()]
    lines += re.findall(r"`(make [a-z][^`]*|memorymark [a-z][^`]*)`", README)
    lines += [command for _, command in own_files().values()]
    return [shlex.split(line) for line in lines]


def own_files() -> dict[str, tuple[str, str]]:
    """The snippets that are files of the user's: name -> text and the command for it."""
    heads = [(re.match(r"# (\w+\.py): (memorymark .*)", text), text) for text in fences("python")]
    return {head[1]: (text, head[2]) for head, text in heads if head}


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> StandInEngine:
    monkeypatch.setenv("MEMORYMARK_HOME", str(tmp_path))
    monkeypatch.setattr(os, "execv", create_autospec(os.execv))
    monkeypatch.chdir(ROOT)
    return install(monkeypatch)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A folder to work in with the small models, the README's own workload and no stand-in."""
    monkeypatch.setenv("MEMORYMARK_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MEMORYMARK_PROBE_FACTORY", raising=False)
    monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "1")  # a pool of them costs more here
    for name, values in {**SMALL, **SMALL_TRAINED}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(values))
    for name, (text, _) in own_files().items():
        (tmp_path / name).write_text(text)
    (tmp_path / "shakespeare.txt").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # steps this small only wait for each other's threads
    yield tmp_path
    torch.set_num_threads(threads)


def smaller(words: list[str]) -> list[str]:
    """Put a small model and a small budget in the place of the README's; the rest stays."""
    small = {**SMALL, **SMALL_TRAINED} if words[0] in TRAINING else SMALL
    given = [f"./{word}" if word in small else word for word in words]
    if words[:2] == ["validate", "compile"]:
        given[2] = "mine:tiny"  # compiling one layer takes seconds, a small BERT half a minute
    if "--memory-budget" in given:
        given[given.index("--memory-budget") + 1] = SMALL_BUDGET
    elif "cpu" in given:
        given += ["--memory-budget", SMALL_BUDGET]
    return given


def of_the_engine() -> list[list[str]]:
    """The commands that the engine answers: all of the program's but the one that serves."""
    found = [words[1:] for words in commands() if words[0] == "memorymark" and words[1] != "app"]
    return [list(words) for words in dict.fromkeys(map(tuple, found))]


def test_readme_has_commands() -> None:
    assert len(commands()) > 15
    assert {words[0] for words in of_the_engine()} == {*SAID, *OF_TEXTS, *LISTED}
    assert len(fences("python")) == 7 and len(own_files()) == 3


@pytest.mark.parametrize("words", of_the_engine(), ids=" ".join)
def test_every_command_meets_the_real_engine(words: list[str], small: Path, capsys) -> None:
    given = smaller(words)
    code = main(given)
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    if "cuda" in words and not has_cuda():
        assert (code, out) == (1, "")
        assert "No CUDA device is available" in err
        return
    if words[:2] == ["validate", "compile"] and shutil.which("g++") is None:
        assert code == 1 and "The compiled step failed" in err
        return
    assert code == 0, err
    if words[0] in LISTED:
        assert LISTED[words[0]] in out
        return
    if words[0] in OF_TEXTS:
        assert re.search(OF_TEXTS[words[0]], out), out
        return
    own = tuple(name.replace(".py", ":") for name in own_files())
    model = next(
        word
        for word in given
        if word.startswith(("./", *own)) or word in BUILTIN_TASKS or find_known_model(word)
    )
    assert model.split(":")[-1].lower() in out.lower()
    if "--json" in words:
        assert json.loads(out)["max_batch_size"] > 0
    else:
        assert re.search(SAID[words[0]], out), out


def test_the_snippet_of_the_library_meets_the_real_engine(small: Path, capsys) -> None:
    (snippet,) = [fence for fence in fences("python") if "memorymark.analyze(" in fence]
    names: dict[str, object] = {}
    code = snippet.replace('"bert"', '"./bert"').replace('"2GiB"', repr(SMALL_BUDGET))
    exec(compile(code, "README.md", "exec"), names)
    analysis, trial = names["analysis"], names["trial"]
    assert (analysis.target.kind, analysis.complete) == ("cpu", True)
    assert analysis.max_batch_size > analysis.current.batch_size
    assert (trial.source, trial.fits, trial.batch_size) == ("simulated", True, 256)
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == f"{analysis.max_batch_size} {analysis.speedup}"
    assert second.split()[0].isdigit() and "Breakdown(parameters=" in second
    assert third == f"True {trial.peak_reserved_bytes}"


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_is_one(
    words: list[str], engine: StandInEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    elif words[0] == "memorymark" or words[:3] == [*PYTHON_DASH_M, "memorymark"]:
        if "generate" in words:  # no probe of the tests writes text
            engine.result = WRITTEN
        if words[1] in TRAINING:
            both = TrainingComparison((TRAINED, TRAINED))
            engine.result = TRAINED if words[1] == "train" else both
        if "arc" in words:
            engine.result = ANSWERED
        if words[1] in OF_TEXTS:  # what they write is none of the repository's
            monkeypatch.chdir(tmp_path)
            (tmp_path / "shakespeare.txt").write_text(TEXT)
        assert main(words[words.index("memorymark") + 1 :]) == 0
    elif words[0] == "pip":  # tests/test_wheel.py builds and installs
        wheel = f"dist/memorymark-{__version__}-py3-none-any.whl"
        assert words[1] in ("install", "wheel") and words[-1] in (".", wheel)
    else:
        known = (["python3", "-m", "venv"], [*PYTHON_DASH_M, "pip"], [*PYTHON_DASH_M, "pytest"])
        assert words[:3] in known


# Those of the callbacks run in real trainings: tests/callbacks/test_readme_snippets.py.
SNIPPETS = [text for text in fences("python") if "memorymark.callbacks" not in text]


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda text: text.splitlines()[0])
def test_every_snippet_runs(snippet: str, engine: StandInEngine) -> None:
    names: dict[str, object] = {}
    exec(compile(snippet, "README.md", "exec"), names)
    factory = names.get("tiny") or names.get("train")
    if factory is None:
        assert engine.requests
    else:
        config = [TrainingConfig(seq_len=8)] if "config" in signature(factory).parameters else []
        training = as_training(factory(*config))
        batch = training.make_batch(3)
        if training.step is None:
            assert training.loss(training.model, batch).numel() == 1
        else:
            optimizer = training.optimizer(training.model)
            assert training.step(training.model, batch, optimizer).isfinite()


def test_every_command_of_the_program_is_named() -> None:
    source = ast.parse((ROOT / "memorymark" / "cli" / "main.py").read_text())
    named = [
        node.func.args[0].value if node.func.args else node.args[0].attr.replace("_", "-")
        for node in ast.walk(source)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Call)
        and isinstance(node.func.func, ast.Attribute)
        and node.func.func.attr == "command"
    ]
    assert len(named) > 9
    for name in named:
        assert re.search(rf"`[^`]*\b{name}\b[^`]*`", README), f"{name} is not in the README"


def test_the_pages_of_the_app_are_named() -> None:
    number, named = re.search(r"The app has (\w+) pages: ([^.]+)\.", README).groups()
    names = [
        name.replace("-pass", "").replace(" ", "_") for name in re.split(r",\s|\sand\s", named)
    ]
    pages = {page.stem for page in (ROOT / "pages").glob("*.py")}
    assert set(names) == pages
    assert number == {7: "seven", 8: "eight", 9: "nine"}[len(pages)]


def test_linked_files_exist() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert "docs/screenshot.png" in targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
