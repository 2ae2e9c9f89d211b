"""The load benchmark's pure parts: what counts as an answer, as memory, and as over a limit."""

import asyncio
import os

import pytest
from load import LIMITS, is_over, told
from processes import anonymous_bytes, cpu_seconds, private_bytes, ticks, workers_of
from viewer import Viewer, says_whether_it_fits


@pytest.mark.parametrize(
    "words",
    [
        ":green[:material/check_circle:] **Fits: 12 of 39.4 GiB, 27.4 GiB free (simulated).**",
        ":orange[:material/warning:] **Fits with only 1 % to spare: 39 of 39.4 GiB (simulated).**",
        ":red[:material/block:] **Does not fit: batch 9 needs 50 GiB (simulated).**",
    ],
)
def test_each_answer_of_the_bar_counts_as_one(words):
    assert says_whether_it_fits(words)


@pytest.mark.parametrize(
    "words", ["Estimating batch 16 …", ":material/check_circle: Saved", "Peak (simulated)", ""]
)
def test_other_words_are_no_answer(words):
    assert not says_whether_it_fits(words)


def test_seconds_end_with_the_answer_not_with_the_polling():
    viewer = Viewer("http://127.0.0.1:1")
    viewer.fragments["fragment"] = 0.01
    asked = []

    async def rerun(fragment="", **widget):
        asked.append(fragment)
        if len(asked) == 3:
            viewer.note_text(":green[:material/check_circle:] **Fits: 1 GiB (simulated).**")

    viewer.rerun = rerun
    seconds = asyncio.run(viewer.bar_seconds(Current_batch=3.0))
    assert asked == ["", "fragment", "fragment"]
    assert 0.01 <= seconds < 1


def test_private_memory_leaves_the_pages_of_files_out():
    status = b"VmRSS:\t  900 kB\nRssAnon:\t     400 kB\nRssFile:\t     500 kB\n"
    assert anonymous_bytes(status) == 400 * 1024
    assert anonymous_bytes(b"") == 0


def test_processor_time_is_read_behind_any_name_of_a_program():
    after = b" S 1 1 1 0 -1 0 0 0 0 0 30 12 0 0 20 0"
    assert ticks(b"77 (a) b ) c)" + after) == 42
    assert ticks(b"") == 0


def test_a_process_that_is_gone_takes_nothing():
    gone = 2**22 + 1
    assert (private_bytes(gone), cpu_seconds([gone]), workers_of(gone)) == (0, 0.0, [])
    assert workers_of(os.getpid()) == []


def test_a_figure_is_over_its_limit_or_has_none():
    assert is_over("bar_seconds", LIMITS["bar_seconds"] + 0.001)
    assert not is_over("bar_seconds", LIMITS["bar_seconds"])
    assert not is_over("cpu_cores", 1e9)
    assert "OVER" in told("bar_seconds", 9.0) and "ok" in told("bar_seconds", 0.1)
    assert "limit" not in told("cpu_cores", 2.0)
