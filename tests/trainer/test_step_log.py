import csv

from memorymark.records.training_run import EvalPoint, StepPoint
from memorymark.trainer.step_log import FILE, StepLog


def _points(log, first, last):
    for step in range(first, last + 1):
        log.add(StepPoint(step, step / 7, 1 / step, 1e-3, 10.0 / 3, None if step % 2 else 5))


def test_what_was_written_comes_back_exactly_and_later_lines_are_dropped(tmp_path):
    log = StepLog(tmp_path)
    log.add_evaluation(EvalPoint(0, 0.0, 3.5))
    _points(log, 1, 5)
    log.add_evaluation(EvalPoint(5, 1.0, 2.5, 'a "sample",\nof two lines'))
    _points(log, 6, 8)
    with (tmp_path / FILE).open("a") as file:
        file.write("9,0.3")  # cut off
    again = StepLog(tmp_path, 7)
    assert again.steps == log.steps[:7] and again.evaluations == log.evaluations
    again.close()
    again = StepLog(tmp_path, 5)
    _points(again, 6, 6)
    again.close()
    with (tmp_path / FILE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["0", "1", "2", "3", "4", "5", "5", "6"]


def test_the_mean_is_of_the_last_steps():
    log = StepLog(None)
    assert log.mean_loss(3) is None
    _points(log, 1, 4)
    assert log.mean_loss(2) == (1 / 3 + 1 / 4) / 2
