"""Results on standard output."""

import json

import pytest

from memorymark.cli.output import print_json, print_line, print_table


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
