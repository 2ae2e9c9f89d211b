"""The codec: records of version 0.1.0 open and are written as they were; damage is said."""

from __future__ import annotations

import dataclasses
import gzip
import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeProbe, FakeWorkload
from hypothesis import given
from hypothesis import strategies as st
from since_0_1_0 import with_added

from memorymark.analysis.analyze import analyze_on
from memorymark.analysis.validate import validate_backward_on, validate_compile_on
from memorymark.errors import InvalidRecord, InvalidValue, UnknownChoice
from memorymark.records import config as choices
from memorymark.records.analysis import Analysis
from memorymark.records.analysis_options import AnalysisOptions, Objective
from memorymark.records.codec import Record, parse_json, to_json
from memorymark.records.comparison import Comparison
from memorymark.records.config import TrainingConfig
from memorymark.records.event import Event, EventKind
from memorymark.records.held_memory import Breakdown, Holder, Timeline
from memorymark.records.request import Request
from memorymark.records.trial import GradientCheck, Outcome, Source, Stage, Trial
from memorymark.records.validation import BackwardValidation, CompileValidation
from memorymark.service.history import RunHistory

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "tests" / "kept"
OUTPUTS = json.loads(gzip.decompress((KEPT / "records-0.1.0.json.gz").read_bytes()))
KINDS: dict[str, type[Record]] = {
    "analysis": Analysis,
    "backward": BackwardValidation,
    "compile": CompileValidation,
    "comparison": Comparison,
}
COMMANDS = {"analyze": "analysis", "compare": "comparison", "estimate": "", "measure": ""}
ADDED_BY_THE_HISTORY = {"run_id", "device", "elapsed_seconds"}


@pytest.fixture(scope="module")
def old_history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("old") / "runs.sqlite3"
    path.write_bytes(gzip.decompress((KEPT / "history-0.1.0.sqlite3.gz").read_bytes()))
    return path


def kind_of(name: str) -> type[Record]:
    command = name.partition("-")[0]
    return KINDS.get(COMMANDS.get(command, command), Trial)


# ---- what was kept ---------------------------------------------------------------------------


def test_every_kind_was_kept():
    assert {kind_of(name) for name in OUTPUTS} == {*KINDS.values(), Trial}


@pytest.mark.parametrize("name", OUTPUTS)
def test_what_the_commands_printed_reads_and_writes_back_to_the_byte(name: str):
    printed = json.loads(OUTPUTS[name]["stdout"])
    record = kind_of(name).from_dict(printed)
    expected = json.dumps(with_added(printed, use_cache="off"), indent=2)
    assert json.dumps(record.to_dict(), indent=2) == to_json(record) == expected


def test_every_run_of_an_old_history_opens_and_writes_back_to_the_byte(old_history: Path):
    with sqlite3.connect(old_history) as connection:
        rows = connection.execute("SELECT run_id, kind, record FROM runs WHERE record != ''")
        kept = {run_id: (kind, text) for run_id, kind, text in rows}
    assert {kind for kind, _ in kept.values()} == set(KINDS)
    for run_id, (kind, text) in kept.items():
        values = RunHistory(old_history).open(run_id).record
        written = KINDS[kind].from_dict(values).to_dict()
        added = {key: values[key] for key in values if key not in written}
        assert set(added) <= ADDED_BY_THE_HISTORY
        expected = with_added(json.loads(text), use_cache="off")
        assert json.dumps({**written, **added}) == json.dumps(expected)


def test_every_request_and_every_event_of_an_old_history_opens(old_history: Path):
    history = RunHistory(old_history)
    runs = [history.open(run.run_id) for run in history.list()]
    assert len(runs) > 9
    for run in runs:
        assert Request.from_dict(run.request).model == run.model
    events = [event for run in runs for event in history.events(run.run_id)]
    assert len(events) > 200
    assert [Event.from_dict(event).to_dict() for event in events] == events


def test_a_training_of_version_0_1_0_had_the_generation_cache_off():
    kept = Trial.from_dict(json.loads(OUTPUTS["estimate-gpt2"]["stdout"])).config
    assert (kept.use_cache, kept.loop) == ("off", "plain")
    assert TrainingConfig.from_dict({"seq_len": 8}).use_cache == "auto"
    assert TrainingConfig.from_dict({**kept.to_dict(), "use_cache": "on"}).use_cache == "on"


# ---- round trips -----------------------------------------------------------------------------


def through_json(record: Any) -> Any:
    return type(record).from_dict(json.loads(to_json(record)))


names = {"task": choices.Task, "precision": choices.Precision, "optimizer": choices.Optimizer}
names |= {"optimizer_impl": choices.OptimizerImpl, "zero_grad": choices.ZeroGrad}
names |= {"use_cache": choices.UseCache}
configs = st.builds(
    TrainingConfig,
    **{name: st.sampled_from([*kind]) for name, kind in names.items()},
    num_labels=st.none() | st.integers(1, 1_000_000),
    seq_len=st.integers(1, 1_000_000),
    gradient_accumulation=st.integers(1, 1_000_000),
    dropout=st.booleans(),
    compile=st.booleans(),
)
amounts = st.none() | st.integers(0, 10**9) | st.floats(0, 1e9)
wanted = st.builds(
    AnalysisOptions,
    current_batch_size=st.integers(1, 65_535),
    price_per_hour=amounts,
    runs_per_year=amounts,
    dataset_size=st.none() | st.integers(1, 10**15),
    objective=st.sampled_from([*Objective]),
    headroom=st.floats(0, 0.9),
)
sizes = st.integers(0, 2**48)
maybe_sizes = st.none() | sizes
seconds = st.none() | st.floats(0, 1e9)
texts = st.lists(st.text(max_size=9), max_size=3).map(tuple)
breakdowns = st.builds(Breakdown, parameters=sizes, activations=sizes, workspaces=sizes)
timelines = st.lists(sizes, max_size=9).map(
    lambda held: Timeline(tuple(range(len(held))), tuple(held), (("forward", 0), ("backward", 5)))
)
checks = st.builds(GradientCheck, sizes, sizes, st.none() | st.booleans(), sizes, sizes, texts)
trials = st.builds(
    Trial,
    model=st.text(max_size=9),
    batch_size=st.integers(1, 65_535),
    config=configs,
    source=st.sampled_from([*Source]),
    device=st.text(max_size=9),
    outcome=st.sampled_from([*Outcome]),
    peak_allocated_bytes=maybe_sizes,
    minimum_bytes=maybe_sizes,
    breakdown=st.none() | breakdowns,
    holders=st.lists(st.builds(Holder, st.text(), st.just("inputs"), sizes), max_size=3).map(tuple),
    timeline=st.none() | timelines,
    step_seconds=seconds,
    stage=st.sampled_from([*Stage]),
    gradient_check=st.none() | checks,
    thrashing=st.none() | st.booleans(),
    findings=texts,
    error=st.none() | st.text(),
    software=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
)


@given(st.one_of(configs, wanted, trials))
def test_records_survive_json(record: Record):
    assert through_json(record) == record


def made_analysis() -> Analysis:
    return analyze_on(FakeProbe(), FakeWorkload(), TrainingConfig())


@pytest.mark.parametrize(
    "make",
    [
        made_analysis,
        lambda: analyze_on(FakeProbe(fixed_bytes=2**40), FakeWorkload(), TrainingConfig()),
        lambda: validate_backward_on(FakeProbe(), FakeWorkload(), TrainingConfig(), 8),
        lambda: validate_compile_on(FakeProbe(), FakeWorkload(), TrainingConfig(), 8),
        lambda: Comparison.from_dict(json.loads(OUTPUTS["compare-tiny"]["stdout"])),
        lambda: Event(EventKind.NOTE, "A note", progress=0.5),
    ],
)
def test_results_survive_json(make: Any):
    record = make()
    assert through_json(record) == record


def test_written_values_are_plain():
    plain = {dict, list, tuple, str, int, float, bool, type(None)}

    def look(value: Any) -> None:
        assert type(value) in plain, value
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        if not isinstance(value, str) and isinstance(inner, list | tuple):
            for item in inner:
                look(item)

    look(made_analysis().to_dict())
    look(TrainingConfig(task="causal-lm").to_dict())


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_json_has_no_numbers_that_json_does_not_know(value: float):
    trial = dataclasses.replace(made_analysis().trials[0], step_seconds=value)
    assert json.loads(to_json(trial))["step_seconds"] is None


# ---- old, new and damaged --------------------------------------------------------------------


def test_keys_of_another_version_are_left_out_and_missing_ones_are_defaults():
    values = made_analysis().trials[0].to_dict()
    del values["stage"], values["findings"]
    values["colour"] = "blue"
    assert Trial.from_dict(values) == made_analysis().trials[0]


def test_a_config_with_a_key_that_nobody_knows_is_refused():
    with pytest.raises(UnknownChoice, match="seq_len"):
        Trial.from_dict({**made_analysis().trials[0].to_dict(), "config": {"seqlen": 8}})


def test_a_config_keeps_its_own_words_for_values_out_of_range():
    with pytest.raises(InvalidValue, match="seq len is 0"):
        TrainingConfig.from_dict({"seq_len": 0})
    with pytest.raises(UnknownChoice, match="Did you mean 'fp32'"):
        TrainingConfig.from_dict({"precision": "fp33"})


def damaged(change: Any) -> dict[str, Any]:
    values = json.loads(to_json(made_analysis()))
    change(values)
    return values


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda values: values.clear(), "'trials' is missing"),
        (lambda values: values.pop("model_name"), "'model_name' is missing"),
        (lambda values: values.pop("marks"), "'marks' is missing"),
        (lambda values: values["trials"].insert(0, 3), "trials[0]: 3 is not an object"),
        (lambda values: values.update(max_batch_size="8"), "max_batch_size: '8' is not a whole"),
        (
            lambda values: values.update(elapsed_seconds="1 s"),
            "elapsed_seconds: '1 s' is not a number",
        ),
        (lambda values: values.update(complete=1), "complete: 1 is not true or false"),
        (lambda values: values["trials"][1].pop("device"), "trials[1]: 'device' is missing"),
        (lambda values: values["trials"][0].update(outcome="fine"), "trials[0].outcome"),
        (lambda values: values["trials"][0].update(breakdown=[1]), "trials[0].breakdown"),
        (lambda values: values["marks"]["max"].update(trial=99), "index out of range"),
        (lambda values: values["marks"].update(max=None), "'NoneType'"),
        (lambda values: values["target"].update(source="guessed"), "target.source"),
        (lambda values: values.update(config=7), "config"),
    ],
)
def test_a_damaged_record_is_said_in_one_sentence(change: Any, said: str):
    with pytest.raises(InvalidRecord) as caught:
        Analysis.from_dict(damaged(change))
    sentence = str(caught.value)
    assert sentence.startswith("The JSON is not a valid Analysis: ") and sentence.endswith(".")
    assert said in sentence and "\n" not in sentence


@pytest.mark.parametrize("values", [None, [], "text", 3])
@pytest.mark.parametrize("kind", [Trial, Analysis, Event, Request, TrainingConfig])
def test_what_is_no_object_is_no_record(kind: type[Record], values: Any):
    with pytest.raises(InvalidRecord, match=kind.__name__):
        kind.from_dict(values)


def test_a_timeline_holds_whole_numbers():
    values = json.loads(OUTPUTS["estimate-tiny"]["stdout"])
    values["timeline"]["positions"][1] = 1.5
    with pytest.raises(
        InvalidRecord, match=r"timeline\.positions: this is not a list of whole numbers"
    ):
        Trial.from_dict(values)


@pytest.mark.parametrize("place", [("batch_size",), ("step_seconds",), ("timeline", "positions")])
@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**400])
def test_a_whole_number_that_no_table_holds_is_refused(place: tuple[str, ...], number: int):
    values = json.loads(OUTPUTS["estimate-tiny"]["stdout"])
    *outer, key = place
    parent = values[outer[0]] if outer else values
    parent[key] = [number] * len(parent[key]) if outer else number
    with pytest.raises(InvalidRecord, match="beyond 64 bits"):
        Trial.from_dict(values)


def test_a_document_that_breaks_off_is_said(tmp_path: Path):
    with pytest.raises(InvalidRecord, match="not JSON"):
        parse_json('{"model": "be', "Trial")
    history = RunHistory(tmp_path / "runs.sqlite3")
    run_id = history.save("analysis", made_analysis().to_dict())
    with sqlite3.connect(history.path) as connection:
        connection.execute("UPDATE runs SET record = substr(record, 1, 400)")
    with pytest.raises(InvalidRecord, match=f"record of run {run_id}: not JSON"):
        history.open(run_id)


# ---- what it costs ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "import memorymark.cli",
        "from memorymark.cli import main; main(['gpus'])",
        "from memorymark.cli import main; main(['--version'])",
        "from memorymark.cli import main; main(['runs'])",
    ],
)
def test_the_library_behind_the_codec_is_loaded_with_the_first_record(
    statement: str, tmp_path: Path
):
    code = f"import sys; {statement}; print('cattrs' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT, env={"MEMORYMARK_HOME": str(tmp_path), "COLUMNS": "80"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "False"
