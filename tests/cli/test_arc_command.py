"""ARC tasks from the command line: one document, a table, and a sentence for what does not suit."""

from __future__ import annotations

import json

import pytest
from arc_worlds import small_config, written

import memorymark
from memorymark.cli import main
from memorymark.records.arc_report import ArcReport
from memorymark.service.history import RunHistory

KEYS = {
    "model", "config", "plan", "device", "source", "weights_from", "tasks", "parameters",
    "trainable_parameters", "tasks_per_second", "grids", "correct_before", "correct_after",
    "accuracy_before", "accuracy_after", "tasks_solved", "peak_allocated_bytes",
    "memory_budget_bytes", "time_budget_seconds", "seconds", "verdicts",
}  # fmt: skip
SHORT = ["--device", "cpu", "--steps", "2"]


@pytest.fixture(autouse=True)
def _home(home):
    """A home of its own, and one thread."""


@pytest.fixture
def model(tmp_path):
    config = small_config()
    config.architectures = ["GPT2LMHeadModel"]
    config.save_pretrained(tmp_path / "model")
    return f"hf:{tmp_path / 'model'}"


def run(capsys, words, code=0):
    assert main(words) == code
    return capsys.readouterr()


def test_one_json_document_that_the_history_keeps(model, tmp_path, capsys):
    data = written(tmp_path / "tasks", 2)
    words = ["arc", model, "--data", data, *SHORT, "--memory-budget", "256MiB"]
    more = ["--time-budget", "10m", "--target-accuracy", "0.25", "--json"]
    out, err = run(capsys, [*words, *more])
    values = json.loads(out)
    assert values.keys() >= KEYS and values["weights_from"] == "random"
    assert values["config"]["lora_rank"] == 8 and values["trainable_parameters"] == 4096
    assert values["memory_budget_bytes"] == 256 * 1024**2 and values["time_budget_seconds"] == 600
    assert values["verdicts"]["memory"]["verdict"] == "PASS"
    assert values["verdicts"]["time"]["verdict"] == "PASS"
    assert [each["steps"] for each in values["tasks"]] == [2, 2]
    assert "Read, parsed and checked 2 tasks in" in err and "Task 2 of 2" in err
    kept = RunHistory().find(limit=1)[0]
    assert kept.kind == "arc"
    assert ArcReport.from_dict(values).to_dict() == values
    assert RunHistory().open(kept.run_id).record == {**values, "run_id": kept.run_id}


def test_in_words_verdicts_stand_before_the_table(model, capsys):
    out, _ = run(capsys, ["arc", model, "--generated", "2", *SHORT, "--lora-rank", "2"])
    assert "test grids right after training" in out.splitlines()[0]
    assert "NOT PROVEN: accuracy. No target accuracy was given." in out
    assert "LoRA of rank 2 trains 1,024 of" in out and "trained on each task" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Name a folder of ARC tasks with --data FOLDER"),
        (["--data", "nowhere"], "data is 'nowhere'; accepted: a folder of ARC tasks"),
        (["--generated", "1", "--data", "x"], "Give --data or --generated"),
        (["--generated", "0"], "generated is 0"),
        (["--generated", "1", "--time-budget", "soon"], "a span of time such as"),
        (["--generated", "1", "--augment", "turns"], "Unknown augment 'turns'"),
        (["--generated", "1", "--lora-rank", "4", "--all-weights"], "Give --all-weights or"),
        (["--generated", "1", "--seq-len", "9000"], "up to 112, the positions"),
    ],
)
def test_what_does_not_suit_is_one_sentence(model, capsys, words, said):
    out, err = run(capsys, ["arc", model, *SHORT, *words], code=2)
    last = err.strip().splitlines()[-1]
    assert out == "" and last.startswith("Error: ") and said in last


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"train": [{"input": [[1, 2], [3]], "output": [[1]]}], "test": []}', "the row has 1"),
        ('{"train": [{"input": [[12]], "output": [[1]]}], "test": []}', "the colour is 12"),
        ("\x00\x01", "not JSON"),
    ],
)
def test_a_file_that_is_no_task_is_one_sentence(model, tmp_path, capsys, content, said):
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "a.json").write_text(content)
    _, err = run(capsys, ["arc", model, "--data", str(tmp_path / "tasks"), *SHORT], code=1)
    last = err.strip().splitlines()[-1]
    assert last.startswith("Error: ") and said in last and "a.json" in last


def test_a_budget_below_the_model_is_said(model, capsys):
    words = ["arc", model, "--generated", "1", *SHORT, "--memory-budget", "64KiB"]
    out, err = run(capsys, words)
    assert "out of memory" in out and "FAIL: memory" in out and "Traceback" not in err


def test_the_library_gives_the_same_record(model):
    report = memorymark.arc(model, generated=1, device="cpu", steps=1, target_accuracy=0.5)
    assert isinstance(report, memorymark.ArcReport) and report.plan.generated == 1
    assert report.verdicts["accuracy"].verdict == "FAIL"
    with pytest.raises(memorymark.MemoryMarkError, match="Unknown option 'step'"):
        memorymark.arc(model, generated=1, step=1)
