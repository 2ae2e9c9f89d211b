"""Workloads: what is trained."""

from memorymark.workloads.base import Workload, build_model, make_batch
from memorymark.workloads.registry import MODEL_FORMS, ModelForm, resolve

__all__ = ["MODEL_FORMS", "ModelForm", "Workload", "build_model", "make_batch", "resolve"]
