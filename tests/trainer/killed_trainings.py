"""Trains in processes that are killed at random moments, each going on where the last one ended.

Run as a script: it loads torch once, forks the processes, and prints one JSON document.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from small_trainings import losses_of, small_job, train_small

STEPS, KILLS = 300, 10


def main(folder: str) -> None:
    torch.set_num_threads(1)
    options = {"steps": STEPS, "eval_every": 50, "checkpoint_every": 7, "keep": 2}
    seconds = _in_fork(f"{folder}/whole", options)[1]
    parts = Path(folder) / "parts"
    chosen, kills = random.Random(int.from_bytes(os.urandom(4))), 0
    while not (parts / "model").exists():
        resume = parts.is_dir() and any(parts.glob("step-*"))
        delay = chosen.uniform(0.1, 1.0) * seconds / 3 if kills < KILLS else None
        was_killed, _ = _in_fork(str(parts), {**options, "resume": resume}, delay)
        kills += was_killed
    found = {"kills": kills, "left": sorted(each.name for each in parts.iterdir())}
    for name in ("whole", "parts"):
        again = small_job(**options, checkpoint=f"{folder}/{name}", resume=True)
        run = train_small(again)
        found[name] = {"losses": losses_of(run), "eval": run.eval_loss}
    sys.stdout.write(json.dumps(found) + "\n")


def _in_fork(folder: str, options: dict, delay: float | None = None) -> tuple[bool, float]:
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            train_small(small_job(**options, checkpoint=folder))
        except BaseException as error:
            sys.stderr.write(repr(error))
            os._exit(1)
        os._exit(0)
    if delay is not None:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status):
        raise SystemExit("a training failed")
    return os.WIFSIGNALED(status), time.monotonic() - began


if __name__ == "__main__":
    main(sys.argv[1])
