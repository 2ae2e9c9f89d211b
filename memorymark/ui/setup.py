"""The setup: what the pages are about. One for all of them, kept for the session.

It begins with the defaults, or with what the page's address says, as in
/?model=gpt2&precision=amp-bf16; opening a run fills it with the run's settings, and the address
follows each change. What is kept here are the values themselves: a widget shows one of them
(`ui/setup_fields.py`) and may come and go.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from memorymark.errors import MemoryMarkError, UsageError
from memorymark.gpus.catalogue import Gpu
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.inputs import INPUT_NAMES
from memorymark.records.option import Option, from_query, options_of, to_query
from memorymark.records.request import Request, RequestKind, amount_words
from memorymark.ui.engine import RUN_PARAMETER
from memorymark.ui.targets import (
    default_target,
    gpu_of,
    kind_of,
    target_of,
    target_options,
    target_parts,
)
from memorymark.workloads.known_models import lengths_of

LENGTHS = ("seq_len", "image_size", "audio_seconds", "num_frames")
BATCH = "current_batch_size"
SEARCH = ("granularity", "headroom", "objective", "max_batch_size")
DEFAULT_MODEL = "bert"
_TARGETS = ("gpu", "device")
_TRAINING = options_of(TrainingConfig)
_REQUEST = options_of(Request)
_SEARCHED = {name: options_of(AnalysisOptions)[name] for name in (BATCH, *SEARCH)}
OPTIONS: Mapping[str, Option] = {**_TRAINING, **_SEARCHED}
ADDRESS = ("model", *_TARGETS, "memory_budget", *OPTIONS)
_STATE, _OPENED, _REFUSED = "setup", "setup_opened", "setup_refused"
_VALIDATIONS = (RequestKind.BACKWARD, RequestKind.COMPILE)


@dataclass(frozen=True)
class Setup:
    """What a job or an estimate is asked for.

    Attributes:
        model: The model's name.
        config: How it is trained.
        device: Device of this machine to measure on, where it is measured.
        gpu: Key of the GPU catalogue, where it is simulated.
        memory_budget: Bytes that a trial may use, where it was given.
        options: The options of an analysis, without money: the current batch among them.
    """

    model: str
    config: TrainingConfig
    device: str | None
    gpu: str | None
    memory_budget: int | None
    options: AnalysisOptions

    @property
    def batch(self) -> int:
        """The current batch size."""
        return self.options.current_batch_size

    def request(self, kind: RequestKind, **money: Any) -> Request:
        """Return what one kind of job is asked for; money is what its options say beside these."""
        parts: dict[str, Any] = {"memory_budget": self.memory_budget}
        if kind is not RequestKind.COMPARISON:
            parts |= {"device": self.device, "gpu": self.gpu}
        if kind in _VALIDATIONS:
            parts["batch_size"] = self.batch
        else:
            parts["options"] = dataclasses.replace(self.options, **money)
        return Request(kind, self.model, self.config, **parts)


def current_setup() -> Setup:
    """Return the setup as it stands.

    Raises:
        UsageError: The memory budget is not understood.
    """
    values = setup_values()
    shown = fields_shown(values["model"], values["task"])
    config = {
        name: values[name] if name in shown else option.default
        for name, option in _TRAINING.items()
    }
    budget = values["memory_budget"]
    return Setup(
        model=values["model"],
        config=TrainingConfig(**config),
        **target_parts(values["target"]),
        memory_budget=_REQUEST["memory_budget"].parse(budget) if budget else None,
        options=AnalysisOptions(**{name: values[name] for name in _SEARCHED}),
    )


def fields_shown(model: str, task: str | None) -> set[str]:
    """Return the training options that a model takes: of the lengths, those of its samples."""
    lengths = lengths_of(model, task) or (LENGTHS if task is None else task.lengths)
    return {name for name in _TRAINING if name not in LENGTHS or name in lengths}


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
        st.session_state[_STATE] = _from_address()
    values = st.session_state[_STATE]
    if values["target"] not in target_options():
        values["target"] = default_target()
    return values


def set_value(name: str, value: Any) -> None:
    """Set one of the values, which was checked; the address follows."""
    setup_values()[name] = value
    st.session_state.pop(_REFUSED, None)
    write_address()


def refused_in_address() -> list[str]:
    """Return what the address says and is not understood, until a setting is changed."""
    return st.session_state.get(_REFUSED, [])


def refuse_in_address(sentences: Sequence[str]) -> None:
    """Note what else the address says and is not understood."""
    if sentences:
        st.session_state[_REFUSED] = [*refused_in_address(), *sentences]


def said_in_address() -> bool:
    """Say whether the address of the page names any setting."""
    return any(name in st.query_params for name in ADDRESS)


def note_opened(run_id: str | None) -> bool:
    """Say whether a run is opened now, and not shown again or still."""
    is_new = run_id is not None and st.session_state.get(_OPENED) != run_id
    if run_id is not None:
        st.session_state[_OPENED] = run_id
    return is_new


def forget_opened() -> None:
    """Let the next run be opened anew, even if it was the last."""
    st.session_state.pop(_OPENED, None)


def fill_setup(request: Request) -> None:
    """Set the setup to what a run was asked for, before its widgets are drawn."""
    values = setup_values()
    values |= {"model": request.model, "memory_budget": _budget_words(request)}
    values |= {name: getattr(request.config, name) for name in _TRAINING}
    if request.kind not in _VALIDATIONS:
        values |= {name: getattr(request.options, name) for name in _SEARCHED}
    elif request.batch_size is not None:
        values[BATCH] = request.batch_size
    target = target_of(request.device, request.gpu)
    if target in target_options():
        values["target"] = target
    if said_in_address():
        values |= _said()


def differences(request: Request) -> tuple[str, ...]:
    """Say which settings differ from those of a run, each as in "precision fp32 (now bf16)"."""
    try:
        now = current_setup().request(request.kind)
    except UsageError:
        return ()
    pairs = [("model", request.model, now.model)]
    if request.kind is not RequestKind.COMPARISON:
        pairs.append(("GPU", _target_words(request), _target_words(now)))
    budgets = (_budget_words(each) or "whole device" for each in (request, now))
    pairs.append(("memory budget", *budgets))
    if request.kind in _VALIDATIONS:
        pairs.append(("batch", request.batch_size, now.batch_size))
    shown = fields_shown(now.model, now.config.task)
    compared = [(request.config, now.config, name) for name in _TRAINING if name in shown]
    if request.kind not in _VALIDATIONS:
        compared += [(request.options, now.options, name) for name in SEARCH]
    for was, is_now, name in compared:
        words = (_words(OPTIONS[name], getattr(record, name)) for record in (was, is_now))
        pairs.append((_in_a_sentence(OPTIONS[name].label), *words))
    return tuple(f"{name} {was} (now {now})" for name, was, now in pairs if was != now)


def changed_settings(names: tuple[str, ...]) -> list[str]:
    """Return which of the settings differ from their defaults."""
    values = setup_values()
    changed = [name for name in names if name in OPTIONS and values[name] != OPTIONS[name].default]
    return changed + (["memory_budget"] if values["memory_budget"] else [])


def write_address() -> None:
    """Let the address of the page say the setup, beside the run that it names."""
    try:
        setup = current_setup()
    except MemoryMarkError:
        return
    said = {"model": setup.model, "memory_budget": setup_values()["memory_budget"]}
    if setup_values()["target"] != default_target():
        said |= {name: getattr(setup, name) for name in _TARGETS}
    said |= to_query(setup.config) | to_query(setup.options)
    said = {name: text for name, text in said.items() if text}
    kept = (RUN_PARAMETER, *INPUT_NAMES)
    said |= {name: st.query_params[name] for name in kept if name in st.query_params}
    st.query_params.from_dict(said)


def _from_address() -> dict[str, Any]:
    values = {name: option.default for name, option in OPTIONS.items()}
    return {**values, "model": DEFAULT_MODEL, "target": default_target(), "memory_budget": "",
            **_said(warn=True)}  # fmt: skip


def _said(*, warn: bool = False) -> dict[str, Any]:
    """Return what the address says, and keep what is not understood.

    An address that names the model says everything: what it leaves out is as by default.
    """
    said = {name: st.query_params[name] for name in ADDRESS if name in st.query_params}
    config, refused = from_query(TrainingConfig, said)
    options, more = from_query(AnalysisOptions, said)
    records = {name: (config if name in _TRAINING else options) for name in OPTIONS}
    taken = [name for name in OPTIONS if "model" in said or name in said]
    values = {name: getattr(records[name], name) for name in taken}
    values |= {name: said[name].strip() for name in ("model", "memory_budget") if name in said}
    target = target_of(said.get("device"), said.get("gpu"))
    if target in target_options():
        values["target"] = target
    elif target is not None:
        more.append(f"There is no GPU or device {target.partition('=')[2]!r} here.")
    if warn:
        st.session_state[_REFUSED] = [*refused, *more]
    return {name: value for name, value in values.items() if value != "" or name != "model"}


def _budget_words(request: Request) -> str:
    return "" if request.memory_budget is None else amount_words(request.memory_budget)


def _target_words(request: Request) -> str:
    target = target_of(request.device, request.gpu)
    if target is None:
        return target_options()[default_target()]
    return target_options().get(target, target.partition("=")[2])


def _words(option: Option, value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None:
        return "by default"
    return f"{value:.0%}" if option.is_share else str(value)


def _in_a_sentence(label: str) -> str:
    return label if label[1:2].isupper() else label[:1].lower() + label[1:]
