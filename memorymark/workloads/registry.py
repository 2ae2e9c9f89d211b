"""Resolves model names to workloads."""

from __future__ import annotations

from memorymark.errors import UsageError
from memorymark.workloads.base import Workload
from memorymark.workloads.builtin import builtin_workload
from memorymark.workloads.hub import check_endpoint, load_hf_config, shipped_model
from memorymark.workloads.naming import CODE, HUGGING_FACE, VISION_LIBRARIES, form_of


def resolve(model: str, *, allow_code: bool = True) -> Workload:
    """Return the workload that the name stands for.

    Args:
        model: One of the forms of MODEL_FORMS.
        allow_code: Whether package.module:factory may run the user's code.

    Raises:
        UnknownChoice: No form fits the name; the error names the nearest one.
        InvalidValue: HF_ENDPOINT is no address.
        ModelNotFound: There is no such model.
        WorkloadError: The model cannot be used.
    """
    form, name = form_of(model)
    if form == CODE:
        return _custom(name, allow_code)
    if form in VISION_LIBRARIES:
        from memorymark.workloads.vision import vision_workload

        return vision_workload(form, name)
    check_endpoint()
    return _hugging_face(name) if form == HUGGING_FACE else builtin_workload(name)


def _hugging_face(ref: str) -> Workload:
    from memorymark.workloads.huggingface import HuggingFaceWorkload

    known = shipped_model(ref)
    if known is None:
        return HuggingFaceWorkload(f"hf:{ref}", load_hf_config(ref))
    note = (
        f"The configuration of {known.name} is the one that comes with MemoryMark, as seen on "
        f"{known.seen_on}."
    )
    return HuggingFaceWorkload(f"hf:{known.name}", load_hf_config(known.name), note=note)


def _custom(name: str, allow_code: bool) -> Workload:
    if not allow_code:
        raise UsageError(
            f"{name!r} would run custom code, which is not allowed here. Use the command line or "
            "Python, or have the owner of this machine allow it with MEMORYMARK_WORKLOADS."
        )
    from memorymark.workloads.custom import load_custom

    return load_custom(name)
