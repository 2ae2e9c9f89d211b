"""Many processes at one history: nothing is lost, half written or refused."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing

from memorymark.service.history import RunHistory
from memorymark.service.history_format import VERSION
from memorymark.service.run import RunStatus

_WRITER = """
import sys
from pathlib import Path
from memorymark.service.history import RunHistory
history = RunHistory(Path(sys.argv[1]))
for number in range(int(sys.argv[2])):
    history.save("analysis", {"model_name": f"{sys.argv[3]}-{number}"})
"""

# One process that starts the others as copies of itself: they begin at once. Every second one is
# killed wherever it is, the others after they finished a run, however long that takes.
_KILLER = """
import os, random, signal, sys, time
from pathlib import Path
from memorymark.service.history import RunHistory
random.seed(0)
open(sys.argv[3], "a").close()
path = Path(sys.argv[1])
for kill in range(int(sys.argv[2])):
    child = os.fork()
    if child == 0:
        history = RunHistory(path)
        with open(sys.argv[3], "a", buffering=1) as said:
            for number in range(10**6):
                run_id = f"{kill}-{number}"
                history.begin(run_id, "analysis", {"model": "bert"}, owner="killed")
                history.add_event(run_id, 0, {"kind": "note", "text": "here"})
                history.finish(run_id, "done", record={"filling": "x" * 30_000})
                said.write(run_id + "\\n")
    size, until = os.path.getsize(sys.argv[3]), time.monotonic() + 30
    while kill % 2 and os.path.getsize(sys.argv[3]) == size and time.monotonic() < until:
        time.sleep(0.002)
    time.sleep(random.uniform(0.01, 0.08))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""

_OPENERS = """
import os, sys, time
from pathlib import Path
from memorymark.service.history import RunHistory
path, at = Path(sys.argv[1]), time.monotonic() + 0.3
children = []
for number in range(int(sys.argv[2])):
    child = os.fork()
    if child == 0:
        time.sleep(max(0.0, at - time.monotonic()))
        try:
            RunHistory(path).save("analysis", {"model_name": str(number)})
        except BaseException as error:
            print(error)
            os._exit(1)
        os._exit(0)
    children.append(child)
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""


def start(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def ended(process):
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said


def integrity(path):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchone()[0]


def test_thirty_kills_during_writes_lose_no_finished_run(tmp_path):
    path, said = tmp_path / "runs.sqlite3", tmp_path / "said"
    ended(start(_KILLER, path, 30, said))
    finished = said.read_text().split()
    history = RunHistory(path)
    runs = {run.run_id: run for run in history.list(limit=10**6)}
    assert len(finished) > 10 and set(finished) <= set(runs)
    assert integrity(path) == "ok"
    for run_id, run in runs.items():
        record = history.open(run_id).record
        if run.status is RunStatus.DONE:
            assert record == {"filling": "x" * 30_000, "run_id": run_id}
        else:  # what was being written when it was killed
            assert (run.status, record) == (RunStatus.INTERRUPTED, None)
            assert run_id not in finished
    history.save("analysis", {"model_name": "after"})


def test_two_processes_write_two_hundred_runs_each(tmp_path):
    path = tmp_path / "runs.sqlite3"
    for process in [start(_WRITER, path, 200, name) for name in ("a", "b")]:
        ended(process)
    names = {run.model for run in RunHistory(path).list(limit=1000)}
    assert names == {f"{name}-{number}" for name in ("a", "b") for number in range(200)}
    assert integrity(path) == "ok"


def test_twelve_first_openers_make_one_history(tmp_path):
    for attempt in range(5):
        path = tmp_path / str(attempt) / "runs.sqlite3"
        ended(start(_OPENERS, path, 12))
        assert {run.model for run in RunHistory(path).list()} == {str(n) for n in range(12)}
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA user_version").fetchone()[0] == VERSION
            assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert json.loads(RunHistory(path).export(RunHistory(path).list()[0].run_id))
