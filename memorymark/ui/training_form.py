"""The form of the training options, which starts a run.

Its first values come from the page's address, as in /?model=gpt2&precision=amp-bf16; a form that
was sent writes them there, so that the address of a run also holds its settings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import streamlit as st

from memorymark.errors import MemoryMarkError
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.option import from_query, options_of, to_query
from memorymark.records.request import DEFAULT_BATCH_SIZE, Request
from memorymark.ui import say
from memorymark.ui.engine import app_service
from memorymark.ui.option_widgets import bounds, draw_options
from memorymark.ui.say import plain

_REQUEST = options_of(Request)
_MODELS = ("bert", "gpt2", "resnet", "torchvision:vit_b_16", "hf:google-t5/t5-small")
_MAIN = ("precision", "optimizer", "seq_len")
_MORE = (
    "task", "image_size", "attention", "gradient_accumulation", "optimizer_impl", "zero_grad",
    "num_labels", "loop", "use_cache", "audio_seconds", "num_frames", "gradient_checkpointing",
    "dropout", "channels_last", "cudnn_benchmark",
)  # fmt: skip
_ANALYSIS = ("granularity", "headroom", "objective", "max_batch_size")
_ADDRESS = ("model", "memory_budget", *_MAIN, *_MORE, *_ANALYSIS)


@dataclass(frozen=True)
class Asked:
    """What the form holds once it was sent.

    Attributes:
        button: The button that was pressed.
        model: The model's name.
        config: How it is trained.
        memory_budget: Bytes that a trial may use, where it was given.
        options: What else the page asked for.
    """

    button: str
    model: str
    config: TrainingConfig
    memory_budget: int | None
    options: dict[str, Any]


def training_form(
    page: str,
    buttons: Sequence[str],
    extra: Callable[[AnalysisOptions], dict[str, Any]] | None = None,
) -> Asked | None:
    """Draw the form; return what was asked for when one of its buttons was pressed.

    Args:
        page: Name of the page, which keeps the forms of pages apart.
        buttons: What the buttons say.
        extra: Draws further widgets of the page from their first values; returns what is set.
    """
    first = _first(page)
    with st.form(f"{page}_form", border=True):
        with st.grid(4, min_column_width=150):
            model = _model(page, first.model)
            values = draw_options(page, first.config, *_MAIN)
        with st.expander("More settings", icon=":material/tune:"), st.grid(3, min_column_width=220):
            values |= draw_options(page, first.config, *_MORE)
            budget = _budget(page, first.memory_budget)
            options = extra(first.options) if extra else {}
        with st.container(horizontal=True):
            pressed = [button for button in buttons if _submit(button, page)]
    if not pressed:
        return None
    try:
        amount = _REQUEST["memory_budget"].parse(budget) if budget else None
        asked = Asked(pressed[0], model, TrainingConfig(**values), amount, options)
    except MemoryMarkError as error:
        say.error("{}", error)
        return None
    _write_address(asked, budget)
    return asked


def analysis_options(first: AnalysisOptions) -> dict[str, Any]:
    """Draw what only an analysis asks for."""
    return draw_options("analysis", first, *_ANALYSIS)


def validation_options(_: AnalysisOptions) -> dict[str, Any]:
    """Draw what only a validation asks for."""
    option = _REQUEST["batch_size"]
    size = st.number_input(
        option.label,
        *bounds(option),
        DEFAULT_BATCH_SIZE,
        key="backward_batch_size",
        persist_state="session",
        help=option.help,
    )
    return {"batch_size": size}


class _First(NamedTuple):
    """What the widgets begin with."""

    model: str
    memory_budget: str
    config: TrainingConfig
    options: AnalysisOptions


def _first(page: str) -> _First:
    """Return the first values: the defaults, or what the address says, with a word on the rest.

    They stay the same for the session: a widget whose first value changes may start anew.
    """
    said = {name: st.query_params[name] for name in _ADDRESS if name in st.query_params}
    config, refused = from_query(TrainingConfig, said)
    options, more = from_query(AnalysisOptions, said)
    for sentence in (*refused, *more):
        say.warning("Ignored in the address: {}", sentence, icon=":material/link_off:")
    texts = (said.get(name, "").strip() for name in ("model", "memory_budget"))
    return st.session_state.setdefault(f"{page}_first", _First(*texts, config, options))


def _model(page: str, first: str) -> str:
    models = list(dict.fromkeys([*_MODELS, *app_service().settings.workloads, first or _MODELS[0]]))
    chosen = st.selectbox(
        _REQUEST["model"].label,
        models,
        index=models.index(first or _MODELS[0]),
        accept_new_options=True,
        key=f"{page}_model",
        persist_state="session",
        help="bert, gpt2, resnet, torchvision:NAME, timm:NAME or hf:ID (a model of the Hugging "
        "Face hub; only its configuration is read). Type to enter another model.",
    )
    return (chosen or "").strip()


def _budget(page: str, first: str) -> str:
    text = st.text_input(
        _REQUEST["memory_budget"].label,
        first,
        key=f"{page}_budget",
        persist_state="session",
        placeholder="whole device, or e.g. 4GiB",
        help=_REQUEST["memory_budget"].help,
    )
    return (text or "").strip()


def _submit(button: str, page: str) -> bool:
    return st.form_submit_button(
        plain(button), type="primary", icon=":material/play_arrow:", key=f"{page}_{button}"
    )


def _write_address(asked: Asked, budget: str) -> None:
    options = {name: value for name, value in asked.options.items() if name in _ANALYSIS}
    said = {"model": asked.model, "memory_budget": budget}
    said |= to_query(asked.config) | to_query(AnalysisOptions(**options))
    st.query_params.from_dict({name: text for name, text in said.items() if text})
