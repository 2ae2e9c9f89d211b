"""The memory bar: whether the current batch fits, from one simulated step of it.

It follows the setup while that is changed. No job is started for it, and nothing is measured.
"""

from __future__ import annotations

import streamlit as st

from memorymark.errors import MemoryMarkError
from memorymark.records.request import Request, RequestKind
from memorymark.report.charts.batch_memory import MemoryBar, memory_bar
from memorymark.report.charts.palette import LIMIT
from memorymark.service.estimates import Answer
from memorymark.ui import say
from memorymark.ui.engine import app_service, visitor
from memorymark.ui.frame import is_page_drawn
from memorymark.ui.redraw import redraw
from memorymark.ui.setup.current import current_gpu, current_setup
from memorymark.ui.setup.setup_record import Setup
from memorymark.ui.slots import drawing, waiting
from memorymark.units import gib

_AT_ONCE_SECONDS = 0.12  # many answers are there by then: the page is drawn once, not twice
_POLL_SECONDS = 0.25
_LAST = "memory_bar"
_DIMMED = 0.45


def draw_memory_bar() -> None:
    """Draw the bar of the current setup; the last one, dimmed, until its estimate is there."""
    with st.container(key="memory_bar"):
        try:
            setup = current_setup()
        except MemoryMarkError as error:
            say.error("{}", error)
            return
        request = _request(setup)
        if request is None:
            _say_that_there_is_none(setup)
            return
        who = visitor()
        with waiting():
            answer = app_service().estimate(request, setup.batch, who, _AT_ONCE_SECONDS)
        if answer is None:
            _wait(request, setup.batch)
        else:
            _draw_answer(answer, setup)


def _request(setup: Setup) -> Request | None:
    """Return what is to be simulated; None for a device that no simulation is of."""
    gpu = current_gpu()
    if gpu is None:
        return None
    budget = setup.memory_budget
    return Request(
        RequestKind.ANALYSIS, setup.model, setup.config, gpu=gpu.key, memory_budget=budget
    )


@st.fragment(run_every=_POLL_SECONDS)
def _wait(request: Request, batch_size: int) -> None:
    """Draw the last bar until the estimate is there, then the whole page once more.

    Never from within a page that is being drawn: what was pressed below would be forgotten.
    """
    with drawing():
        if not is_page_drawn() and app_service().estimate(request, batch_size, visitor()):
            redraw()
        last: MemoryBar | None = st.session_state.get(_LAST)
        say.line("Estimating batch {:,} …", batch_size)
        if last is not None:
            _draw_bar(last, opacity=_DIMMED)
        else:
            _draw_empty()


def _draw_answer(answer: Answer, setup: Setup) -> None:
    if answer.trial is None:
        st.session_state.pop(_LAST, None)
        say.warning("No estimate: {}", answer.error)
        return
    gpu = current_gpu()
    if answer.trial.capacity_bytes is None or gpu is None:
        say.line("Batch {:,} cannot be estimated.", setup.batch)
        return
    bar = memory_bar(answer.trial, setup.options.headroom, gpu.usable_bytes)
    st.session_state[_LAST] = bar
    _say_whether_it_fits(bar)
    _draw_bar(bar)


def _say_whether_it_fits(bar: MemoryBar) -> None:
    if not bar.fits:
        say.line(":red[:material/block:] **{}**", bar.sentence)
    elif bar.has_headroom:
        say.line(":green[:material/check_circle:] **{}**", bar.sentence)
    else:
        say.line(":orange[:material/warning:] **{}**", bar.sentence)


def _draw_bar(bar: MemoryBar, opacity: float = 1.0) -> None:
    end = bar.end_bytes or 1
    free_from = (bar.capacity_bytes - bar.headroom_bytes) / end
    say.html(
        '<div style="opacity:{}">'
        '<div role="img" aria-label="{}" style="position:relative;height:1.5rem;'
        'border-radius:.35rem;overflow:hidden;border:1px solid #8793a1;background:{}">'
        '<div title="Headroom: {}" style="position:absolute;top:0;bottom:0;left:{:.2%};'
        "width:{:.2%};background:repeating-linear-gradient(45deg,transparent 0 4px,"
        '#8793a1aa 4px 6px)"></div>'
        '<div title="Capacity: {}" style="position:absolute;top:0;bottom:0;left:{:.2%};'
        'border-left:3px solid {}"></div></div>'
        '<div style="display:flex;flex-wrap:wrap;gap:.1rem .9rem;font-size:.85rem;'
        'margin-top:.3rem">{}</div></div>',
        opacity,
        bar.described,
        _gradient(bar),
        gib(bar.headroom_bytes),
        free_from,
        bar.headroom_bytes / end,
        gib(bar.capacity_bytes),
        min(bar.capacity_bytes / end, 0.995),
        LIMIT,
        [_key(part.colour, part.words, part.bytes) for part in bar.parts],
    )


def _draw_empty() -> None:
    say.html(
        '<div role="img" aria-label="Estimating" style="height:1.5rem;border-radius:.35rem;'
        'border:1px solid #8793a1;opacity:{}"></div>',
        _DIMMED,
    )


def _key(colour: str, words: str, size: int) -> say.Markup:
    return say.markup(
        '<span style="white-space:nowrap"><span aria-hidden="true" style="display:inline-block;'
        'width:.7rem;height:.7rem;border-radius:.15rem;margin-right:.35rem;background:{}"></span>'
        "{} {}</span>",
        colour,
        words,
        gib(size),
    )


def _gradient(bar: MemoryBar) -> str:
    """Return the parts as hard steps of one background."""
    steps, done = [], 0
    for part in bar.parts:
        begin, done = done, done + part.bytes
        steps.append(f"{part.colour} {begin / bar.end_bytes:.3%} {done / bar.end_bytes:.3%}")
    steps.append(f"transparent {done / (bar.end_bytes or 1):.3%}")
    return f"linear-gradient(to right, {', '.join(steps)})"


def _say_that_there_is_none(setup: Setup) -> None:
    st.session_state.pop(_LAST, None)
    if (setup.device or "").startswith("cuda"):
        st.caption("No estimate: the catalogue has no GPU of this kind. Start a run to measure it.")
    else:
        st.caption("No estimate for this machine's own processor: it is measured, in a run.")
