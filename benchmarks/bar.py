"""How soon the memory bar follows a changed setting, as a visitor's page sees it."""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
from pathlib import Path

from app_server import server
from processes import cpu_seconds, workers_of
from viewer import Viewer

from memorymark.service.history import RunHistory, RunStatus

BAR_LIMITS = {
    "bar_seconds": 1.0, "bar_beside_a_job_seconds": 1.0, "bar_beside_levers_seconds": 1.0,
}  # fmt: skip
_LAST = 19  # the niceness of what nobody pressed for
CHANGES, VISITORS = 20, 3
_LARGE = {"llama_3_1_8b": "meta-llama/Llama-3.1-8B", "qwen3_8b": "Qwen/Qwen3-8B"}
_ON_A_B200 = "gpu=b200&precision=bf16"
_JOBS = 4  # one visitor's, that wait behind one another
_ACTIVE = [status for status in RunStatus if status.is_active]


async def bar_figures() -> dict[str, float]:
    """Change the batch size again and again: alone, of large models, and beside jobs."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with server(home, MEMORYMARK_PROBE_FACTORY="") as address:
            pid = int(next(home.glob("server-*.pid")).read_text())
            await _changes(address, "", 1)  # its worker loads torch with the first question
            figures = await _alone(address, pid)
            for name, model in _LARGE.items():
                taken = await _changes(address, f"model={model}&{_ON_A_B200}", CHANGES)
                figures[f"bar_{name}_seconds"] = statistics.median(taken)
            figures |= await _beside_jobs(address, RunHistory(home / "runs.sqlite3"))
    return figures | await _beside_levers()


async def _alone(address: str, pid: int) -> dict[str, float]:
    workers = workers_of(pid)
    before = cpu_seconds([pid]), cpu_seconds(workers)
    taken = await _changes(address, "", CHANGES)
    changes = CHANGES + 1  # with that of the opening
    return {
        "bar_seconds": statistics.median(taken),
        "bar_worst_seconds": max(taken),
        "bar_server_cpu_seconds": (cpu_seconds([pid]) - before[0]) / changes,
        "bar_workers_cpu_seconds": (cpu_seconds(workers) - before[1]) / changes,
    }


async def _beside_jobs(address: str, history: RunHistory) -> dict[str, float]:
    for number in range(_JOBS):
        starter = Viewer(address)
        await starter.open(f"model=Qwen/Qwen3-8B&seq_len={300 + number}&{_ON_A_B200}")
        await starter.rerun(Analyze=True)
        await starter.close()
    visitors = [_changes(address, f"seq_len={200 + n}", CHANGES) for n in range(VISITORS)]
    taken = [seconds for each in await asyncio.gather(*visitors) for seconds in each]
    return {
        "bar_beside_a_job_seconds": statistics.median(taken),
        "bar_beside_a_job_worst_seconds": max(taken),
        "visitors_beside_a_job": VISITORS,
        "job_ran_to_the_end_of_it": float(bool(history.find(statuses=_ACTIVE))),
    }


async def _beside_levers() -> dict[str, float]:
    """Change the batch size while the levers of another visitor's analysis come by themselves."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        history = RunHistory(home / "runs.sqlite3")
        with server(home, MEMORYMARK_PROBE_FACTORY="", MEMORYMARK_FOLLOW_UPS="on") as address:
            pid = int(next(home.glob("server-*.pid")).read_text())
            await _changes(address, "seq_len=200", 1)
            reader = Viewer(address)
            await reader.open("seq_len=300")
            await reader.rerun(Analyze=True)
            while not history.list("analysis") or history.find(statuses=_ACTIVE):
                await asyncio.sleep(0.1)
            await reader.rerun()  # which draws the result, and asks for what follows from it
            watching = asyncio.create_task(reader.watch())
            while _LAST not in map(_niceness, workers_of(pid)):
                await asyncio.sleep(0.2)
            taken = await _changes(address, "seq_len=200", CHANGES)
            ran_on = not history.list("levers")
            watching.cancel()
            await reader.close()
    return {
        "bar_beside_levers_seconds": statistics.median(taken),
        "bar_beside_levers_worst_seconds": max(taken),
        "levers_ran_to_the_end_of_it": float(ran_on),
    }


def _niceness(pid: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, pid)


async def _changes(address: str, query: str, changes: int) -> list[float]:
    """Seconds from each of a visitor's changes to the answer."""
    viewer = Viewer(address)
    await viewer.open(query)
    taken = [await viewer.bar_seconds(Current_batch=float(2 + n)) for n in range(changes)]
    await viewer.close()
    return taken
