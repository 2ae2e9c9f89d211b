"""Standard output holds the result alone, whatever the code that runs in the work does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What a command does, with the user's code in the place of %s; it loads no torch.
COMMAND = """
import atexit, os, signal, subprocess, sys, threading, time
from memorymark.cli import failures, main
from memorymark.cli.live import work
from memorymark.cli.output import print_json, print_table
from memorymark.cli.main import app

def users_code():
    global kept
    %s

@app.command()
def try_it() -> None:
    with work():
        users_code()
    print_json({"result": 1})

class Noisy:
    def __del__(self, write=os.write):
        write(1, b"noise")

sys.exit(main())
"""


def run(
    users_code: str = "pass", words: str = "try-it", shell: str = "", **environment: str
) -> subprocess.CompletedProcess:
    program = [sys.executable, "-c", COMMAND % users_code, *words.split()]
    if shell:
        program = ["bash", "-c", f'exec "$@" {shell}', "bash", *program]
    return subprocess.run(
        program, cwd=ROOT, capture_output=True, text=True, timeout=60, errors="replace",
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip


@pytest.mark.parametrize(
    "users_code",
    [
        "print('noise'); os.write(1, b'noise'); print('noise', file=sys.__stdout__); "
        "subprocess.run(['echo', 'noise']); import ctypes; ctypes.CDLL(None).printf(b'noise')",
        "atexit.register(print, 'noise'); atexit.register(os.write, 1, b'noise'); "
        "threading.Thread(target=lambda: (time.sleep(0.5), print('noise'))).start()",
        "kept = Noisy(); import logging; logging.basicConfig(stream=sys.stdout); "
        "logging.warning('noise')",
        "os.close(1); sys.stderr.write('noise')",
        "os.write(1, b'noise'); sys.stdout.close()",
        "print('noise'); sys.stdout = sys.stderr = None",
        "os.fork() or print('noise')",
        "os.fork() or (print('noise'), sys.exit(3))",
        "os.fork() or 1 / 0; print('noise')",
        "import multiprocessing as m; m.get_context('fork').Process(target=print, args=('noise',)).start()",  # noqa: E501
    ],
)  # fmt: skip
def test_the_document_is_one_whatever_the_users_code_does(users_code: str) -> None:
    done = run(users_code)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"result": 1}), done.stderr
    assert "noise" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("users_code", "said"),
    [
        ("sys.exit(0)", "sys.exit(0)"),
        ("sys.exit()", "sys.exit(None)"),
        ("sys.exit('bye')", "sys.exit('bye')"),
        ("os._exit(0)", "os._exit(0)"),
        ("os.closerange(3, 99)", "the model's code has closed it"),
        ("os.closerange(3, 99); kept = [open('/dev/null', 'w') for _ in range(9)]", "has closed"),
    ],
)
def test_an_end_of_the_program_is_a_failure_with_a_sentence(users_code: str, said: str) -> None:
    done = run(users_code)
    if "closerange" in users_code:  # what is said has no way out either
        assert done.returncode == 1 and done.stdout == ""
        return
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("words", ["try-it", "gpus", "--help"])
@pytest.mark.parametrize("shell", [">/dev/full", ">/dev/full 2>/dev/full", ">&-", ">&- 2>&-"])
def test_output_that_cannot_be_written_is_said(words: str, shell: str) -> None:
    done = run(words=words, shell=shell)
    if words == "--help" and ">&-" in shell:
        return  # nothing is asked for that could be lost
    assert done.returncode == 1
    assert "Traceback" not in done.stderr and "bug in" not in done.stderr
    assert ("2>" in shell) is (done.stderr == "")
    if done.stderr:
        assert "cannot be written to standard output" in done.stderr


@pytest.mark.parametrize("shell", ["2>/dev/full", "2>&-", "<&- 2>&-"])
def test_messages_that_cannot_be_written_cost_no_result(shell: str) -> None:
    done = run("print('noise')", shell=shell)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"result": 1})


@pytest.mark.parametrize("words", ["gpus", "--help", "try-it"])
def test_a_reader_that_leaves_is_no_error(words: str) -> None:
    read, write = os.pipe()
    os.close(read)
    program = [sys.executable, "-c", COMMAND % "pass", *words.split()]
    done = subprocess.run(program, cwd=ROOT, stdout=write, stderr=subprocess.PIPE, timeout=60)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "LC_ALL": "C"},
        {"LC_ALL": "xx_YY.none", "LANG": "none"},
        {"COLUMNS": "1"},
        {"COLUMNS": "many", "TERM": "none"},
    ],
)
@pytest.mark.parametrize("words", ["gpus"])
def test_any_terminal_is_written_to(environment: dict[str, str], words: str) -> None:
    done = run(words=words, **environment)
    assert (done.returncode, done.stderr) == (0, "")
    if "ascii" in environment.values():
        assert done.stdout.isascii() and "\\u" not in done.stdout


def test_names_that_are_no_text_are_written() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "memorymark", "estimate", b"\xff", "--batch-size=1", "--gpu=l4"],
        cwd=ROOT, capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2 and b"Unknown model" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    done = subprocess.run(
        ["bash", "-c", 'rmdir "$PWD"; exec "$@"', "bash", sys.executable, "-c", COMMAND % "pass",
         "try-it"],
        cwd=gone, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert "The working directory cannot be read" in done.stderr
