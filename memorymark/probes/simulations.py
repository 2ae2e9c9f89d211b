"""Simulations that several simulated probes share, for the length of one comparison.

Cards of which a simulation would ask the same questions share its trace, and a few batch sizes
give the rest (`memorymark.simulator.families`). The user's own code may do something else each
time, and is always run.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch

from memorymark.errors import MemoryMarkError
from memorymark.probes.model_keeper import ModelKeeper
from memorymark.records.config import MAX_BATCH_SIZE
from memorymark.simulator.cuda.rules import CapabilityQuestions, Rules
from memorymark.simulator.families import BatchSizes
from memorymark.simulator.simulate import SimulatedSteps, simulate
from memorymark.workloads.build import is_own
from memorymark.workloads.trial_spec import TrialSpec

_FAR = (8, 4, 2)
_NEAR = (8, 4)
_SMALLEST = 8
# Longer traces are not kept: those of a few batch sizes would take gigabytes.
_MOST_EVENTS = 200_000


class _Group:
    """Simulations for all cards of which they ask nothing but what is answered alike."""

    def __init__(self) -> None:
        self.asked, self.kept = CapabilityQuestions(), BatchSizes()


class Simulations:
    """Simulates what was not simulated yet.

    Attributes:
        models: The model that is simulated.
        simulated: How many simulations ran.
    """

    def __init__(self) -> None:
        self.models = ModelKeeper(torch.device("meta"))
        self.simulated = 0
        self._training: Any = None
        self._groups: list[_Group] = []

    def at(self, spec: TrialSpec, rules: Rules) -> tuple[SimulatedSteps, bool]:
        """Return the steps of a trial, and whether they are derived from others.

        Raises:
            MemoryMarkError: The trial cannot be simulated.
        """
        if is_own(spec.workload):
            return self._simulate(spec, rules), False
        group = self._group(spec, rules)
        steps = group.kept.simulated.get(spec.batch_size)
        if steps is not None:
            return steps, False
        derived = group.kept.derive(spec.batch_size)
        if derived is not None:
            return derived, True
        steps = self._simulate_for(group, spec, rules)
        if len(group.kept.simulated) == 2:
            self._look_around(group, spec, rules)
        return steps, False

    def _group(self, spec: TrialSpec, rules: Rules) -> _Group:
        """Return the simulations that are those of the rules too, of one training at a time."""
        training = (spec.workload, spec.config, spec.stage)
        if training != self._training:
            self._training, self._groups = training, []
        for group in self._groups:
            if group.asked.are_answered_alike_by(rules):
                return group
        self._groups.append(_Group())
        return self._groups[-1]

    def _simulate_for(self, group: _Group, spec: TrialSpec, rules: Rules) -> SimulatedSteps:
        steps = self._simulate(spec, group.asked.about(rules))
        if len(steps.trace.events) <= _MOST_EVENTS:
            group.kept.add(spec.batch_size, steps)
        return steps

    def _look_around(self, group: _Group, spec: TrialSpec, rules: Rules) -> None:
        """Simulate batches beyond those that will be asked for, which then lie between.

        Far up other kernels may run, as where a tensor has too many elements for an index of 32
        bits: then something nearer is tried.
        """
        low, high = min(group.kept.simulated), max(group.kept.simulated)
        for share in _NEAR:
            batch_size = low // share
            if batch_size < _SMALLEST or self._extends(group, spec, rules, batch_size):
                break
        for times in _FAR:
            if self._extends(group, spec, rules, min(high * times, MAX_BATCH_SIZE)):
                break

    def _extends(self, group: _Group, spec: TrialSpec, rules: Rules, batch_size: int) -> bool:
        """Simulate a batch size and return whether it is on the line of those before."""
        if batch_size in group.kept.simulated:
            return False
        there = TrialSpec(spec.workload, spec.config, batch_size, spec.stage)
        with contextlib.suppress(MemoryMarkError):
            self._simulate_for(group, there, rules)
            return group.kept.is_on_a_line(batch_size)
        return False

    def _simulate(self, spec: TrialSpec, rules: Rules) -> SimulatedSteps:
        self.simulated += 1
        steps = simulate(spec, self.models.get(spec), rules)
        self.models.tidy()
        return steps
