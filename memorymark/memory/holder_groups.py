"""Puts together what modules of one kind hold: the same module in each of many layers."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from memorymark.records.held_memory import CATEGORIES, REPEATED, Breakdown, Holder, HolderGroup


def group_holders(holders: Iterable[Holder]) -> tuple[HolderGroup, ...]:
    """Group holders by kind, largest first; no byte is lost, and none counted twice.

    A number in a path counts layers where more follows it in this path or in another one of the
    same layers. So "layer.0.output.dense" and "layer.1.output.dense" are of one kind, as are the
    layers "h.0" and "h.1" themselves, whose parts have paths of their own; the convolutions
    "features.0" and "features.3" of one sequence are not.

    Example:
        >>> held = [Holder(f"layer.{n}.dense", "activations", 10) for n in range(12)]
        >>> (group,) = group_holders(held)
        >>> group.path, group.count, group.total_bytes
        ('layer.*.dense', 12, 120)
    """
    held = list(holders)
    layers = _layer_lists(holder.path for holder in held)
    paths: dict[str, set[str]] = {}
    sums: dict[str, dict[str, int]] = {}
    for holder in held:
        kind = _kind(holder.path, layers)
        paths.setdefault(kind, set()).add(holder.path)
        parts = sums.setdefault(kind, dict.fromkeys(CATEGORIES, 0))
        parts[holder.category] += holder.bytes
    groups = [HolderGroup(kind, len(paths[kind]), Breakdown(**sums[kind])) for kind in paths]
    return tuple(sorted(groups, key=lambda group: (-group.total_bytes, group.path)))


def _layer_lists(paths: Iterable[str]) -> set[str]:
    """Return the kinds of what is numbered and has parts, such as "encoder.layer"."""
    found: set[str] = set()
    for path in paths:
        parts = path.split(".")
        for place, part in enumerate(parts[:-1]):
            if part.isdecimal():
                found.add(_starred(parts[:place]))
    return found


def _kind(path: str, layers: Collection[str]) -> str:
    parts = path.split(".")
    if parts[-1].isdecimal() and _starred(parts[:-1]) not in layers:
        return ".".join(filter(None, (_starred(parts[:-1]), parts[-1])))
    return _starred(parts)


def _starred(parts: Iterable[str]) -> str:
    return ".".join(REPEATED if part.isdecimal() else part for part in parts)
