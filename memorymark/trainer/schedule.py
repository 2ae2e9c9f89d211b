"""The learning rate of each step: a function of the step alone, so that nothing of it is saved."""

from __future__ import annotations

import math

from memorymark.records.training_plan import Schedule, TrainingPlan


def learning_rate(plan: TrainingPlan, step: int, total: int | None) -> float:
    """Return the learning rate of a step.

    It grows evenly over the warm-up, up to the whole; then it is constant, or falls to
    `final_rate` of it at the last step, evenly or along half a cosine (Loshchilov and Hutter 2016,
    arXiv 1608.03983).

    Args:
        plan: The rate and its schedule.
        step: Number of the step, from 0.
        total: How many steps there are; None where only time ends them: then it stays.

    Example:
        >>> plan = TrainingPlan(learning_rate=1.0, schedule="linear", warmup=2)
        >>> [learning_rate(plan, step, 6) for step in range(6)]
        [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    if step < plan.warmup:
        return plan.learning_rate * (step + 1) / plan.warmup
    if plan.schedule is Schedule.CONSTANT or total is None:
        return plan.learning_rate
    done = min(1.0, (step - plan.warmup) / max(1, total - plan.warmup))
    left = 1 - done if plan.schedule is Schedule.LINEAR else (1 + math.cos(math.pi * done)) / 2
    return plan.learning_rate * (plan.final_rate + (1 - plan.final_rate) * left)
