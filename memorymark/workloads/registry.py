"""Resolves model names to workloads."""

from __future__ import annotations

from memorymark.errors import UnknownChoice, UsageError
from memorymark.workloads.base import Workload
from memorymark.workloads.builtin import BUILTIN_NAMES, builtin_workload
from memorymark.workloads.naming import VISION_LIBRARIES

_FORMS = "Other forms: hf:ID, hf:FOLDER, torchvision:NAME, timm:NAME, package.module:factory."


def resolve(model: str, *, allow_code: bool = True) -> Workload:
    """Return the workload that the name stands for.

    Args:
        model: One of the forms of MODEL_FORMS.
        allow_code: Whether package.module:factory may run the user's code.

    Raises:
        UnknownChoice: No form fits the name; the error names the nearest one.
        ModelNotFound: There is no such model.
        WorkloadError: The model cannot be used.
    """
    name = model.strip()
    if name in BUILTIN_NAMES:
        return builtin_workload(name)
    prefix, colon, rest = name.partition(":")
    if not colon and "/" in name:
        return _hugging_face(name)
    if prefix == "hf" and rest:
        return _hugging_face(rest)
    if prefix in VISION_LIBRARIES and rest:
        from memorymark.workloads.vision import vision_workload

        return vision_workload(prefix, rest)
    if colon and rest and all(part.isidentifier() for part in prefix.split(".")):
        return _custom(name, allow_code)
    raise UnknownChoice("model", model, BUILTIN_NAMES, _FORMS)


def _hugging_face(ref: str) -> Workload:
    from memorymark.workloads.hub import load_hf_config
    from memorymark.workloads.huggingface import HuggingFaceWorkload

    return HuggingFaceWorkload(f"hf:{ref}", load_hf_config(ref))


def _custom(name: str, allow_code: bool) -> Workload:
    if not allow_code:
        raise UsageError(
            f"{name!r} would run custom code, which is not allowed here. Use the command line or "
            "Python, or have the owner of this machine allow it with MEMORYMARK_WORKLOADS."
        )
    from memorymark.workloads.custom import load_custom

    return load_custom(name)
