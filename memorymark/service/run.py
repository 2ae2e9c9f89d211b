"""A run of the history, read from its row whatever stands there."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from memorymark.errors import InvalidRecord, quoted
from memorymark.gpus.catalogue import load_catalogue
from memorymark.records.codec import parse_json
from memorymark.records.request import RequestKind

INTERRUPTED = "The process ended before the run finished. Start the run again."
_SEVERAL = "several GPUs"
_LATEST_SECONDS = 253_402_300_800.0  # the year 10000, which no calendar here has


class RunStatus(StrEnum):
    """Where a run stands; unknown where the history holds no word of this version."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    UNKNOWN = "unknown"

    @property
    def is_active(self) -> bool:
        """Whether the run waits or works."""
        return self in (RunStatus.QUEUED, RunStatus.RUNNING)


@dataclass(frozen=True)
class Run:
    """A run as the history holds it.

    Attributes:
        run_id: Short name, used in links.
        kind: analysis, backward, compile or comparison.
        status: Where it stands.
        model: Name of the model.
        device: Name of the device, measured or simulated; without a result, what was asked for.
        source: measured or simulated; None where not known yet.
        owner: Name of the job manager that runs it, where one does.
        created_at: Seconds since the epoch; None where the row does not say.
        finished_at: Seconds since the epoch; None while it is active.
        error: The sentence of the error, where it failed.
        deleted_at: Seconds since the epoch; None for a run that is not deleted.
        request: What was asked for; None where it is damaged, and in a list where it is long.
        record: The result as its JSON; None in a list, or where there is none.
    """

    run_id: str
    kind: str
    status: RunStatus
    model: str | None
    device: str | None
    source: str | None
    owner: str | None
    created_at: float | None
    finished_at: float | None
    error: str | None
    deleted_at: float | None = None
    request: dict[str, Any] | None = None
    record: dict[str, Any] | None = None

    @property
    def took_seconds(self) -> float | None:
        """Seconds of work: as the record says, else from its times; None where nothing says."""
        said = (self.record or {}).get("elapsed_seconds")
        if isinstance(said, int | float) and not isinstance(said, bool) and said >= 0:
            return said
        if self.created_at is None or self.finished_at is None:
            return None
        return max(self.finished_at - self.created_at, 0.0)


def asked_device(request: Mapping[str, Any]) -> str | None:
    """Return what a run was asked to be on, for people; None where the request does not say."""
    gpu, device = request.get("gpu"), request.get("device")
    if request.get("kind") == RequestKind.COMPARISON:
        return _SEVERAL
    if isinstance(gpu, str):
        row = load_catalogue().get(gpu)
        return gpu if row is None else row.name
    return device if isinstance(device, str) else None


def begun_run(
    run_id: str,
    kind: str,
    request: dict[str, Any],
    status: RunStatus,
    device: str | None = None,
    owner: str | None = None,
) -> Run:
    """Return a run that begins now."""
    device = device or asked_device({"kind": kind, **request})
    return Run(
        run_id, kind, status, request.get("model"), device, None, owner, time.time(), None, None,
        request=request,
    )  # fmt: skip


def ended_run(
    run: Run,
    status: RunStatus,
    *,
    record: dict[str, Any] | None = None,
    error: str | None = None,
) -> Run:
    """Return a run as it ends now, with what its result says of it."""
    said = record or {}
    return dataclasses.replace(
        run,
        status=status,
        finished_at=time.time(),
        record=None if record is None else {**record, "run_id": run.run_id},
        error=error,
        model=said.get("model_name") or said.get("model") or run.model,
        device=said.get("device") or (_SEVERAL if "gpus" in said else run.device),
        source=said.get("source") or run.source,
    )


def run_of(row: Mapping[str, Any]) -> Run:
    """Return the run of a row; a value of another type than its column's is None or text.

    Raises:
        InvalidRecord: The record is there, and no JSON object.
    """
    values = dict(row)
    texts = {name: _text(values[name]) for name in ("model", "device", "source", "owner", "error")}
    times = {name: _time(values[name]) for name in ("created_at", "finished_at", "deleted_at")}
    run_id, record = _text(values["run_id"]) or "", values.get("record")
    request, kind = _object_or_none(values.get("request")), _text(values["kind"]) or "unknown"
    texts["device"] = texts["device"] or asked_device({"kind": kind, **(request or {})})
    return Run(
        run_id=run_id,
        kind=kind,
        status=_status(values["status"]),
        request=request,
        record=None if record is None else object_of(record, f"record of run {run_id}"),
        **texts,
        **times,
    )


def object_of(text: object, what: str) -> dict[str, Any]:
    """Read a JSON object from a column.

    Raises:
        InvalidRecord: It is none.
    """
    value = parse_json(_text(text) or "", what)
    if not isinstance(value, dict):
        raise InvalidRecord(what, f"{quoted(value)} is not an object")
    return value


def _object_or_none(text: object) -> dict[str, Any] | None:
    try:
        return None if text is None else object_of(text, "request")
    except InvalidRecord:
        return None


def _status(value: object) -> RunStatus:
    try:
        return RunStatus(value)
    except ValueError:
        return RunStatus.UNKNOWN


def _text(value: object) -> str | None:
    if value is None:
        return None
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _time(value: object) -> float | None:
    is_time = isinstance(value, int | float) and -_LATEST_SECONDS < value < _LATEST_SECONDS
    return value if is_time else None


def cell_of(value: Any) -> Any:
    """Return a value as its column takes it."""
    if isinstance(value, dict):
        return written_json(value)
    return written_text(value) if isinstance(value, str) else value


def written_text(text: str | None) -> str | None:
    """Return a text as a column takes it: what is no Unicode is escaped."""
    return text if text is None else text.encode(errors="backslashreplace").decode()


def written_json(value: object) -> str:
    """Write JSON; numbers that are not finite, which JSON cannot hold, are null.

    Raises:
        TypeError: It holds what JSON has no form for.
    """
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
