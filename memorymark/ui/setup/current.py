"""The setup as it stands. One for all pages, kept for the session.

It begins with the defaults, or with what the page's address says; opening a run fills it with the
run's settings, and the address follows each change. What a page asks for is its form: the address
says that and what all pages share. What is kept here are the values themselves: a
widget shows one of them (`setup_fields.py`) and may come and go.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import streamlit as st

from memorymark.errors import MemoryMarkError, UsageError
from memorymark.gpus.catalogue import Gpu
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.generation_plan import GenerationPlan
from memorymark.records.option import Option, options_of
from memorymark.records.request import Request, RequestKind, amount_words
from memorymark.records.serving_config import ServingConfig
from memorymark.records.session_run import SessionPlan
from memorymark.records.training_plan import TrainingPlan
from memorymark.report.changed_settings import changed_settings
from memorymark.service.training_admission import TRAININGS
from memorymark.ui.machine_view import local_devices
from memorymark.ui.setup.model_facts import FIRST_WRITER, positions_here
from memorymark.ui.setup.setup_address import is_in_address, read_address, write_setup
from memorymark.ui.setup.setup_record import (
    BATCH,
    CONTEXT,
    DATA,
    FORMS,
    GENERATED,
    GENERATION_FORM,
    HOST_MEMORY,
    MEDIA,
    OPTIONS,
    PROMPT,
    SEARCH,
    SEARCHED,
    SESSIONS_FORM,
    TIME_BUDGET,
    TRAIN_BATCH,
    TRAIN_CONFIG,
    TRAIN_FORM,
    TRAIN_PLANNED,
    TRAINED_FORM,
    TRAINING,
    VALIDATIONS,
    Form,
    Setup,
    read_by,
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
_FIRST_TIME = "10m"
_STATE, _REFUSED, _PAGE = "setup", "setup_refused", "setup_page"


def current_setup() -> Setup:
    """Return the setup as it stands.

    Raises:
        UsageError: The memory budget is not understood.
    """
    values = setup_values()
    asked = asked_values(TRAINED_FORM)
    budget = values["memory_budget"]
    return Setup(
        model=current_model(),
        config=TrainingConfig(**{name: asked[name] for name in TRAINING}),
        **target_parts(values["target"]),
        memory_budget=_BUDGET.parse(budget) if budget else None,
        options=AnalysisOptions(**{name: asked[name] for name in SEARCHED}),
        served={**asked_values(SESSIONS_FORM), CONTEXT: current_context()},
        generated={**asked_values(GENERATION_FORM), **_prompt()},
        trained=asked_values(TRAIN_FORM),
        own_device=current_device(),
    )


def _prompt() -> dict[str, str]:
    prompt = form_values(GENERATION_FORM)[PROMPT.name]
    return {PROMPT.name: prompt} if prompt and PROMPT.name in read_by(current_model()) else {}


def current_batch() -> int:
    """Return the batch that is trained with today."""
    return setup_values()[BATCH]


def current_target() -> str:
    """Return the target by name: "device=cuda:0" or "gpu=a100-40gb"."""
    return setup_values()["target"]


def current_model() -> str:
    """Return the model's name: until somebody chooses one, that which the page opens on."""
    return setup_values()["model"] or current_form().first_model


def current_context() -> int:
    """Return the tokens of a session's context: what a model has no positions for is left out.

    That is so by default alone: a context that somebody set stays.
    """
    context = form_values(SESSIONS_FORM)[CONTEXT]
    most = positions_here(current_model())
    is_cut = most is not None and context == SESSIONS_FORM.options[CONTEXT].default
    return min(context, most) if is_cut else context


def current_device() -> str:
    """Return the device of this machine that what is only measured runs on."""
    return target_parts(current_target())["device"] or local_devices()[0][0]


def shown_value(form: Form, name: str) -> Any:
    """Return what the field of an option shows."""
    return current_context() if name == CONTEXT else form_values(form)[name]


def is_simulated() -> bool:
    """Say whether the target is a GPU to simulate."""
    return kind_of(current_target()) == "simulated"


def current_gpu() -> Gpu | None:
    """Return the catalogue's row of the target, measured or simulated, where it has one."""
    return gpu_of(current_target())


def setup_values() -> dict[str, Any]:
    """Return the values by their names, which begin with what the address says."""
    if _STATE not in st.session_state:
        st.session_state[_STATE] = _first()
        st.session_state[_REFUSED] = _take_address()
    values = st.session_state[_STATE]
    if values["target"] not in target_options():
        values["target"] = default_target()
    return values


def _take_address() -> list[str]:
    """Set what the address says; return a sentence for each that is not understood."""
    form, values = current_form(), st.session_state[_STATE]
    said = read_address(form)
    values |= said.shared
    form_values(form).update(said.asked)
    return said.refused


def note_page(path: str) -> None:
    """Note which page is drawn, by its address: its form is the current one."""
    st.session_state[_PAGE] = path


def current_form() -> Form:
    """Return what the page that is drawn asks for."""
    return FORMS.get(st.session_state.get(_PAGE, ""), TRAINED_FORM)


def form_values(form: Form) -> dict[str, Any]:
    """Return the values of a form by name."""
    values = setup_values()
    return values[form.key] if form.key else values


def asked_names(form: Form) -> Collection[str]:
    """Return the names of the options of a form that count for the model."""
    return form.asked(current_model(), form_values(form).get("task"))


def asked_values(form: Form) -> dict[str, Any]:
    """Return the same; the default of each that the model does not take."""
    values, counts = form_values(form), asked_names(form)
    return {
        name: values[name] if name in counts else option.default
        for name, option in form.options.items()
    }


def set_value(name: str, value: Any, form: Form = TRAINED_FORM) -> None:
    """Set a value of a form, or one that all pages share; it was checked. The address follows."""
    form_values(form)[name] = value
    st.session_state.pop(_REFUSED, None)
    write_address()


def write_address() -> None:
    """Let the address of the page say what the page asks for, where it is understood."""
    values, form = setup_values(), current_form()
    try:
        current_setup().request(form.kind)
    except MemoryMarkError:
        return
    asked = {name: value for name, value in asked_values(form).items() if value != ""}
    write_setup(form, {**values, "model": current_model()}, asked, values["target"])


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
        values[SESSIONS_FORM.key] = _served(request.serving, request.plan, request.host_memory)
    elif request.serving is not None and request.generation is not None:
        values[GENERATION_FORM.key] = _generated(request.serving, request.generation)
    elif request.training is not None:
        values[TRAIN_FORM.key] = _of_training(request, request.training)
    elif request.kind not in (RequestKind.GENERATE, *TRAININGS):
        values |= _trained(request)
    target = target_of(request.device, request.gpu)
    if target in target_options():
        values["target"] = target
    if is_in_address(current_form()):
        _take_address()


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


def _generated(config: ServingConfig, plan: GenerationPlan) -> dict[str, Any]:
    """Return how a text was written, by the names of the values; of files, the names alone."""
    known = {**vars(config), **vars(plan)}
    return {name: known[name] for name in (*GENERATED, PROMPT.name, *MEDIA)}


def _of_training(request: Request, plan: TrainingPlan) -> dict[str, Any]:
    """Return how a training ran, by the names of the values; of an upload, the name alone."""
    found = {said: getattr(plan, name) for name, said in TRAIN_PLANNED.items()}
    budget = plan.time_budget
    return {
        **found,
        **{name: getattr(request.config, name) for name in TRAIN_CONFIG},
        TRAIN_BATCH: request.batch_size,
        TIME_BUDGET.name: "" if budget is None else f"{budget:.10g}s",
        DATA: plan.data,
    }


def changed_since(request: Request) -> tuple[str, ...]:
    """Say which settings differ from those of a run, each as in "precision fp32 (now bf16)"."""
    if request.kind in (RequestKind.GENERATE, *TRAININGS):
        return ()  # what is made anew stands beside what it was made from
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


def not_by_default(names: Sequence[str], form: Form = TRAINED_FORM) -> list[str]:
    """Return which settings of a form differ from their defaults, the budget among them."""
    values, options = form_values(form), form.options
    changed = [name for name in names if name in options and _differs(options[name], values[name])]
    return changed + (["memory_budget"] if setup_values()["memory_budget"] else [])


def _differs(option: Option, value: Any) -> bool:
    return value not in (option.default, "")


def _first() -> dict[str, Any]:
    return {
        **{name: option.default for name, option in OPTIONS.items()},
        SESSIONS_FORM.key: _served(ServingConfig(), SessionPlan(), None),
        GENERATION_FORM.key: _generated(ServingConfig(), GenerationPlan()),
        TRAIN_FORM.key: {
            **_of_training(Request(RequestKind.TRAIN, FIRST_WRITER), TrainingPlan()),
            TIME_BUDGET.name: _FIRST_TIME,
        },
        "model": "",
        "target": default_target(),
        "memory_budget": "",
    }


def _budget_words(request: Request) -> str:
    return "" if request.memory_budget is None else amount_words(request.memory_budget)


def _target_words(request: Request) -> str:
    target = target_of(request.device, request.gpu)
    if target is None:
        return target_options()[default_target()]
    return target_options().get(target, target.partition("=")[2])
