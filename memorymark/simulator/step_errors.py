"""What is told of an error in a simulated step: whose it is, and what to do."""

from __future__ import annotations

import re

from memorymark.errors import MemoryMarkError, UnsupportedOperation, WorkloadError
from memorymark.simulator.source_lines import failed_line
from memorymark.workloads.build import is_own
from memorymark.workloads.trial_spec import TrialSpec

# What torch says where tensors of the host and of the simulated device meet.
_MIXES_DEVICES = re.compile(
    r"on device meta is not on the expected device cpu|devices?, (meta and cpu|cpu and meta)"
    r"|on device cpu is not on the expected device meta|expected device meta but got cpu"
)
# What an error says that is not the model's own: it has no data, where a device has.
_NAMES_META = re.compile(r"\bmeta\b", re.IGNORECASE)


def unknown_number(line: str) -> UnsupportedOperation:
    """Return what is told where the memory depends on a number that is not known."""
    return UnsupportedOperation(
        f"{line}: the model reads a number that a simulation does not know, and its memory depends "
        "on it. Measure it on a device instead."
    )


def told_error(spec: TrialSpec, error: Exception) -> MemoryMarkError:
    """Return what is told of a step's error."""
    if isinstance(error, MemoryMarkError):
        return error
    told = _failure(spec.workload.name, error, is_own(spec.workload))
    told.__cause__ = error
    return told


def _failure(name: str, error: Exception, own: bool) -> MemoryMarkError:
    reason = ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])
    sentence = f"The model {name!r} cannot be simulated: {reason}"
    line = failed_line(error)
    place = f" ({line})" if line else ""
    if _MIXES_DEVICES.search(reason):
        return WorkloadError(
            f"The model {name!r} fails as on a GPU: a tensor on the CPU meets one on the "
            f"simulated device{place}. Make both on one device, as with device=x.device."
        )
    if _NAMES_META.search(reason) is None:
        return WorkloadError(f"{sentence.rstrip('.')}{place}." if own and place else sentence)
    return UnsupportedOperation(f"{sentence.rstrip('.')}{place}. Measure it on a device instead.")
