"""The setup in the address of the page, as in /?model=gpt2&precision=amp-bf16."""

from __future__ import annotations

from typing import Any, NamedTuple

import streamlit as st

from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.inputs import INPUT_NAMES
from memorymark.records.option import from_query, to_query
from memorymark.ui.kept_runs import RUN_PARAMETER
from memorymark.ui.setup.setup_record import OPTIONS, TRAINING, Setup
from memorymark.ui.setup.targets import default_target, target_of, target_options, target_parts

NAMES = ("model", "gpu", "device", "memory_budget", *OPTIONS)
_BESIDE = (RUN_PARAMETER, *INPUT_NAMES)


class Read(NamedTuple):
    """What the address says.

    Attributes:
        values: Values of the setup by their names.
        refused: A sentence for each that is not understood.
    """

    values: dict[str, Any]
    refused: list[str]


def is_in_address() -> bool:
    """Say whether the address of the page names any setting."""
    return any(name in st.query_params for name in NAMES)


def read_address() -> Read:
    """Read the address; one that names the model says everything, by default where it is silent."""
    said = {name: st.query_params[name] for name in NAMES if name in st.query_params}
    config, refused = from_query(TrainingConfig, said)
    options, more = from_query(AnalysisOptions, said)
    values = {
        name: getattr(config if name in TRAINING else options, name)
        for name in OPTIONS
        if "model" in said or name in said
    }
    values |= {name: said[name].strip() for name in ("model", "memory_budget") if name in said}
    if not values.get("model", "named"):
        del values["model"]
    target = target_of(said.get("device"), said.get("gpu"))
    if target in target_options():
        values["target"] = target
    elif target is not None:
        more.append(f"There is no GPU or device {target.partition('=')[2]!r} here.")
    return Read(values, [*refused, *more])


def write_setup(setup: Setup, target: str, memory_budget: str) -> None:
    """Let the address say a setup, beside the run that it names.

    Args:
        setup: The setup.
        target: Its target by name; the default one is left out.
        memory_budget: Its budget as it was entered.
    """
    said: dict[str, str | None] = {"model": setup.model, "memory_budget": memory_budget}
    if target != default_target():
        said |= target_parts(target)
    said |= to_query(setup.config) | to_query(setup.options)
    said = {name: text for name, text in said.items() if text}
    said |= {name: st.query_params[name] for name in _BESIDE if name in st.query_params}
    st.query_params.from_dict(said)
