"""The command line that repeats an analysis."""

from __future__ import annotations

from memorymark.records.analysis import Analysis
from memorymark.records.request import Request, RequestKind


def command_line(analysis: Analysis, memory_budget_bytes: int | None = None) -> str:
    """Write the command that runs the same analysis; options at their defaults are left out.

    Args:
        analysis: The analysis to repeat.
        memory_budget_bytes: The budget that was set, if one was; on the CPU it is known.
    """
    target = analysis.target
    is_simulated = target.gpu_key is not None and target.kind == "simulated"
    if target.kind == "cpu":
        memory_budget_bytes = memory_budget_bytes or analysis.capacity_bytes
    return Request(
        RequestKind.ANALYSIS,
        analysis.workload,
        analysis.config,
        device=None if is_simulated else f"{target.kind}:{target.index}".removesuffix(":0"),
        gpu=target.gpu_key if is_simulated else None,
        memory_budget=memory_budget_bytes,
        options=analysis.options,
    ).command()
