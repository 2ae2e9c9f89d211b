"""A report of ARC tasks in words: verdicts first, the table, and dashes for what is unknown."""

from __future__ import annotations

from memorymark.records.arc_plan import ArcPlan
from memorymark.records.arc_report import ArcReport, ArcTaskResult, TaskEnd
from memorymark.records.config import TrainingConfig
from memorymark.records.generation_run import WeightsFrom
from memorymark.records.trial import Source, Target
from memorymark.report.arc_lines import TASK_COLUMNS, arc_lines, arc_sentence, task_cells
from memorymark.units import MIB

CPU = Target("CPU", "cpu", Source.MEASURED, None)
DONE = ArcTaskResult(
    "aa11", 2, TaskEnd.STEPS, (3, 4), (1, 1), 0, 1, 1536, 64, 0.125, 12 * MIB, 2.5,
)  # fmt: skip
FAILED = ArcTaskResult("bb22", 1, TaskEnd.OUT_OF_MEMORY, error="out of memory: so it is.")
LATE = ArcTaskResult("cc33", 1, TaskEnd.NOT_RUN)


def report(*tasks, **more):
    return ArcReport(
        "tiny", TrainingConfig(), ArcPlan(), CPU, WeightsFrom.RANDOM, tasks,
        read_tasks=3, read_seconds=0.001, **more,
    )  # fmt: skip


def test_the_sentence_says_both_shares():
    assert arc_sentence(report(DONE, LATE)) == (
        "tiny on CPU (measured): 1 of 3 test grids right after training (33.3 %), 0 without it "
        "(0 %)."
    )
    assert "not asked without it (—)" in arc_sentence(report(LATE))


def test_the_table_has_a_row_for_each_task():
    assert task_cells(DONE) == [
        "aa11", "3 × 4", "1 × 1", "2", "0", "1", "1,536", "64", "0.125", "12.0 MiB", "2.5 s", "",
    ]  # fmt: skip
    assert all(len(task_cells(each)) == len(TASK_COLUMNS) for each in (DONE, FAILED, LATE))
    assert task_cells(LATE)[4:7] == ["—", "—", "—"]


def test_the_text_holds_verdicts_figures_rows_and_notes():
    text = "\n".join(arc_lines(report(DONE, FAILED, LATE, findings=("Random weights.",))))
    assert "FAIL: memory. 1 task ran out of memory" in text
    assert "NOT PROVEN: time. No time budget was given." in text
    assert "tasks read, parsed and checked a second: 3,000 (3 in 1 ms)" in text
    assert "aa11 | 3 × 4 | 1 × 1 | 2 | 0 | 1 | 1,536 | 64 | 0.125 | 12.0 MiB | 2.5 s" in text
    assert "cc33" in text and "not run: the time was over" in text
    assert "Note: Random weights." in text and "Note: bb22: out of memory: so it is." in text
