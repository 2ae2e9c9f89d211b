"""What the operations of each act of simulated sessions do, written down once for acts alike."""

from __future__ import annotations

from dataclasses import dataclass

from memorymark.simulator.time.kernels import Work


@dataclass(eq=False)
class Done:
    """What one act did.

    Attributes:
        start: Where its operations begin.
        end: Where they end; None while it runs.
        like: The act that stands for it; None where it stands for itself.
    """

    start: int = 0
    end: int | None = None
    like: Done | None = None

    def itself(self) -> Done:
        """Return the act that ran."""
        return self if self.like is None else self.like.itself()


class ActWorks:
    """Keeps what each act did.

    Args:
        works: What each operation does, as they come.

    Attributes:
        current: The act that runs; another one put here stands for it.
    """

    def __init__(self, works: list[Work]) -> None:
        self._works = works
        self._acts: list[Done] = []
        self.current = self._begun = Done()

    def begin(self) -> None:
        """Note that an act begins."""
        self.current = self._begun = Done(len(self._works))

    def end(self) -> None:
        """Note that it was done to its end."""
        self._begun.end = len(self._works)
        self._acts.append(self.current)

    def listed(self) -> list[list[Work]]:
        """Return what each operation of each act does; acts alike share one list."""
        known: dict[int, list[Work]] = {}
        for done in (act.itself() for act in self._acts):
            if id(done) not in known:
                known[id(done)] = self._works[done.start : done.end]
        return [known[id(act.itself())] for act in self._acts]
