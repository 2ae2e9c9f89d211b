"""Measures the app under viewers: how soon it draws, what a crowd costs, how large it grows.

    python benchmarks/load.py [--viewers 50] [--trial-seconds 3.0] [--rounds 3] [--json FILE]

First paint, a slider's redraw and a job that 50 people watch, on a server of its own with the
tests' probe, which waits as a device does. Then a crowd (`crowd.py`) on a server with the engine
itself, round after round: 100 page loads, 30 parallel sessions, 60 simultaneous starts and the
analyses of those that are let in, and what all of it leaves in the memory of the server and its
workers. Before, how soon a server has its first answer (`answers.py`), and how soon the memory
bar's answer follows a changed setting (`bar.py`). A viewer is a WebSocket client that
speaks Streamlit's protocol and reruns the page's fragments as often as the page tells a browser
to. Limits: no browser draws anything, so times are the server's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from answers import ANSWER_LIMITS, answer_figures
from app_server import server
from bar import BAR_LIMITS, bar_figures
from crowd import CROWD_LIMITS, crowd_figures
from viewer import Viewer

from memorymark.service.history import RunHistory, RunStatus

LIMITS = {
    "first_paint_seconds": 2.0, "slider_seconds": 0.2, "slowdown": 0.05,
    **CROWD_LIMITS, **ANSWER_LIMITS, **BAR_LIMITS,
}  # fmt: skip


async def first_paint(address: str) -> float:
    """Seconds from the first connection to a fresh server to the end of the page's script."""
    start = time.perf_counter()
    viewer = Viewer(address)
    await viewer.open()
    seconds = time.perf_counter() - start
    await viewer.close()
    return seconds


async def job_seconds(address: str, history: RunHistory, viewers: int) -> tuple[float, str, float]:
    """Run one analysis that viewers watch; its seconds, its id, and reruns a viewer a second."""
    starter = Viewer(address)
    await starter.open()
    clicked = asyncio.create_task(starter.rerun(Analyze=True))
    run_id = await _new_run(history)
    await clicked
    crowd = [Viewer(address) for _ in range(viewers)]
    start = time.perf_counter()
    await asyncio.gather(*(viewer.open(f"run={run_id}") for viewer in crowd))
    tasks = [asyncio.create_task(viewer.watch()) for viewer in crowd]
    while history.open(run_id).status.is_active:
        await asyncio.sleep(0.1)
    rate = sum(viewer.reruns for viewer in crowd) / (time.perf_counter() - start)
    for task in tasks:
        task.cancel()
    await asyncio.gather(starter.close(), *(viewer.close() for viewer in crowd))
    run = history.open(run_id)
    assert run.status is RunStatus.DONE, run.error
    return run.record["elapsed_seconds"], run_id, rate / viewers if viewers else 0.0


async def _new_run(history: RunHistory) -> str:
    for _ in range(600):
        active = [run for run in history.list() if run.status.is_active]
        if active:
            return active[0].run_id
        await asyncio.sleep(0.05)
    raise RuntimeError("the job did not start")


async def slider_seconds(address: str, run_id: str, moves: int = 20) -> list[float]:
    """Seconds that each move of the current batch's slider takes on the server."""
    viewer = Viewer(address)
    await viewer.open(f"run={run_id}")
    taken = []
    for number in range(moves):
        start = time.perf_counter()
        await viewer.rerun(Current_batch=float(100 + number))
        taken.append(time.perf_counter() - start)
    await viewer.close()
    return taken


async def measure(viewers: int, trial_seconds: float) -> dict[str, float]:
    """Measure all of it on a fresh server."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with server(home, FAKE_DELAY_SECONDS=str(trial_seconds)) as address:
            history = RunHistory(home / "runs.sqlite3")
            paint = await first_paint(address)
            warm = await first_paint(address)
            alone, run_id, _ = await job_seconds(address, history, 0)
            moves = await slider_seconds(address, run_id)
            watched, _, rate = await job_seconds(address, history, viewers)
    return {
        "first_paint_seconds": paint,
        "next_paint_seconds": warm,
        "slider_seconds": statistics.median(moves),
        "slider_worst_seconds": max(moves),
        "job_alone_seconds": alone,
        "job_watched_seconds": watched,
        "slowdown": watched / alone - 1,
        "redraws_per_viewer_second": rate,
        "viewers": viewers,
        "cpu_cores": os.cpu_count() or 0,
    }


def main() -> int:
    """Print the figures and say whether they are within their limits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--trial-seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3, help="of the crowd; growth is the last's")
    parser.add_argument("--json", type=Path)
    words = parser.parse_args()
    figures = {"load_average": os.getloadavg()[0], **answer_figures()}
    figures |= asyncio.run(bar_figures())
    figures |= asyncio.run(measure(words.viewers, words.trial_seconds))
    figures |= asyncio.run(crowd_figures(words.rounds))
    for name, value in figures.items():
        print(told(name, value))
    if words.json:
        words.json.write_text(json.dumps(figures, indent=2))
    return int(any(is_over(name, value) for name, value in figures.items()))


def told(name: str, value: float) -> str:
    """Write a figure as one line, with its limit where it has one."""
    limit = LIMITS.get(name)
    said = "" if limit is None else f"  limit {limit}: {'OVER' if is_over(name, value) else 'ok'}"
    return f"{name:32} {value:9.3f}{said}"


def is_over(name: str, value: float) -> bool:
    """Whether a figure is over its limit."""
    return name in LIMITS and value > LIMITS[name]


if __name__ == "__main__":
    sys.exit(main())
