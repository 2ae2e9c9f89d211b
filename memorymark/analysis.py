"""The main job: how large a batch can be trained, what is gained by it."""

from __future__ import annotations

from memorymark.analysis_options import AnalysisOptions, Objective
from memorymark.analysis_record import Advice, Analysis, Mark

__all__ = ["Advice", "Analysis", "AnalysisOptions", "Mark", "Objective"]
