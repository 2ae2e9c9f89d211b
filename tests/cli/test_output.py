"""Results on standard output."""

import json

import pytest
from hostile import HOSTILE

from memorymark.cli.failures import report_error
from memorymark.cli.live import work
from memorymark.cli.output import print_json, print_line, print_table
from memorymark.errors import WorkloadError
from memorymark.records.event import Event, EventKind
from memorymark.report.visible import visible


def test_json_is_one_document_without_nan(capsys):
    print_json({"a": [1, None]})
    assert json.loads(capsys.readouterr().out) == {"a": [1, None]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        print_json({"speedup": float("nan")})
    assert capsys.readouterr().out == ""


def test_in_a_pipe_a_row_stays_one_line(capsys):
    long = "a name that is longer than a terminal is wide, " * 3
    print_table(["name", "batch"], [[long, "8"], ["short", "1,024"]], right=["batch"])
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split() == ["name", "batch"]
    assert first.startswith(long.strip()) and first.split()[-1] == "8"
    assert len(first.rstrip()) == len(second.rstrip())  # numbers end in one column


def test_words_are_printed_as_they_are(capsys):
    print_line("[bold] is no markup here " * 10)
    assert capsys.readouterr().out == "[bold] is no markup here " * 10 + "\n"


@pytest.mark.parametrize("text", HOSTILE)
def test_data_is_neither_markup_nor_an_escape_of_the_terminal(text, capsys):
    print_line(text)
    print_table(["model", "status"], [[text, "done"], ["bert", "done"]])
    report_error(WorkloadError(text), debug=False)
    with work() as progress:
        progress(Event(EventKind.NOTE, text))
        progress(Event(EventKind.TRIAL_STARTED, text))
    out, err = capsys.readouterr()
    assert out.startswith(visible(text) + "\n")
    assert len(err.splitlines()) == 2
    for shown in (out, err):
        assert all(line.isprintable() for line in shown.split("\n"))
        assert "".join(visible(text).split()) in "".join(shown.split())
