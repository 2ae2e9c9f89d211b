"""Runs some of the tokens of a simulated session, and skips those between them.

A token that is skipped lets the cache grow as if it had been made, and is taken to do and to need
what the nearest one does that ran.
"""

from __future__ import annotations

import bisect
import math
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field

from memorymark.inference.turns import ModelState, ModelTurns
from memorymark.simulator.act_works import ActWorks, Done
from memorymark.simulator.device import SimulatedDevice
from memorymark.simulator.skipped_tokens import Growing, Sizes, may_change, skip
from memorymark.workloads.serving_spec import ServingSpec

# Tokens of a session that run, spread evenly, beside the last one of each turn.
_RUN = 8
# Steps in which caches grow beside them: each moves all of one to new blocks, as a token does.
_STEPS_OF_ALL = 16_384
_LEAST_STEPS = 64


def tokens_to_run(spec: ServingSpec) -> Sequence[int] | None:
    """Return which of a session's decoded tokens run, in order; None for all of them."""
    config, count = spec.config, spec.config.output_tokens - 1
    hf_config = getattr(spec.workload, "hf_config", None)
    if count <= _RUN or hf_config is None:
        return None
    # Besides the prompt a cache may hold what stands for an image.
    first = config.prompt_tokens if "seq_len" in config.task.lengths else 0
    if may_change(hf_config, config.cache, first, config.context_tokens):
        return None
    spread = {(count - 1) * n // (_RUN - 1) for n in range(_RUN)}
    return sorted(spread | {end - 1 for end in spec.plan.ends_of_turns(count) if end})


def tokens_of_a_step(spec: ServingSpec) -> int:
    """Return by how many tokens a cache grows at once: by one, unless there are too many."""
    steps = max(_STEPS_OF_ALL // spec.plan.sessions, _LEAST_STEPS)
    return math.ceil(spec.config.output_tokens / steps)


@dataclass
class _Progress:
    """How far one session is.

    Attributes:
        count: Tokens that it decoded, or skipped.
        owed: Those by which its cache is still to grow.
        growth: What grows with each token; None where that is not known, or not steady.
        rise_bytes: The most by which live bytes rose in the newest token that ran.
        newest: What that token did.
        next: What the next one will have done.
    """

    count: int = 0
    owed: int = 0
    growth: list[Growing] | None = None
    rise_bytes: int = 0
    newest: Done = field(default_factory=Done)
    next: Done = field(default_factory=Done)


class SkippingTurns:
    """Does what sessions of a model do, but for some tokens.

    Args:
        turns: Runs sessions.
        device: Follows their storages.
        works: Keeps what each act did.
        to_run: Which decoded tokens run, in order; None for all.
        at_once: By how many tokens a cache grows at once beside them.
    """

    def __init__(
        self,
        turns: ModelTurns,
        device: SimulatedDevice,
        works: ActWorks,
        to_run: Sequence[int] | None,
        at_once: int = 1,
    ) -> None:
        self._turns, self._device, self._works = turns, device, works
        self._to_run, self._at_once = to_run, at_once
        # Who begins a session may let go of it, where it found no room.
        self._begun: list[tuple[weakref.ref[ModelState], _Progress]] = []

    def begin(self) -> ModelState:
        """Read a new session's prompt, all of it or up to the pause."""
        state = self._turns.begin()
        self._begun.append((weakref.ref(state), _Progress()))
        return state

    def resume(self, state: ModelState) -> None:
        """Go on from a pause to the first token."""
        self._turns.resume(state)

    def decode(self, state: ModelState) -> None:
        """Generate the next token, or let the cache be as if it had been."""
        if self._to_run is None:
            self._turns.decode(state)
            return
        progress = next(progress for each, progress in self._begun if each() is state)
        number, progress.count = progress.count, progress.count + 1
        at = bisect.bisect_left(self._to_run, number)
        if progress.growth is None or self._to_run[at] == number:
            self._run(state, progress)
            return
        before, after = self._to_run[at - 1], self._to_run[at]
        self._skip(state, progress, is_nearer_next=after - number < number - before)

    def _run(self, state: ModelState, progress: _Progress) -> None:
        self._grow(state, progress)
        assert state.generation is not None
        sizes, live_bytes = Sizes(state.generation), self._device.live_bytes
        self._turns.decode(state)
        progress.growth = sizes.growth(state.generation)
        progress.rise_bytes = max(self._device.peak_bytes - live_bytes, 0)
        progress.newest = progress.next.like = self._works.current
        progress.next = Done(like=progress.newest)  # until another one has run

    def _skip(self, state: ModelState, progress: _Progress, *, is_nearer_next: bool) -> None:
        live_bytes = self._device.live_bytes
        self._device.count_operation()
        progress.owed += 1
        if progress.owed == self._at_once:
            self._grow(state, progress)
        peak_bytes = live_bytes + progress.rise_bytes
        self._device.peak_bytes = max(self._device.peak_bytes, peak_bytes)
        self._works.current = progress.next if is_nearer_next else progress.newest

    def _grow(self, state: ModelState, progress: _Progress) -> None:
        if progress.owed:
            assert state.generation is not None and progress.growth is not None
            skip(state.generation, progress.growth, progress.owed)
            progress.owed = 0
