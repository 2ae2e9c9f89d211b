"""What documents of version 0.1.0 lack and those of today have."""

from __future__ import annotations

from typing import Any

from memorymark.gpus.catalogue import find_gpu

# Workspaces of convolutions were in the trace and decided; they are optional now, and beside it.
_OF_CONVOLUTIONS = {
    "peak_allocated_bytes", "peak_reserved_bytes", "peak_reserved_low_bytes",
    "peak_reserved_high_bytes", "process_bytes", "minimum_bytes", "timeline", "temporaries",
    "workspaces", "convolution_workspace_bytes", "step_seconds", "samples_per_second",
}  # fmt: skip
# A trial without optional workspaces has one figure, and these are unknown.
_FACTS = ("max_is_lower_bound", "optimal_is_exact", "gain_is_clear", "already_fine")
_RANGE = ("peak_reserved_low_bytes", "peak_reserved_high_bytes")


def with_added(value: Any, *, use_cache: str) -> Any:
    """Add the newer options and readings to every training and trial of an older document.

    Args:
        value: The document, or a part of it.
        use_cache: What the switch is in it: "off" where the document is read, as that version had
            it, and "auto" where its command runs again.
    """
    if isinstance(value, list):
        return [with_added(item, use_cache=use_cache) for item in value]
    if not isinstance(value, dict):
        return value
    made = {key: with_added(item, use_cache=use_cache) for key, item in value.items()}
    if "compile" in made:
        compiled = made.pop("compile")
        made |= {"use_cache": use_cache, "loop": "plain", "cudnn_benchmark": False}
        made |= {"compile": compiled}
    if use_cache == "auto" and made.get("kind") == "simulated" and "gpu_key" in made:
        made |= _budget(made["gpu_key"], made["capacity_bytes"])
    if "peak_reserved_bytes" in made:
        made = _after(made, "peak_reserved_bytes", _RANGE)
    if "holders" in made:
        made = _after({**made, "holder_groups": []}, "holders", ("holder_groups",))
    if "marks" in made:
        made = _after(made, "stopped_by", _FACTS) | _facts_of(made)
    return made


def without_time_said(value: Any) -> Any:
    """Leave out the sentence that says how a step's time is estimated: another one says it."""
    if isinstance(value, dict):
        return {key: without_time_said(item) for key, item in value.items()}
    if not isinstance(value, list):
        return value
    said = "Step time is an estimate"
    kept = (item for item in value if not (isinstance(item, str) and item.startswith(said)))
    return [without_time_said(item) for item in kept]


def _budget(gpu_key: str, capacity_bytes: int) -> dict[str, int]:
    """Return what a run says today of a budget, where it had one."""
    has_budget = capacity_bytes < find_gpu(gpu_key).usable_bytes
    return {"memory_budget_bytes": capacity_bytes} if has_budget else {}


def _facts_of(document: dict[str, Any]) -> dict[str, Any]:
    """Say what an older analysis comes to, worked out from its own figures."""
    largest, step = document["max_batch_size"], document["search_granularity"] or 1
    out = [trial["batch_size"] for trial in document["trials"] if trial["outcome"] == "oom"]
    following = None if largest is None else largest + (1 if largest < step else step)
    speedup, least = document["speedup"], 1.05 if document["source"] == "simulated" else 1 / 0.98
    is_clear = max(speedup, 1 / speedup) > least if speedup else None
    free = (document["waste_percent"] or 0) / 100 >= document["options"]["headroom"]
    return {
        "max_is_lower_bound": following is not None and following not in out,
        "optimal_is_exact": None,
        "gain_is_clear": is_clear,
        "already_fine": is_clear is False and free,
    }


def _after(values: dict[str, Any], name: str, added: tuple[str, ...]) -> dict[str, Any]:
    """Add keys whose values are unknown behind another one."""
    keys = list(values)
    place = keys.index(name) + 1
    order = dict.fromkeys((*keys[:place], *added, *keys[place:]))
    return {key: values.get(key) for key in order}


def without_advice(document: dict[str, Any]) -> dict[str, Any]:
    """Leave out what an analysis advises, which the levers do now: others, and in other words."""
    if not document.get("advice"):
        return document
    keys = ("text", "change", "batch_size", "memory_bytes", "saved_bytes", "fits")
    assert all(tuple(advice) == keys for advice in document["advice"])
    return {**document, "advice": "left out"}


def without_ignored_lengths(document: dict[str, Any]) -> dict[str, Any]:
    """Leave out what advice on a length saved: a factory that takes no config ignores lengths."""
    for advice in document.get("advice") or []:
        if "seq_len" in advice["change"]:
            advice |= {"batch_size": None, "memory_bytes": None, "saved_bytes": None, "fits": None}
    return document


def without_search(document: dict[str, Any], trials: set[int]) -> dict[str, Any]:
    """Leave out how an analysis was searched: of its trials, those of some batch sizes are kept.

    A quick look now says where a simulated search starts, so it takes other trials, and fewer. The
    marks stay, but for the numbers of their trials.
    """
    if "marks" not in document:
        return document
    kept = {t["batch_size"]: t for t in document["trials"] if t["batch_size"] in trials}
    marks = {name: {**mark, "trial": None} for name, mark in document["marks"].items()}
    return {**document, "trials": sorted(kept.items()), "marks": marks, "probes": None}


def without_optimal(document: dict[str, Any]) -> dict[str, Any]:
    """Leave out what follows from the optimal batch, after holding it to the batch's own trial."""
    optimal = document["optimal_batch_size"]
    trial = next(each for each in document["trials"] if each["batch_size"] == optimal)
    speed, current = trial["samples_per_second"], document["current_samples_per_second"]
    assert document["optimal_samples_per_second"] == speed
    assert document["optimal_memory_bytes"] == trial["peak_reserved_bytes"]
    assert document["speedup"] == speed / current
    costs = {"optimal", "hours_per_run", "usd_per_run", "usd_per_year"}
    hidden = {"speedup", "batch_ratio", "headroom_gb", "headroom_bytes"}
    hidden |= {"cost_savings_per_run", "cost_savings_annual"}
    hidden |= {key for key in document if key.startswith("optimal_") and "exact" not in key}
    left = {key: "left out" if key in hidden else value for key, value in document.items()}
    left["costs"] = {key: value for key, value in document["costs"].items() if key not in costs}
    left["marks"] = {**document["marks"], "optimal": {"trial": None}}
    return left


def without_workspaces(value: Any) -> Any:
    """Leave out of trials with convolutions what their workspaces moved."""
    if not isinstance(value, dict):
        return [without_workspaces(item) for item in value] if isinstance(value, list) else value
    if not (value.get("convolution_workspace_bytes") or value.get("peak_reserved_low_bytes")):
        return {key: without_workspaces(item) for key, item in value.items()}
    return _without(value, _OF_CONVOLUTIONS)


def without_forward_parts(value: Any) -> Any:
    """Leave out what the memory is for in steps that end after the forward pass.

    Inputs, and activations where a graph is kept, were called temporaries there.
    """
    if not isinstance(value, dict):
        return [without_forward_parts(item) for item in value] if isinstance(value, list) else value
    if str(value.get("stage")) not in ("forward", "forward-only"):
        return {key: without_forward_parts(item) for key, item in value.items()}
    return _without(value, {"breakdown", "holders", "phases"})


def _without(value: Any, hidden: set[str]) -> Any:
    if not isinstance(value, dict):
        return value
    return {
        key: "left out" if key in hidden else _without(item, hidden) for key, item in value.items()
    }
