"""The form that says what is trained and how, and starts the work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, TypeVar

import streamlit as st

from memorymark.errors import MemoryMarkError
from memorymark.records.config import (
    MAX_BATCH_SIZE,
    Attention,
    Optimizer,
    OptimizerImpl,
    Precision,
    Task,
    TrainingConfig,
    ZeroGrad,
)
from memorymark.ui.engine import get_door
from memorymark.units import parse_bytes

_MODELS = ("bert", "gpt2", "resnet", "torchvision:vit_b_16", "hf:google-t5/t5-small")
_BY_MODEL = "the model's own"
_E = TypeVar("_E", bound=StrEnum)


class Asked:
    """What the form holds once it was sent.

    Attributes:
        button: The button that was pressed.
        model: The model's name.
        config: How it is trained.
        memory_budget: Bytes that a trial may use, where it was given.
        options: What else the page asked for.
    """

    def __init__(self, button: str, values: dict[str, Any]) -> None:
        self.button = button
        self.model: str = (values.pop("model") or "").strip()
        budget = (values.pop("memory_budget") or "").strip()
        self.memory_budget = parse_bytes(budget) if budget else None
        self.options = {name: values.pop(name) for name in _OPTIONS if name in values}
        task = values.pop("task")
        self.config = TrainingConfig(task=None if task == _BY_MODEL else task, **values)


_OPTIONS = ("granularity", "headroom", "objective", "batch_size")


def training_form(
    page: str, buttons: Sequence[str], extra: Callable[[], dict[str, Any]] | None = None
) -> Asked | None:
    """Draw the form; return what was asked for when one of its buttons was pressed.

    Args:
        page: Name of the page, which keeps the forms of pages apart.
        buttons: What the buttons say.
        extra: Draws further widgets of the page and returns their values.
    """
    with st.form(f"{page}_form", border=True):
        values = {**_main(page), **_details(page, extra)}
        with st.container(horizontal=True):
            pressed = [button for button in buttons if _submit(button, page)]
    if not pressed:
        return None
    try:
        return Asked(pressed[0], values)
    except MemoryMarkError as error:
        st.error(str(error), icon=":material/error:")
        return None


def _main(page: str) -> dict[str, Any]:
    with st.grid(4, min_column_width=150):
        model = st.selectbox(
            "Model",
            [*_MODELS, *get_door().settings.workloads],
            accept_new_options=True,
            key=f"{page}_model",
            persist_state="session",
            help="bert, gpt2, resnet, torchvision:NAME, timm:NAME, or hf:ID of the Hugging Face "
            "hub, of which only the configuration is read. Type to enter another one.",
        )
        precision = _choice("Precision", Precision, page)
        optimizer = _choice("Optimizer", Optimizer, page, Optimizer.ADAMW)
        seq_len = _count("Sequence length", page, "seq_len", 128, 1_000_000, "Text models: tokens.")
    return {"model": model, "precision": precision, "optimizer": optimizer, "seq_len": seq_len}


def _details(page: str, extra: Callable[[], dict[str, Any]] | None) -> dict[str, Any]:
    with st.expander("More settings", icon=":material/tune:"), st.grid(3, min_column_width=220):
        tasks = [_BY_MODEL, *(str(task) for task in Task)]
        values = {
            "task": st.selectbox("Task", tasks, key=f"{page}_task", persist_state="session"),
            "image_size": _count(
                "Image size", page, "image_size", 224, 65_536, "Image models: pixels."
            ),
            "attention": _choice("Attention", Attention, page),
            "gradient_accumulation": _count(
                "Gradient accumulation",
                page,
                "gradient_accumulation",
                1,
                1_000_000,
                "Forward and backward passes per optimizer step.",
            ),
            "optimizer_impl": _choice("Optimizer implementation", OptimizerImpl, page),
            "zero_grad": _choice("Gradients are released", ZeroGrad, page),
            "gradient_checkpointing": _switch("Gradient checkpointing", page, False),
            "dropout": _switch("Dropout", page, True),
            "channels_last": _switch("Channels last", page, False),
            "memory_budget": st.text_input(
                "Memory budget",
                key=f"{page}_budget",
                persist_state="session",
                placeholder="all there is, or 4GiB",
                help="What a trial may use; left empty, the whole device (on the CPU the smaller "
                "of 4 GiB and half of the free memory).",
            ),
        }
        return {**values, **(extra() if extra else {})}


def analysis_options() -> dict[str, Any]:
    """Draw what only an analysis asks for."""
    return {
        "granularity": _count(
            "Exact to", "analysis", "granularity", 8, MAX_BATCH_SIZE, "Steps of the batch size."
        ),
        "headroom": st.number_input(
            "Headroom (%)", 0, 90, 5, key="analysis_headroom", persist_state="session"
        )
        / 100,
        "objective": st.selectbox(
            "Optimal for",
            ["throughput", "memory"],
            key="analysis_objective",
            persist_state="session",
        ),
    }


def validation_options() -> dict[str, Any]:
    """Draw what only a validation asks for."""
    told = "The batch that is run in each of the ways."
    return {"batch_size": _count("Batch size", "backward", "batch_size", 8, MAX_BATCH_SIZE, told)}


def _submit(button: str, page: str) -> bool:
    return st.form_submit_button(
        button, type="primary", icon=":material/play_arrow:", key=f"{page}_{button}"
    )


def _choice(label: str, kind: type[_E], page: str, default: _E | None = None) -> str:
    names = [str(member) for member in kind]
    return st.selectbox(
        label,
        names,
        index=names.index(default) if default else 0,
        key=f"{page}_{kind.__name__.lower()}",
        persist_state="session",
    )


def _count(label: str, page: str, name: str, default: int, largest: int, told: str) -> int:
    return st.number_input(
        label, 1, largest, default, key=f"{page}_{name}", help=told, persist_state="session"
    )


def _switch(label: str, page: str, default: bool) -> bool:
    key = f"{page}_{label.replace(' ', '_').lower()}"
    return st.toggle(label, default, key=key, persist_state="session")
