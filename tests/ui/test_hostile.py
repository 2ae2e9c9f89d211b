"""Hostile text at every door of every page: none of it is drawn as markup, and no page breaks."""

import copy
import dataclasses
import json
import sqlite3
from pathlib import Path

import pytest

from memorymark.errors import MemoryMarkError
from memorymark.gpus.telemetry import GpuProcess, Telemetry
from memorymark.records.analysis import Analysis
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.comparison import Comparison
from memorymark.records.config import TrainingConfig
from memorymark.records.event import Event, EventKind
from memorymark.records.generation_plan import GenerationPlan
from memorymark.records.generation_run import Ending, GenerationRun, Label, WeightsFrom
from memorymark.records.request import Request, RequestKind
from memorymark.records.serving_config import ServingConfig
from memorymark.records.session_run import Verdict
from memorymark.records.training_comparison import TrainingComparison
from memorymark.records.training_plan import TrainingPlan
from memorymark.records.training_run import (
    EvalPoint,
    Forecast,
    Kept,
    StepPoint,
    StoppedBy,
    TrainingRun,
)
from memorymark.records.trial import Source, Target
from memorymark.records.validation import BackwardValidation, CompileValidation
from memorymark.report.charts import batch_charts, memory_charts
from memorymark.service.execute import execute
from memorymark.service.history import RunHistory, RunStatus
from memorymark.settings import load_settings
from memorymark.ui import machine_view
from memorymark.ui.pieces import file_name
from memorymark.ui.results import comparison_view
from memorymark.ui.setup import choices, current, form_fields
from memorymark.ui.setup.current import current_gpu, current_target
from memorymark.ui.setup.setup_address import NAMES
from memorymark.ui.setup.setup_record import FORMS, TRAINED_FORM
from memorymark.ui.setup.targets import default_target

ROOT = Path(__file__).parents[2]
PAGES = [
    "analysis", "backward_validation", "levers", "cost_comparison", "sessions", "generate",
    "training", "runs",
]  # fmt: skip
HOSTILE = (
    "![x](http://evil.example/a.png) [**SIGN IN**](http://evil.example/) :red[r] :smile: $a$ $b$ "
    "`c` <b>b</b> ~~s~~ \x1b[2J \u202e | x\n# h\n\n| a | b |\n"
)
# As they would stand in what a page says, were they not escaped.
RAW = ["](http:", "**SIGN", ":red[", ":smile:", "$a$", "`c`", "<b>", "~~s", "\x1b", "\u202e", "\n#"]
DRAWN = [
    "markdown",
    "caption",
    "info",
    "warning",
    "error",
    "success",
    "subheader",
    "title",
    "header",
]
REQUESTS = {
    Analysis: Request(
        RequestKind.ANALYSIS, "bert", gpu="a100-40gb", options=AnalysisOptions(price_per_hour=1.5)
    ),
    BackwardValidation: Request(RequestKind.BACKWARD, "bert", gpu="a100-40gb", batch_size=64),
    CompileValidation: Request(RequestKind.COMPILE, "bert", device="cpu", batch_size=64),
    Comparison: Request(RequestKind.COMPARISON, "bert", gpus=("t4", "l4")),
}


def draw(app, page, **query):
    """Open a page; return all that it says, of which nothing is markup from outside."""
    app.query_params.clear()
    app.query_params.update(query)
    app.switch_page(f"pages/{page}.py").run()
    assert not app.exception
    said = [element.value for name in DRAWN for element in getattr(app, name)]
    said += [text for each in app.metric for text in (each.label, each.value, each.delta)]
    said += [each.label for each in (*app.button, *app.expander, *app.status)]
    for text in filter(None, said):
        assert [raw for raw in RAW if raw in text] == [], text
    return said


def made_hostile(kind, record):
    """Write hostile text into every place of a record that takes it."""
    for name in sorted(names_of_texts(record)):
        changed = replaced(record, name)
        try:
            kind.from_dict(changed)
        except (MemoryMarkError, ValueError):
            continue
        record = changed
    return record


def names_of_texts(value):
    if isinstance(value, dict):
        own = {name for name, each in value.items() if isinstance(each, str | list | None)}
        return own.union(*(names_of_texts(each) for each in value.values()))
    return set().union(*map(names_of_texts, value)) if isinstance(value, list) else set()


def replaced(value, name, is_it=False):
    if isinstance(value, dict):
        return {key: replaced(each, name, key == name) for key, each in value.items()}
    if isinstance(value, list):
        texts = [replaced(each, name, is_it and isinstance(each, str)) for each in value]
        return texts or ([HOSTILE] if is_it else texts)
    return HOSTILE if is_it and isinstance(value, str | None) else value


def hostile_run(kind):
    record = execute(REQUESTS[kind], settings=load_settings()).to_dict()
    record = {**made_hostile(kind, record), "run_id": None}
    assert json.dumps(record).count("SIGN IN") > 3
    return RunHistory().save(
        str(REQUESTS[kind].kind), record, request={**REQUESTS[kind].to_dict(), "model": HOSTILE}
    )


@pytest.mark.parametrize("page", PAGES)
def test_every_parameter_of_a_link(app, page):
    said = draw(app, page, **dict.fromkeys((*NAMES, "run", "embed_options", "x"), HOSTILE))
    assert page == "runs" or any("SIGN IN" in (text or "") for text in said)


def test_a_link_of_a_megabyte(app):
    said = draw(app, "analysis", run="**a**" * 200_000, precision="x" * 1_000_000)
    assert max(len(text or "") for text in said) < 20_000


@pytest.mark.parametrize("kind", list(REQUESTS), ids=lambda kind: kind.__name__)
def test_every_text_of_a_record(app, kind):
    run_id = hostile_run(kind)
    pages = dict(zip(REQUESTS, ["analysis", "backward_validation"] * 2, strict=True))
    pages |= {CompileValidation: "backward_validation", Comparison: "cost_comparison"}
    said = draw(app, pages[kind], run=run_id)
    assert any("SIGN IN" in (text or "") for text in said)
    draw(app, "cost_comparison")
    draw(app, "runs")


def test_every_text_of_a_generation(app):
    run = GenerationRun(
        "gpt2", ServingConfig(), GenerationPlan(prompt="x"),
        Target("CPU", "cpu", Source.MEASURED, None), WeightsFrom.RANDOM, Ending.LENGTH,
        weights_bytes=1, text="x", findings=("x",), assumptions=("x",), software={"torch": "x"},
    )  # fmt: skip
    named = dataclasses.replace(run, labels=(Label("x", 0.5),), error="x")
    for each in (run, named):
        record = made_hostile(GenerationRun, each.to_dict())
        run_id = RunHistory().save("generate", record, request={"model": HOSTILE})
        said = draw(app, "generate", run=run_id)
        assert any("SIGN IN" in (text or "") for text in said)
    assert all("\x1b" not in each.value for each in app.code)
    draw(app, "runs")


def test_every_text_of_a_training(app):
    run = TrainingRun(
        "gpt2", TrainingConfig(), TrainingPlan(data="x"),
        Target("CPU", "cpu", Source.MEASURED, None), 2, StoppedBy.LENGTH, steps=1, checkpoint="x",
        model_folder="x", curve=(StepPoint(1, 1.0, 1.0, 0.1, 1.0),),
        evaluations=(EvalPoint(1, 1.0, 1.0, "x"),), forecasts=(Forecast("x", True),),
        verdicts={"x": Kept(Verdict.FAIL, "x")}, findings=("x",), assumptions=("x",), error="x",
        software={"torch": "x"},
    )  # fmt: skip
    record = made_hostile(TrainingRun, run.to_dict())
    both = {**TrainingComparison((run, run)).to_dict(), "runs": [record, record]}
    request = Request(RequestKind.TRAIN, "gpt2", device="cpu", training=run.plan).to_dict()
    asked = {**request, "training": {**request["training"], "data": HOSTILE}}
    for kind, each in (("train", record), ("compare-training", both)):
        run_id = RunHistory().save(kind, each, request={**asked, "kind": kind})
        said = draw(app, "training", run=run_id)
        assert any("SIGN IN" in (text or "") for text in said)
    assert all("\x1b" not in each.value for each in app.code)
    draw(app, "runs")


@pytest.mark.parametrize("status", list(RunStatus))
def test_every_text_of_a_row_and_its_events(app, status):
    history, run_id = RunHistory(), "evil' [**SIGN IN**](http://evil.example/) ../../x"
    history.begin(run_id, "analysis", {"model": HOSTILE}, device=HOSTILE, owner=HOSTILE)
    for position, kind in enumerate(EventKind):
        history.add_event(run_id, position, Event(kind, HOSTILE, HOSTILE).to_dict())
    draw(app, "analysis")
    with sqlite3.connect(history.path) as connection:
        connection.execute(
            "UPDATE runs SET status = ?, error = ?, source = ?", (str(status), HOSTILE, HOSTILE)
        )
    connection.close()
    draw(app, "analysis", run=run_id)
    draw(app, "runs")
    draw(app, "backward_validation", run=run_id)


def test_a_kind_of_another_version(app):
    run_id = RunHistory().save(HOSTILE, {"model_name": HOSTILE, "device": HOSTILE})
    for page in PAGES:
        draw(app, page, run=run_id)


def test_a_damaged_record_whose_fault_is_said(app):
    record = {"model_name": HOSTILE, "trials": [{HOSTILE: HOSTILE}], "marks": HOSTILE}
    draw(app, "analysis", run=RunHistory().save("analysis", record))


def test_what_is_entered(app):
    draw(app, "runs")
    RunHistory().save("analysis", {"model_name": "bert"})
    app.run()
    app.text_input(key="runs_find").set_value(HOSTILE)
    app.run()
    assert "SIGN IN" in app.info[0].value and "**SIGN" not in app.info[0].value
    draw(app, "analysis")
    app.text_input(key="setup_memory_budget").set_value(HOSTILE)
    next(button for button in app.button if button.label == "Analyze").click()
    app.run()
    assert "SIGN IN" in app.error[0].value and "**SIGN" not in app.error[0].value


def test_what_the_driver_says(app, monkeypatch):
    other = GpuProcess(1, HOSTILE, HOSTILE, 1)
    reading = Telemetry(HOSTILE, "GPU-1", "1", reason=HOSTILE, other_processes=(other,))
    monkeypatch.setattr(machine_view, "read_telemetry", lambda n: Telemetry() if n else reading)
    assert any("SIGN IN" in (text or "") for text in draw(app, "analysis"))


def test_names_of_files_hold_no_path():
    assert file_name("../../etc/passwd\r\nX: y") == "memorymark-______etc_passwd__X__y"
    assert file_name("ab12cd34") == "memorymark-ab12cd34"
    assert len(file_name("a" * 10_000)) < 100


def test_charts_hold_it_as_data_alone(app):
    record = execute(REQUESTS[Analysis], settings=load_settings()).to_dict()
    hostile = Analysis.from_dict(made_hostile(Analysis, record))
    plain = Analysis.from_dict(record)
    for make in (batch_charts.memory_over_batch, batch_charts.throughput_over_batch):
        assert without_data(make(hostile)) == without_data(make(plain))
    for make in (memory_charts.holder_bars, memory_charts.step_timeline):
        first, second = (analysis.optimal.trial for analysis in (hostile, plain))
        assert without_data(make(first)) == without_data(make(second))
        assert "SIGN IN" not in json.dumps(without_data(make(first)))


def without_data(spec):
    """A chart without its rows, the order of their labels, its words and its height."""
    if isinstance(spec, dict):
        left_out = ("data", "sort", "description", "height")
        return {k: without_data(v) for k, v in spec.items() if k not in left_out}
    return [without_data(each) for each in spec] if isinstance(spec, list) else spec


def test_all_pages_are_here():
    assert {path.stem for path in (ROOT / "pages").glob("*.py")} == set(PAGES)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 1e308, "x", None])
def test_forged_values_of_widgets_break_no_page(app, monkeypatch, value):
    draw(app, "analysis")
    first = app.session_state["setup"]
    for name in choices.MONEY:
        app.session_state[f"side_{name}"] = value
        forged = {f"side_{name}": value, "setup": {**first}}
        monkeypatch.setattr(choices.st, "session_state", forged)
        choices.remember(name)
        monkeypatch.undo()
        prices = forged.get("chosen_prices", {})
        kept = forged.get("chosen", prices).get(name, prices.get(first["target"]))
        AnalysisOptions(**{name: kept} if kept is not None else {})
    for form in (TRAINED_FORM, *FORMS.values()):
        for name in form.options:
            key = form_fields.field_key(form, name)
            forged = {key: value, "setup": copy.deepcopy(first)}
            with monkeypatch.context() as patch:
                patch.setattr(form_fields.st, "session_state", forged)
                patch.setattr(current, "write_address", lambda: None)
                form_fields.take(name, form)
                assert current.current_setup()


@pytest.mark.parametrize(
    "target", ["gpu=nothing", "device=cuda:99", "device=cuda:x", "device=../x", "=", HOSTILE]
)
def test_a_forged_target_is_the_first_one(app, monkeypatch, target):
    draw(app, "analysis")
    state = {"setup": {**app.session_state["setup"]}, "setup_target": target}
    monkeypatch.setattr(form_fields.st, "session_state", state)
    form_fields.take_target()
    assert current_target() == default_target() and current_gpu() is not None
    state["setup"]["target"] = target
    assert current_target() == default_target()


def test_forged_prices_are_left_out(monkeypatch):
    rows = {0: {comparison_view.PRICE: 2.5}, 1: {comparison_view.PRICE: float("nan")},
            2: {comparison_view.PRICE: -1}, 77: {comparison_view.PRICE: 1.0}}  # fmt: skip
    state = {"table": {"edited_rows": rows}, "price_editor": 0}
    monkeypatch.setattr(comparison_view.st, "session_state", state)
    comparison_view.take_prices("table", ["a10", "l4", "t4"])
    assert state["edited_prices"] == {"a10": 2.5}
