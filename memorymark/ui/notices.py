"""What every page says first, where something is wrong with the run history."""

from __future__ import annotations

from memorymark.ui import say
from memorymark.ui.engine import app_service


def draw_history_problem() -> None:
    """Say why the history cannot be read or written, and what is kept in memory meanwhile."""
    history = app_service().history
    problem = history.problem()
    if problem is None:
        return
    number = len(history.unsaved)
    which = {0: "New runs are", 1: "1 run is"}.get(number, f"{number} runs are")
    say.warning(
        "{} Work goes on. {} kept in memory only, until this server ends: export what you need.",
        problem,
        which,
        icon=":material/save_as:",
    )
