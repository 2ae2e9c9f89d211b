"""The setup as it stands. One for all pages, kept for the session.

It begins with the defaults, or with what the page's address says; opening a run fills it with the
run's settings, and the address follows each change. What is kept here are the values themselves: a
widget shows one of them (`setup_fields.py`) and may come and go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from memorymark.errors import MemoryMarkError, UsageError
from memorymark.gpus.catalogue import Gpu
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.option import options_of
from memorymark.records.request import Request, RequestKind, amount_words
from memorymark.records.serving_config import ServingConfig
from memorymark.records.session_run import SessionPlan
from memorymark.report.changed_settings import changed_settings
from memorymark.service.first_run import FIRST_MODEL
from memorymark.ui.setup.setup_address import is_in_address, read_address, write_setup
from memorymark.ui.setup.setup_record import (
    BATCH,
    HOST_MEMORY,
    OPTIONS,
    SEARCH,
    SEARCHED,
    TRAINING,
    VALIDATIONS,
    Setup,
    training_options,
)
from memorymark.ui.setup.targets import (
    default_target,
    gpu_of,
    kind_of,
    target_of,
    target_options,
    target_parts,
)

_BUDGET = options_of(Request)["memory_budget"]
_STATE, _REFUSED = "setup", "setup_refused"
_SERVED = "served"


def current_setup() -> Setup:
    """Return the setup as it stands.

    Raises:
        UsageError: The memory budget is not understood.
    """
    values = setup_values()
    shown = training_options(values["model"], values["task"])
    config = {
        name: values[name] if name in shown else option.default for name, option in TRAINING.items()
    }
    budget = values["memory_budget"]
    return Setup(
        model=values["model"],
        config=TrainingConfig(**config),
        **target_parts(values["target"]),
        memory_budget=_BUDGET.parse(budget) if budget else None,
        options=AnalysisOptions(**{name: values[name] for name in SEARCHED}),
        served=values[_SERVED],
    )


def current_batch() -> int:
    """Return the batch that is trained with today."""
    return setup_values()[BATCH]


def current_target() -> str:
    """Return the target by name: "device=cuda:0" or "gpu=a100-40gb"."""
    return setup_values()["target"]


def is_simulated() -> bool:
    """Say whether the target is a GPU to simulate."""
    return kind_of(current_target()) == "simulated"


def current_gpu() -> Gpu | None:
    """Return the catalogue's row of the target, measured or simulated, where it has one."""
    return gpu_of(current_target())


def setup_values() -> dict[str, Any]:
    """Return the values by their names, which begin with what the address says."""
    if _STATE not in st.session_state:
        said = read_address()
        st.session_state[_STATE] = {**_first(), **said.values}
        st.session_state[_REFUSED] = said.refused
    values = st.session_state[_STATE]
    if values["target"] not in target_options():
        values["target"] = default_target()
    return values


def set_value(name: str, value: Any) -> None:
    """Set one of the values, which was checked; the address follows."""
    setup_values()[name] = value
    st.session_state.pop(_REFUSED, None)
    write_address()


def served_values() -> dict[str, Any]:
    """Return how the model generates and its sessions take turns, by name."""
    return setup_values()[_SERVED]


def set_served(name: str, value: Any) -> None:
    """Set one of them, which was checked."""
    served_values()[name] = value


def write_address() -> None:
    """Let the address of the page say the setup, where it is understood."""
    values = setup_values()
    try:
        write_setup(current_setup(), values["target"], values["memory_budget"])
    except MemoryMarkError:
        return


def refused_in_address() -> list[str]:
    """Return what the address says and is not understood, until a setting is changed."""
    return st.session_state.get(_REFUSED, [])


def refuse_in_address(sentences: Sequence[str]) -> None:
    """Note what else the address says and is not understood."""
    if sentences:
        st.session_state[_REFUSED] = [*refused_in_address(), *sentences]


def fill_setup(request: Request) -> None:
    """Set the setup to what a run was asked for, before its widgets are drawn."""
    values = setup_values()
    values |= {"model": request.model, "memory_budget": _budget_words(request)}
    if request.serving is not None and request.plan is not None:
        values[_SERVED] = _served(request.serving, request.plan, request.host_memory)
    else:
        values |= _trained(request)
    target = target_of(request.device, request.gpu)
    if target in target_options():
        values["target"] = target
    if is_in_address():
        values |= read_address().values


def _trained(request: Request) -> dict[str, Any]:
    """Return how a run trained, by the names of the values."""
    found = {name: getattr(request.config, name) for name in TRAINING}
    if request.kind not in VALIDATIONS:
        return found | {name: getattr(request.options, name) for name in SEARCHED}
    return found if request.batch_size is None else found | {BATCH: request.batch_size}


def _served(config: ServingConfig, plan: SessionPlan, host_bytes: int | None) -> dict[str, Any]:
    """Return how sessions ran, by the names of the values."""
    host = "" if host_bytes is None else amount_words(host_bytes)
    return {**vars(config), **vars(plan), HOST_MEMORY.name: host}


def changed_since(request: Request) -> tuple[str, ...]:
    """Say which settings differ from those of a run, each as in "precision fp32 (now bf16)"."""
    try:
        now = current_setup().request(request.kind)
    except UsageError:
        return ()
    is_served = request.kind is RequestKind.SESSIONS
    return changed_settings(
        request,
        now,
        targets=(_target_words(request), _target_words(now)),
        training=() if is_served else training_options(now.model, now.config.task),
        search=() if is_served or request.kind in VALIDATIONS else SEARCH,
    )


def not_by_default(names: Sequence[str]) -> list[str]:
    """Return which of the settings differ from their defaults."""
    values = setup_values()
    changed = [name for name in names if name in OPTIONS and values[name] != OPTIONS[name].default]
    return changed + (["memory_budget"] if values["memory_budget"] else [])


def _first() -> dict[str, Any]:
    values: dict[str, Any] = {name: option.default for name, option in OPTIONS.items()}
    values[_SERVED] = _served(ServingConfig(), SessionPlan(), None)
    return {**values, "model": FIRST_MODEL, "target": default_target(), "memory_budget": ""}


def _budget_words(request: Request) -> str:
    return "" if request.memory_budget is None else amount_words(request.memory_budget)


def _target_words(request: Request) -> str:
    target = target_of(request.device, request.gpu)
    if target is None:
        return target_options()[default_target()]
    return target_options().get(target, target.partition("=")[2])
