"""From the name that a user gives to the workload that it stands for."""

from __future__ import annotations

from dataclasses import dataclass

from memorymark.errors import UnknownChoice, UsageError
from memorymark.workloads.base import Workload
from memorymark.workloads.builtin import BUILTIN_NAMES, builtin_workload

_FORMS = "Other forms: hf:ID, hf:FOLDER, torchvision:NAME, timm:NAME, package.module:factory."
_LIBRARIES = ("torchvision", "timm")


@dataclass(frozen=True)
class ModelForm:
    """A form in which a model can be named.

    Attributes:
        form: The name or pattern.
        meaning: What it stands for.
    """

    form: str
    meaning: str


MODEL_FORMS = (
    ModelForm("bert", "google-bert/bert-base-uncased with a sequence-classification head"),
    ModelForm("gpt2", "openai-community/gpt2 with a sequence-classification head"),
    ModelForm("resnet", "microsoft/resnet-50"),
    ModelForm("hf:ID", "any Hugging Face model by hub id; only its configuration is read"),
    ModelForm("hf:FOLDER", "a local folder with config.json"),
    ModelForm("torchvision:NAME", "any torchvision classification model"),
    ModelForm("timm:NAME", "any timm model, where timm is installed"),
    ModelForm("package.module:factory", "your own workload; never from the web page"),
)


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
    if prefix in _LIBRARIES and rest:
        from memorymark.workloads.vision import ImageClassifier

        return ImageClassifier(prefix, rest)
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
            f"{name!r} is a workload of your own, which runs code: it is not started from here. "
            "Use the command line or Python, or have the server's settings allow it."
        )
    from memorymark.workloads.custom import load_custom

    return load_custom(name)
