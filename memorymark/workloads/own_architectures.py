"""Architectures that MemoryMark brings and transformers does not have.

Whoever reads a configuration calls `know_architecture` first: after that a folder whose config.json
names one of them is read, built, saved and loaded like any other.
"""

from __future__ import annotations

from functools import cache
from typing import Any

OWN = ("bdh",)
"""By the model type in a config.json."""


def know_architecture(model_type: Any) -> None:
    """Let transformers' Auto classes know an architecture, where it is one of these."""
    if model_type in OWN:
        _register_bdh()


@cache
def _register_bdh() -> None:
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

    from memorymark.workloads.bdh import BdhForCausalLM, BdhModel
    from memorymark.workloads.bdh_config import BdhConfig

    AutoConfig.register(BdhConfig.model_type, BdhConfig, exist_ok=True)
    AutoModel.register(BdhConfig, BdhModel, exist_ok=True)
    AutoModelForCausalLM.register(BdhConfig, BdhForCausalLM, exist_ok=True)
