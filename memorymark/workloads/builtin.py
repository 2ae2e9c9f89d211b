"""The built-in models, written down as configurations so that they need no network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from memorymark.workloads.base import Workload
from memorymark.workloads.byte_models import BYTE_MODELS
from memorymark.workloads.known_models import BUILTIN_TASKS
from memorymark.workloads.own_architectures import know_architecture


def _bert() -> Any:
    """google-bert/bert-base-uncased: the defaults of its class."""
    from transformers import BertConfig

    return BertConfig()


def _gpt2() -> Any:
    """openai-community/gpt2: the defaults of its class, 124 million parameters."""
    from transformers import GPT2Config

    return GPT2Config()


def _resnet() -> Any:
    """microsoft/resnet-50: the defaults of its class."""
    from transformers import ResNetConfig

    return ResNetConfig()


_BUILTIN: dict[str, tuple[Callable[[], Any], int]] = {
    "bert": (_bert, 2),
    "gpt2": (_gpt2, 2),
    "resnet": (_resnet, 1000),
}


def builtin_workload(name: str) -> Workload:
    """Return the built-in workload of that name."""
    from memorymark.workloads.huggingface import HuggingFaceWorkload

    if name in BYTE_MODELS:
        return HuggingFaceWorkload(name, _over_bytes(name), BUILTIN_TASKS[name])
    make_config, num_labels = _BUILTIN[name]
    return HuggingFaceWorkload(name, make_config(), BUILTIN_TASKS[name], num_labels)


def _over_bytes(name: str) -> Any:
    from transformers import AutoConfig

    config = BYTE_MODELS[name].config
    know_architecture(config["model_type"])
    return AutoConfig.for_model(**config)
