"""The setup in the address of the page, as in /?model=gpt2&precision=amp-bf16.

Each page's address says what the page asks for: the options of its form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import streamlit as st

from memorymark.records.inputs import INPUT_NAMES
from memorymark.records.option import read_query, written_query
from memorymark.ui.kept_runs import RUN_PARAMETER
from memorymark.ui.setup.setup_record import FORMS, HOST_MEMORY, TIME_BUDGET, TRAINED_FORM, Form
from memorymark.ui.setup.targets import default_target, target_of, target_options, target_parts

_BUDGET = "memory_budget"
_TARGET = ("gpu", "device")
NAMES = tuple(
    dict.fromkeys(
        name
        for form in (TRAINED_FORM, *FORMS.values())
        for name in ("model", *_TARGET, _BUDGET, *form.options)
    )
)
_AMOUNTS = (
    HOST_MEMORY.name,
    TIME_BUDGET.name,
)  # kept as entered, as the memory budget is
_BESIDE = (RUN_PARAMETER, *INPUT_NAMES)


class Read(NamedTuple):
    """What the address says.

    Attributes:
        shared: Values that all pages share, by their names.
        asked: Values of the form by their names.
        refused: A sentence for each that is not understood.
    """

    shared: dict[str, Any]
    asked: dict[str, Any]
    refused: list[str]


def is_in_address(form: Form) -> bool:
    """Say whether the address of the page names any setting."""
    names = ("model", *_TARGET, _BUDGET, *form.options)
    return any(name in st.query_params for name in names)


def read_address(form: Form) -> Read:
    """Read the address; one that names the model says everything, by default where it is silent."""
    said = {name: st.query_params[name] for name in NAMES if name in st.query_params}
    amounts = {name: said.pop(name).strip() for name in _AMOUNTS if name in said}
    taken, refused = read_query(form.options, said)
    taken |= {name: text for name, text in amounts.items() if name in form.options}
    asked = {
        name: taken.get(name, "" if name in _AMOUNTS else option.default)
        for name, option in form.options.items()
        if "model" in said or name in said or name in taken
    }
    shared = {name: said[name].strip() for name in ("model", _BUDGET) if name in said}
    if not shared.get("model", "named"):
        del shared["model"]
    target, why = _read_target(said, form)
    return Read(shared | target, asked, refused + why)


def _read_target(said: Mapping[str, str], form: Form) -> tuple[dict[str, str], list[str]]:
    """Return the target that the address names, or why it is not taken."""
    target = target_of(said.get("device"), said.get("gpu"))
    if target is None:
        return {}, []
    name = target.partition("=")[2]
    if target not in target_options():
        return {}, [f"There is no GPU or device {name!r} here."]
    if form.is_measured and not target_parts(target)["device"]:
        why = f"This page measures: choose a device of this machine in place of the GPU {name!r}."
        return {}, [why]
    return {"target": target}, []


def write_setup(
    form: Form, values: Mapping[str, Any], asked: Mapping[str, Any], target: str
) -> None:
    """Let the address say a setup, beside the run that it names.

    Args:
        form: What the page asks for.
        values: What all pages share.
        asked: The values of the form that count.
        target: The target by name; the default one is left out.
    """
    said: dict[str, str | None] = {name: values[name] for name in ("model", _BUDGET)}
    if target != default_target() and not (form.is_measured and target_parts(target)["gpu"]):
        said |= target_parts(target)
    said |= written_query(form.options, asked)
    said = {name: text for name, text in said.items() if text}
    said |= {name: st.query_params[name] for name in _BESIDE if name in st.query_params}
    st.query_params.from_dict(said)
