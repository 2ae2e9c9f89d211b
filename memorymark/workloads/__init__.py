"""Workloads: what is trained."""

from memorymark.model_forms import MODEL_FORMS, ModelForm
from memorymark.workloads.base import Workload, build_model, make_batch
from memorymark.workloads.registry import resolve

__all__ = ["MODEL_FORMS", "ModelForm", "Workload", "build_model", "make_batch", "resolve"]
