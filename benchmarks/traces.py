"""Finds where two traces of one training step, a measured and a simulated one, part ways."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import accumulate, zip_longest

from memorymark.memory.trace import Block, Trace

SAME_KERNEL = ("aten::", "aten.", ".default")


@dataclass(frozen=True)
class Difference:
    """The first event at which two traces differ.

    Attributes:
        position: Its number; all events before it are the same in both.
        phase: Phase of the step, by the measured trace.
        measured: What the measured trace did there, in words; None where it had ended.
        simulated: What the simulated trace did there; None where it had ended.
    """

    position: int
    phase: str
    measured: str | None
    simulated: str | None

    def __str__(self) -> str:
        return f"event {self.position} ({self.phase}): {self.measured} | {self.simulated}"


@dataclass(frozen=True)
class Held:
    """Blocks that one trace holds at its peak and the other does not hold at its own.

    Attributes:
        size_bytes: Bytes of one of them.
        excess: How many more the simulated trace holds; negative for fewer.
        operation: What allocated them.
        path: The module in whose forward pass it was.
    """

    size_bytes: int
    excess: int
    operation: str
    path: str

    def __str__(self) -> str:
        where = f" in {self.path}" if self.path else ""
        return f"{self.excess:+d} x {self.size_bytes:,} B of {self.operation}{where}"


def peak_bytes(trace: Trace) -> int:
    """Return the most bytes that were live at once."""
    return max(accumulate(size for _, size in trace.events), default=0)


def peak_phase(trace: Trace) -> str:
    """Return the phase of the step in which the most bytes were live."""
    live = list(accumulate(size for _, size in trace.events))
    return _phase(trace, live.index(max(live))) if live else "setup"


def peaks_by_phase(trace: Trace) -> list[tuple[str, int]]:
    """Return (phase, peak in bytes) of every phase of every step, in order."""
    live = list(accumulate((size for _, size in trace.events), initial=0))
    ends = [start for _, start in trace.marks[1:]] + [len(trace.events)]
    return [
        (phase, max(live[start : end + 1]))
        for (phase, start), end in zip(trace.marks, ends, strict=True)
    ]


def worst_phase(measured: Trace, simulated: Trace) -> tuple[str, float]:
    """Return the phase whose peaks differ the most, and its simulated over its measured one.

    A peak in the optimizer's step hides what the forward pass holds; this does not. Where the
    traces do not have the same phases, they are compared as a whole.
    """
    one, other = peaks_by_phase(measured), peaks_by_phase(simulated)
    if [phase for phase, _ in one] != [phase for phase, _ in other]:
        one, other = [("all", peak_bytes(measured))], [("all", peak_bytes(simulated))]
    pairs = zip(one, other, strict=True)
    parities = [(phase, second / first) for (phase, first), (_, second) in pairs if first]
    return max(parities, key=lambda pair: abs(pair[1] - 1), default=("setup", 1.0))


def first_difference(measured: Trace, simulated: Trace) -> Difference | None:
    """Return the first event at which sizes differ, None where the traces are the same.

    Names of operations are not compared: kernels of two platforms may have two names and take
    the same memory.
    """
    pairs = zip_longest(measured.events, simulated.events)
    for position, (one, other) in enumerate(pairs):
        if one is None or other is None or one[1] != other[1]:
            phase = _phase(measured, position) or _phase(simulated, position)
            return Difference(position, phase, _words(measured, one), _words(simulated, other))
    return None


def first_lasting_difference(measured: Trace, simulated: Trace) -> Difference | None:
    """Return the first difference in what lives on, without order and scratch memory.

    Two platforms may release in another order and take temporaries that are gone at once. So
    blocks are compared that outlive ten events, by size, phase and module, in order.
    """
    one, other = _lasting(measured), _lasting(simulated)
    for left, right in zip_longest(one, other):
        if left is None or right is None or left[1] != right[1]:
            at, trace = (left, measured) if left is not None else (right, simulated)
            phase = trace.blocks[at[0]].phase
            return Difference(at[0], phase, _born(measured, left), _born(simulated, right))
    return None


def held_at_peaks(measured: Trace, simulated: Trace) -> list[Held]:
    """Return in what the two peaks differ, the most bytes first."""
    one, other = _alive_at_peak(measured), _alive_at_peak(simulated)
    sizes = {key: other[key] - one[key] for key in one | other if other[key] != one[key]}
    held = [Held(size, excess, operation, path)
            for (size, operation, path), excess in sizes.items()]  # fmt: skip
    return sorted(held, key=lambda h: -h.size_bytes * abs(h.excess))


def _alive_at_peak(trace: Trace) -> Counter[tuple[int, str, str]]:
    live = list(accumulate(size for _, size in trace.events))
    peak = live.index(max(live))
    alive: set[int] = set()
    for block_id, size in trace.events[: peak + 1]:
        (alive.add if size > 0 else alive.discard)(block_id)
    return Counter(_kind(trace.blocks[block_id]) for block_id in alive)


def _kind(block: Block) -> tuple[int, str, str]:
    return block.size_bytes, _name(block.operation), block.path


def _lasting(trace: Trace) -> list[tuple[int, int]]:
    born: dict[int, int] = {}
    lived: dict[int, int] = {}
    for position, (block_id, size) in enumerate(trace.events):
        if size > 0:
            born[block_id] = position
        else:
            lived[block_id] = position - born[block_id]
    return [(b, trace.blocks[b].size_bytes) for b in born if lived.get(b, 11) > 10]


def _born(trace: Trace, entry: tuple[int, int] | None) -> str | None:
    return None if entry is None else _words(trace, entry)


def _words(trace: Trace, event: tuple[int, int] | None) -> str | None:
    if event is None:
        return None
    block_id, size = event
    block = trace.blocks[block_id]
    verb = "allocates" if size > 0 else "releases"
    where = f" in {block.path}" if block.path else ""
    return f"{verb} {abs(size):,} B of {_name(block.operation)}{where}"


def _name(operation: object) -> str:
    name = str(operation)
    for part in SAME_KERNEL:
        name = name.replace(part, "")
    return name


def _phase(trace: Trace, position: int) -> str:
    started = [phase for phase, start in trace.marks if start <= position]
    return started[-1] if started else "setup"
