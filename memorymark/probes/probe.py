"""The interface of a probe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from memorymark.errors import NotAvailable
from memorymark.records.config import TrainingConfig
from memorymark.records.session_run import ContextRoom, SessionEvent, SessionRun
from memorymark.records.trial import Target, Trial

if TYPE_CHECKING:
    from memorymark.probes.span import Span
    from memorymark.workloads.base import Workload
    from memorymark.workloads.serving_spec import ServingSpec
    from memorymark.workloads.trial_spec import TrialSpec


class Probe(Protocol):
    """Runs trials on one target; what only a simulation can say is None by default.

    Attributes:
        target: What the trials run on.
        held_bytes: What others hold on the target; None where it is not looked at.
    """

    target: Target
    held_bytes: int | None = None

    def run_trial(self, spec: TrialSpec) -> Trial:
        """Run one trial. Out of memory is a normal result, as is a model's own error.

        Raises:
            PoisonedDevice: The device can run nothing more in this process.
            MemoryMarkError: The workload cannot be built or fed.
        """

    def simulation(self) -> Probe | None:
        """Return a probe that simulates this target; None where there is no such simulation."""
        return None

    def quick_look(
        self, workload: Workload, config: TrainingConfig, say: Callable[[str], None]
    ) -> Probe | None:
        """Return what says roughly which batches fit, at little cost; None where nothing does.

        Args:
            workload: What is trained.
            config: How it is trained.
            say: Is given a sentence for whoever waits.
        """
        return None

    def span(self, spec: TrialSpec, *, least: bool = True) -> Span | None:
        """Return what tells the largest batch of a training from few trials; None if nothing does.

        Args:
            spec: The training, at a batch that is looked at in any case.
            least: Whether the trial of that batch has to say what a step needs at the least, also
                where it fits.
        """
        return None

    def run_sessions(
        self,
        spec: ServingSpec,
        host_bytes: int | None = None,
        on_event: Callable[[SessionEvent], None] = lambda event: None,
    ) -> SessionRun:
        """Let sessions take their turns. Out of memory is a normal result.

        Args:
            spec: What generates, and how its sessions take turns.
            host_bytes: What swapped caches may take of the host's memory; None leaves it to the
                target.
            on_event: Called with each event as it is done.

        Raises:
            NotAvailable: No sessions can be run on this target.
            MemoryMarkError: The workload cannot be built or fed.
        """
        raise NotAvailable(
            f"Sessions are measured on CUDA and on the CPU, not on {self.target.name}. Name a GPU "
            "to simulate (--gpu), or another device."
        )

    def session_rooms(self, spec: ServingSpec, contexts: Sequence[int]) -> tuple[ContextRoom, ...]:
        """Return what a session of each context needs, by simulation; empty without one.

        Args:
            spec: What generates; its context is replaced.
            contexts: Tokens of a session at its end.
        """
        return ()
