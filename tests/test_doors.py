"""Generated input at every door: an answer or a sentence, never a traceback, a bug or a stray file.

What is thrown: words of the command line, configurations of models, queries of the page's address,
rows of the history, and JSON of records.
"""

from __future__ import annotations

import contextlib
import copy
import gzip
import io
import json
import os
import resource
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest
from tiny_configs import BACKBONE, BERT, LLAMA

from memorymark.cli import main
from memorymark.errors import MemoryMarkError
from memorymark.records.analysis import Analysis
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.comparison import Comparison
from memorymark.records.config import TrainingConfig
from memorymark.records.generation_plan import GenerationPlan
from memorymark.records.option import from_query, options_of
from memorymark.records.request import Request, RequestKind
from memorymark.records.serving_config import ServingConfig
from memorymark.records.session_run import SessionPlan
from memorymark.records.training_plan import TrainingPlan
from memorymark.records.trial import Trial
from memorymark.records.validation import BackwardValidation, CompileValidation
from memorymark.service.history import RunHistory

KEPT = Path(__file__).parent / "kept" / "records-0.1.0.json.gz"
ROOT = Path(__file__).parents[1]
LONGEST_SECONDS = 30
MOST_BYTES = 2 * 1024**3
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


def bounded(examples: int) -> settings:
    return settings(
        max_examples=examples, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


HOSTILE = st.sampled_from(
    [
        "", " ", ",", "-", "--", "\0", "\udcff", "９", "²", "-1", "0", "1", "1.5", "1e308", "1e999",
        "nan", "inf", "-inf", "9" * 400, "9" * 5000, "a" * 300, "a" * 100_000, "../../etc", "/",
        "~nosuch", "~nosuch/x", "[bold]x[/red]", "\x1b[31mred", "true", "None", "{}", "a\nb",
        "cuda:99999", "cuda:１", "4GiB", "1TiBB", "hf:", "hf:~nosuch/x", "hf:" + "a" * 300,
        "hf:./" + "a/" * 300, "hf:a b/c", "timm:", "torchvision:" + "a" * 300, "os:sep", "a..b:f",
        "sys:exit", "no.module:f", ":f", "f:", "‮", "é", "𝕏",
    ]
)  # fmt: skip
VALUES = st.one_of(HOSTILE, st.text(max_size=12))
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 70), st.sampled_from([10**12, 10**30, -(10**9)]),
    st.floats(), st.text(max_size=8), HOSTILE,
)  # fmt: skip
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@pytest.fixture(scope="module", autouse=True)
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder to work in and a home, neither of which anything may be written to."""
    base = tmp_path_factory.mktemp("doors")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.MonkeyPatch.context() as patch:
        for name in ("cwd", "user", "data"):
            (base / name).mkdir()
        model = base / "cwd" / "model"
        model.mkdir()
        (model / "config.json").write_text(json.dumps(BERT))
        patch.chdir(base / "cwd")
        patch.setenv("HOME", str(base / "user"))
        patch.setenv("MEMORYMARK_HOME", str(base / "data"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield base
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * _RSS_UNIT
    assert grown < MOST_BYTES


def files(base: Path) -> set[str]:
    return {
        os.path.join(folder, name)
        for part in ("cwd", "user")
        for folder, _, names in os.walk(base / part)
        for name in names
    }


@contextlib.contextmanager
def watched(base: Path) -> Iterator[None]:
    before, start = files(base), time.perf_counter()
    yield
    assert time.perf_counter() - start < LONGEST_SECONDS
    assert files(base) == before


def at_the_command_line(base: Path, words: list[str]) -> str:
    """Run a command line and return its output; whatever it is, its end is a good one."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace") for _ in range(2))
    with watched(base), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    said, told = (stream.detach().getvalue().decode() for stream in (out, err))
    assert code in (0, 1, 2), told
    assert "Traceback" not in told and "bug in MemoryMark" not in told, (words, told[-2000:])
    assert "\x1b" not in said + told
    if "--json" in words and said and "--help" not in words:
        json.loads(said, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    return said


def record_or_sentence(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except MemoryMarkError as error:
        assert len(str(error)) < 10_000
        return None


# ---- the command line ------------------------------------------------------------------------

FLAGS = [
    option.flag
    for kind in (TrainingConfig, AnalysisOptions, Request)
    for option in options_of(kind).values()
]
COMMANDS = {
    "estimate": ["estimate", "hf:./model", "--batch-size", "2", "--gpu", "l4", "--seq-len", "8"],
    "estimate any": ["estimate", "--batch-size", "2", "--gpu", "l4"],
    "compare": ["compare", "hf:./model", "--gpus", "l4", "--seq-len", "8"],
    "gpus": ["gpus"], "models": ["models"], "runs": ["runs"],
}  # fmt: skip


@bounded(120)
@given(
    command=st.sampled_from(list(COMMANDS)),
    more=st.lists(st.tuples(st.sampled_from([*FLAGS, "--library", "--junk", ""]), VALUES),
                  max_size=2),
    as_json=st.booleans(),
)  # fmt: skip
@example(command="estimate any", more=[("", "sys:exit")], as_json=True)
@example(command="estimate any", more=[("", "hf:~nosuch/x")], as_json=False)
@example(command="estimate", more=[("--memory-budget", "9" * 5000)], as_json=True)
@example(command="runs", more=[("", "\udcff")], as_json=False)
def test_words_of_the_command_line(sandbox: Path, command: str, more: Any, as_json: bool) -> None:
    words = list(COMMANDS[command])
    for flag, value in more:
        words += [flag, value] if flag else [value]
    at_the_command_line(sandbox, words + ["--json"] * as_json)


def test_the_commands_work_before_anything_is_thrown(sandbox: Path) -> None:
    assert "fits" in at_the_command_line(sandbox, COMMANDS["estimate"])
    assert "l4" in at_the_command_line(sandbox, COMMANDS["compare"])


# ---- configurations of models ----------------------------------------------------------------


@st.composite
def configurations(draw: st.DrawFn) -> Any:
    values = copy.deepcopy(draw(st.sampled_from([BERT, LLAMA, BACKBONE])))
    for _ in range(draw(st.integers(1, 2))):
        name = draw(st.sampled_from(sorted(values)) | st.sampled_from(
            ["num_labels", "architectures", "auto_map", "torch_dtype", "quantization_config",
             "rope_scaling", "pad_token_id", "use_cache", "id2label", "layer_types"]
        ))  # fmt: skip
        if draw(st.integers(0, 5)):
            values[name] = draw(JSON)
        else:
            values.pop(name, None)
    return values


@bounded(60)
@given(values=configurations())
def test_configurations_of_models(sandbox: Path, values: Any) -> None:
    folder = sandbox / "data" / "generated"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(values))
    words = ["estimate", f"hf:{folder}", "--batch-size", "2", "--gpu", "l4", "--json"]
    at_the_command_line(sandbox, words)


# ---- the page's address ----------------------------------------------------------------------

NAMES = [*options_of(TrainingConfig), *options_of(AnalysisOptions), *options_of(Request), "run"]


@bounded(300)
@given(query=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4))
def test_queries(query: dict[str, str]) -> None:
    config, refused = from_query(TrainingConfig, query)
    options, more = from_query(AnalysisOptions, query)
    assert all(len(sentence) < 10_000 for sentence in [*refused, *more])
    target = {name: query[name] for name in ("device", "gpu", "memory_budget") if name in query}
    request = record_or_sentence(
        lambda: Request(
            RequestKind.ANALYSIS, query.get("model", "bert"), config, options=options, **target
        )
    )
    if request is not None:
        json.dumps(request.to_dict(), allow_nan=False)
        assert request.command() and request.lock_name


PAGES = (
    "analysis", "backward_validation", "levers", "cost_comparison", "sessions", "generate",
    "training", "runs",
)  # fmt: skip
ON_PAGES = [*dict.fromkeys([
    *NAMES, *options_of(TrainingPlan), *options_of(ServingConfig), *options_of(SessionPlan),
    *options_of(GenerationPlan),
])]  # fmt: skip


@bounded(10)
@given(page=st.sampled_from(PAGES), query=st.dictionaries(st.sampled_from(ON_PAGES), VALUES))
@example(page="sessions", query={"context_tokens": "8", "output_tokens": "9", "turns": "1"})
@example(page="generate", query={"temperature": "1e308", "max_new_tokens": "9" * 5000})
@example(page="runs", query={"run": "![x](http://host/a.png)"})
@example(page="analysis", query={"model": "hf:~nosuch/x", "gpu": "a" * 300, "seq_len": "9" * 5000})
def test_pages(sandbox: Path, page: str, query: dict[str, str]) -> None:
    streamlit.cache_resource.clear()
    app = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=LONGEST_SECONDS)
    for name, value in query.items():
        app.query_params[name] = value
    with watched(sandbox):
        app.run()
        app.switch_page(f"pages/{page}.py").run()
    assert not app.exception
    shown = " ".join(str(each.value) for each in [*app.error, *app.warning, *app.markdown])
    assert "Traceback" not in shown and "bug in MemoryMark" not in shown


# ---- rows of the history ---------------------------------------------------------------------

COLUMNS = ("kind", "status", "model", "device", "created_at", "finished_at", "request", "record")
CELLS = st.one_of(
    st.binary(max_size=8), st.floats(), st.integers(-(2**63), 2**63 - 1),
    st.text(st.characters(codec="utf-8"), max_size=12), JSON.map(json.dumps),
)  # fmt: skip


@bounded(60)
@given(cells=st.dictionaries(st.sampled_from(COLUMNS), CELLS, min_size=1, max_size=3))
def test_rows_of_the_history(sandbox: Path, cells: dict[str, Any]) -> None:
    history = RunHistory()
    history.path.unlink(missing_ok=True)
    good = history.save("analysis", {"model_name": "bert", "device": "GPU", "source": "measured"})
    odd = history.save("analysis", {"model_name": "bert", "device": "GPU", "source": "measured"})
    with contextlib.closing(sqlite3.connect(history.path)) as file, file:
        for column, value in cells.items():
            with contextlib.suppress(sqlite3.IntegrityError):  # NaN is NULL to SQLite
                file.execute(f"UPDATE runs SET {column} = ? WHERE run_id = ?", (value, odd))
    assert good in at_the_command_line(sandbox, ["runs"])
    assert good in at_the_command_line(sandbox, ["runs", "--json"])
    at_the_command_line(sandbox, ["runs", odd])


# ---- JSON of records -------------------------------------------------------------------------

KINDS = {
    "analyze": Analysis, "estimate": Trial, "measure": Trial, "backward": BackwardValidation,
    "compile": CompileValidation, "compare": Comparison,
}  # fmt: skip
DOCUMENTS = {
    name: json.loads(kept["stdout"])
    for name, kept in json.loads(gzip.decompress(KEPT.read_bytes())).items()
    if not name.endswith(("bert", "gpt2", "resnet"))
}


@st.composite
def documents(draw: st.DrawFn) -> tuple[Any, Any]:
    """A kind of record and a document of it with a few of its values replaced, or any JSON."""
    name = draw(st.sampled_from(sorted(DOCUMENTS)))
    kind, document = KINDS[name.partition("-")[0]], copy.deepcopy(DOCUMENTS[name])
    if not draw(st.integers(0, 4)):
        return draw(st.sampled_from([kind, Request])), draw(JSON)
    for _ in range(draw(st.integers(1, 3))):
        place = document
        while isinstance(place, dict | list) and place:
            key = draw(st.sampled_from(sorted(place) if isinstance(place, dict)
                                       else range(len(place))))  # fmt: skip
            if not isinstance(place[key], dict | list) or draw(st.booleans()):
                place[key] = draw(JSON)
                break
            place = place[key]
    return kind, document


@bounded(200)
@given(given=documents())
def test_json_of_records(given: tuple[Any, Any]) -> None:
    kind, document = given
    record = record_or_sentence(lambda: kind.from_dict(document))
    if record is not None:
        json.dumps(record.to_dict(), allow_nan=False)
