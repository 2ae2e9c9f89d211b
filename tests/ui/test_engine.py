"""A server that nobody has visited yet."""

import time

import pytest
from app_server import server

from memorymark.service.history import RunHistory
from memorymark.service.run import RunStatus


@pytest.mark.parametrize(("setting", "expected"), [("", 1), ("off", 0)])
def test_a_server_begins_with_the_default_analysis_before_anybody_visits(
    tmp_path, setting, expected
):
    with server(tmp_path, MEMORYMARK_FIRST_RUN=setting, MEMORYMARK_RUN_KEY="the owner's"):
        history, end = RunHistory(tmp_path / "runs.sqlite3"), time.monotonic() + 10
        while not history.find(statuses=[RunStatus.DONE]) and time.monotonic() < end:
            time.sleep(0.05)
            if not expected and time.monotonic() > end - 8:
                break
        assert [run.model for run in history.list()] == ["bert"] * expected
