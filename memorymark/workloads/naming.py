"""The forms in which a model can be named: data only, so that listing them loads no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelForm:
    """A form in which a model can be named.

    Attributes:
        form: The name or pattern.
        meaning: What it stands for.
    """

    form: str
    meaning: str


VISION_LIBRARIES = ("torchvision", "timm")

MODEL_FORMS = (
    ModelForm("bert", "google-bert/bert-base-uncased with a sequence-classification head"),
    ModelForm("gpt2", "openai-community/gpt2 with a sequence-classification head"),
    ModelForm("resnet", "microsoft/resnet-50"),
    ModelForm("hf:ID", "any Hugging Face model by hub id; only its configuration is read"),
    ModelForm("hf:FOLDER", "a local folder with config.json"),
    ModelForm("torchvision:NAME", "any torchvision model for images or video"),
    ModelForm("timm:NAME", "any timm model, where timm is installed"),
    ModelForm("package.module:factory", "your own workload; command line and Python only"),
)
