"""A server of the app with the tests' probe, and a browser to look at it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SCREENSHOTS = ROOT / ".screenshots"
WAIT = 30_000  # milliseconds
_DRAWN = "document.querySelectorAll('[data-testid=stSkeleton]').length === 0"
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


def chromium() -> str:
    """Return the browser's path; without one the tests fail where CI is set, else are skipped."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        tell = pytest.fail if os.environ.get("CI") else pytest.skip
        tell("No Chromium: install one, or name it in CHROMIUM.")
    return found


@contextlib.contextmanager
def browser() -> Iterator:
    from playwright.sync_api import sync_playwright

    path = chromium()
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=list(_FLAGS))
        yield opened
        opened.close()


def settled(page: Any) -> None:
    """Wait until the script has run to its end, and all of it is drawn."""
    page.get_by_role("heading", level=1).wait_for(timeout=WAIT)
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=WAIT)
    page.wait_for_function(_DRAWN, timeout=WAIT)
    assert page.locator("[data-testid=stException]").count() == 0


@contextlib.contextmanager
def server(home: Path, **environment: str) -> Iterator[str]:
    """Serve the app, as its command does, and give its address; it is stopped at the end."""
    serving = ROOT / "memorymark" / "ui" / "serving.py"
    command = [sys.executable, "-P", str(serving), "run", "streamlit_app.py"]
    command += ["--server.headless", "true"]
    options = ("--server.address", "--server.port")
    variables = {**os.environ, **_environment(home), **environment}
    with served(command, options, home, cwd=ROOT, env=variables) as address:
        yield address


@contextlib.contextmanager
def served(command: list[str], options: tuple[str, str], logs: Path, **how: Any) -> Iterator[str]:
    """Run a command that serves, with the options for address and port, until the end."""
    port = _free_port()
    command = [*command, options[0], "127.0.0.1", options[1], str(port)]
    with (logs / f"server-{port}.log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, **how
        )
        (logs / f"server-{port}.pid").write_text(str(process.pid))
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(address, process, Path(log.name))
            yield address
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _environment(home: Path) -> dict[str, str]:
    return {
        "MEMORYMARK_HOME": str(home),
        "MEMORYMARK_PROBE_FACTORY": "app_probe:make_probe",
        "MEMORYMARK_WORKLOADS": "own:held,own:too_big,own:broken",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), str(ROOT)]),
        "FAKE_DELAY_SECONDS": "0.02",
        "MEMORYMARK_FIRST_RUN": "off",
        "MEMORYMARK_FOLLOW_UPS": "off",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(address: str, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert process.poll() is None, f"the server ended: {log.read_text()}"
        if _answers(f"{address}/_stcore/health"):
            return
        time.sleep(0.1)
    raise AssertionError("the server did not answer in time")


def _answers(url: str) -> bool:
    try:
        return urllib.request.urlopen(url, timeout=2).read() == b"ok"
    except OSError:
        return False
