"""The list of runs in the terminal: whatever the history is, a sentence, and what can be shown."""

import json

import pytest
from damaged_histories import (
    DAMAGES,
    ODD,
    ODD_ROWS,
    full_disk,
    make_odd,
    newer,
    read_only_home,
)
from stand_in_engine import install

from memorymark.cli import main
from memorymark.probes.lease import Owner
from memorymark.service.history import RunHistory

TRACEBACK = "Traceback"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMORYMARK_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def run(capsys):
    def run_line(line, code=0):
        given = main(line.split())
        out, err = capsys.readouterr()
        assert given == code, err
        assert TRACEBACK not in err and "bug in MemoryMark" not in err
        return out, err

    return run_line


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_history_is_said_and_moved_aside_when_asked(run, home, damage):
    DAMAGES[damage](home / "runs.sqlite3")
    out, err = run("runs", code=1)
    assert out == "" and "cannot be read" in err and "`memorymark runs --move-aside`" in err
    out, _ = run("runs --move-aside")
    (kept,) = home.glob("runs-*.sqlite3")
    assert str(kept) in out and "runs.sqlite3" in out
    assert run("runs --json") == ("[]\n", "")
    assert json.loads(run("runs --move-aside --json")[0]) == {"kept_as": None}


@pytest.mark.parametrize("damage", [*DAMAGES, "newer"])
def test_work_goes_on_with_a_warning(run, home, monkeypatch, damage):
    {**DAMAGES, "newer": newer}[damage](home / "runs.sqlite3")
    install(monkeypatch)
    out, err = run("analyze bert --json")
    assert json.loads(out)["max_batch_size"] == 192
    assert "Warning: this run was not saved." in err and "cannot be written" in err
    out, err = run("compare bert --gpus l4,a10 --json")
    assert len(json.loads(out)["gpus"]) == 2
    assert ("Every GPU is simulated" in err) == (damage != "newer")


def test_work_goes_on_on_a_full_disk(run, home, monkeypatch):
    install(monkeypatch)
    RunHistory()
    with full_disk():
        out, err = run("analyze bert --json")
    assert json.loads(out)["max_batch_size"] == 192
    assert "not saved" in err and "Free space" in err


def test_a_newer_history_is_listed_with_a_warning(run, home):
    run_id = newer(home / "runs.sqlite3")
    out, err = run("runs --json")
    assert [row["run_id"] for row in json.loads(out)] == [run_id]
    assert "newer MemoryMark wrote it" in err
    assert json.loads(run(f"runs {run_id}")[0])["model_name"] == "bert"


def test_a_read_only_home_is_listed_and_its_work_goes_on(run, monkeypatch):
    install(monkeypatch)
    run("analyze bert --gpu l4 --json")  # loads what the work needs, with the rights of this user
    with read_only_home() as home:
        monkeypatch.setenv("MEMORYMARK_HOME", str(home))
        out, err = run("runs --json")
        assert [row["model"] for row in json.loads(out)] == ["bert"]
        assert "read-only" in err
        out, err = run("analyze bert --gpu l4 --json")
        assert json.loads(out)["max_batch_size"]
        assert "not saved" in err
        _, err = run("analyze bert --device cpu --json", code=1)
        assert "no lock against other measurements" in err and str(home) in err
        run("runs --move-aside", code=1)


@pytest.mark.parametrize("change", ODD_ROWS.values(), ids=ODD_ROWS)
def test_an_odd_row_hides_no_other(run, home, change):
    whole = make_odd(home / "runs.sqlite3", change)
    out, err = run("runs")
    assert whole in out and ODD in out and err == "" and len(out) < 10_000
    rows = json.loads(run("runs --json")[0], parse_constant=pytest.fail)
    assert {row["run_id"] for row in rows} == {whole, ODD}


def test_the_record_of_an_odd_row_is_json_or_a_sentence(capsys, home):
    for number, change in enumerate(ODD_ROWS.values()):
        make_odd(home / f"{number}.sqlite3", change)
        (home / f"{number}.sqlite3").rename(home / "runs.sqlite3")
        code = main(["runs", ODD])
        out, err = capsys.readouterr()
        if code:
            assert (code, out) == (1, "") and "record of run odd" in err and TRACEBACK not in err
        else:
            json.loads(out, parse_constant=pytest.fail)


def test_a_run_whose_process_died_reads_interrupted(run, home):
    history, locks = RunHistory(), home / "locks"
    locks.mkdir()
    owner = Owner(locks)
    history.begin("ab", "analysis", {"model": "bert"}, owner=owner.name)
    assert json.loads(run("runs --json")[0])[0]["status"] == "queued"
    owner.close()
    (row,) = json.loads(run("runs --json")[0])
    assert row["status"] == "interrupted" and "Start the run again" in row["error"]
    assert "interrupted" in run("runs")[0]


def test_a_deleted_run_says_until_when_it_can_be_brought_back(run):
    run_id = RunHistory().save("analysis", {"model_name": "bert"})
    RunHistory().delete(run_id)
    assert run("runs --json")[0] == "[]\n"
    _, err = run(f"runs {run_id}", code=1)
    assert "was deleted on 2" in err and "brings it back until 2" in err


@pytest.mark.parametrize("run_id", ["x" * 10_000, "a\0b", "%00", "\udcff", "--", "'"])
def test_an_odd_id_is_a_sentence(capsys, run_id):
    assert main(["runs", run_id]) in (0, 1)
    assert TRACEBACK not in (err := capsys.readouterr().err) and len(err) < 1000
    assert "bug" not in err
