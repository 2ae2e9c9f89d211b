"""A file of lengths is read where the command line names it, and nowhere else."""

from memorymark.cli import main


def test_the_help_names_both_forms(capsys):
    assert main(["analyze", "--help"]) == 0
    said = capsys.readouterr().out
    assert "--lengths" in said and "--length-range" in said and "--effective-batch-size" in said


def test_a_missing_file_is_a_mistake_of_usage(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MEMORYMARK_HOME", str(tmp_path))
    missing = str(tmp_path / "none.txt")
    assert main(["analyze", "bert", "--gpu", "l4", "--lengths", missing]) == 2
    assert "Lengths cannot be read from" in capsys.readouterr().err
