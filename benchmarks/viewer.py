"""A viewer of the app: a WebSocket client that speaks Streamlit's protocol."""

from __future__ import annotations

import asyncio
import time

import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

_TO_BEGIN_ANEW = ForwardMsg.ScriptFinishedStatus.FINISHED_EARLY_FOR_RERUN
_PATIENCE_SECONDS = 60.0
_ICONS = (":material/check_circle:", ":material/warning:", ":material/block:")


def says_whether_it_fits(markdown: str) -> bool:
    """Whether this is the memory bar's answer: a mark, and a sentence on what is simulated."""
    return any(icon in markdown for icon in _ICONS) and "simulated" in markdown


class Viewer:
    """One open page."""

    def __init__(self, address: str) -> None:
        self.url = address.replace("http", "ws") + "/_stcore/stream"
        self.origin = address
        self.fragments: dict[str, float] = {}
        self.widgets: dict[str, str] = {}
        self.numbers: set[str] = set()
        self.finished, self.answered = asyncio.Event(), asyncio.Event()
        self.reruns = 0

    async def open(self, query: str = "") -> None:
        """Connect and run the page."""
        self.query = query
        self.socket = await websockets.connect(
            self.url, subprotocols=["streamlit"], origin=self.origin, max_size=None
        )
        self.reader = asyncio.create_task(self._read())
        await self.rerun()

    async def rerun(self, fragment: str = "", **widget: object) -> None:
        """Run the page, or one fragment of it, with a widget's new value; wait for its end."""
        message = BackMsg()
        message.rerun_script.query_string = self.query
        if not fragment:
            self.fragments.clear()
        else:
            message.rerun_script.fragment_id = fragment
            message.rerun_script.is_auto_rerun = True
        for label, value in widget.items():
            state = message.rerun_script.widget_states.widgets.add(id=self.widgets[label])
            if value is True:
                state.trigger_value = True
            elif label in self.numbers:
                state.double_value = value
            else:
                state.double_array_value.data.append(value)
        self.finished.clear()
        await self.socket.send(message.SerializeToString())
        await asyncio.wait_for(self.finished.wait(), 60)
        self.reruns += 1

    async def bar_seconds(self, **widget: object) -> float:
        """Seconds from a widget's new value to the memory bar's answer, polled as browsers do."""
        self.answered.clear()
        start = time.perf_counter()
        await self.rerun(**widget)
        while not await self._is_answered_within(min(self.fragments.values(), default=1.0)):
            for fragment in list(self.fragments):
                await self.rerun(fragment)
            if time.perf_counter() - start > _PATIENCE_SECONDS:
                raise TimeoutError("the memory bar gave no answer")
        return self.answered_at - start

    async def _is_answered_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self.answered.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def watch(self) -> None:
        """Rerun the fragments of the page as a browser does, until it is cancelled."""
        while True:
            await asyncio.sleep(min(self.fragments.values(), default=1.0))
            for fragment in list(self.fragments):
                await self.rerun(fragment)

    def note_text(self, markdown: str) -> None:
        """Note when the memory bar's answer comes."""
        if says_whether_it_fits(markdown) and not self.answered.is_set():
            self.answered_at = time.perf_counter()
            self.answered.set()

    async def close(self) -> None:
        """Leave the page."""
        self.reader.cancel()
        await self.socket.close()

    async def _read(self) -> None:
        async for data in self.socket:
            message = ForwardMsg()
            message.ParseFromString(data)
            kind = message.WhichOneof("type")
            if kind == "auto_rerun":
                self.fragments[message.auto_rerun.fragment_id] = message.auto_rerun.interval
            elif kind == "delta":
                self._note(message.delta.new_element)
            elif kind == "script_finished" and message.script_finished != _TO_BEGIN_ANEW:
                self.finished.set()

    def _note(self, element: object) -> None:
        kind = element.WhichOneof("type")
        if kind == "markdown":
            self.note_text(element.markdown.body)
        if kind in ("button", "slider", "number_input"):
            widget = getattr(element, kind)
            label = widget.label.replace(" ", "_").replace("-", "_")
            self.widgets[label] = widget.id
            if kind == "number_input":
                self.numbers.add(label)
