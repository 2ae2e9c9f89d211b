"""The owner's settings: environment variables, read in one place.

| variable | meaning |
| --- | --- |
| MEMORYMARK_HOME | folder of the run history and the device locks; by default the operating |
| | system's folder for a user's data, such as ~/.local/share/memorymark |
| MEMORYMARK_RUN_KEY | key that visitors of the app must enter to start or delete runs |
| MEMORYMARK_SIGN_IN | 1: only signed-in visitors of the app can start or delete runs |
| MEMORYMARK_ALLOWED_USERS | e-mail addresses that can, comma-separated; empty: all signed-in |
| MEMORYMARK_WORKLOADS | package.module:factory names that the app may run, comma-separated |
| MEMORYMARK_PROBE_FACTORY | package.module:function that makes all probes: for the user's own |
| | probes, and for tests; called with (device, gpu, memory_budget) |
| MEMORYMARK_BOUNDS | how many times as much work as usual a simulation may take: 10 |
| MEMORYMARK_SIMULATION_MEMORY | memory of this machine that the process of a simulation of the |
| | app may take, as in 4GiB, the default; known on Linux only |
| MEMORYMARK_SIMULATION_SECONDS | how long a simulation of the app may take; by default 1800 |
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_data_path

from memorymark.errors import InvalidValue
from memorymark.units import GIB, parse_bytes

_MOST_TIMES = 1000


@dataclass(frozen=True)
class Settings:
    """The owner's settings.

    Attributes:
        home: Folder of the run history and the device locks.
        run_key: Key that visitors must enter to start or delete runs; None: no key.
        sign_in: Whether only signed-in visitors may start or delete.
        allowed_users: E-mail addresses that may; empty allows everybody who is signed in.
        workloads: The user's own workloads that the app may run, as package.module:factory.
        probe_factory: package.module:function that makes probes instead of the engine.
        bounds_times: How many times as much work as usual a simulation may take.
        simulation_memory: Bytes that the process of a simulation of the app may take.
        simulation_seconds: How long a simulation of the app may take.
    """

    home: Path
    run_key: str | None = None
    sign_in: bool = False
    allowed_users: tuple[str, ...] = ()
    workloads: tuple[str, ...] = ()
    probe_factory: str | None = None
    bounds_times: float = 1.0
    simulation_memory: int = 4 * GIB
    simulation_seconds: float = 1800.0

    @property
    def history_path(self) -> Path:
        """The one file that holds the run history."""
        return self.home / "runs.sqlite3"

    @property
    def locks_folder(self) -> Path:
        """Folder of the device locks."""
        return self.home / "locks"


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from environment variables.

    Args:
        environment: The variables; None reads this process's own.

    Raises:
        InvalidValue: A variable has a value that means nothing.
    """
    values = os.environ if environment is None else environment
    home = values.get("MEMORYMARK_HOME")
    return Settings(
        home=Path(home).expanduser() if home else user_data_path("memorymark", appauthor=False),
        run_key=values.get("MEMORYMARK_RUN_KEY") or None,
        sign_in=values.get("MEMORYMARK_SIGN_IN", "").lower() in ("1", "true", "yes"),
        allowed_users=_names(values.get("MEMORYMARK_ALLOWED_USERS", "")),
        workloads=_names(values.get("MEMORYMARK_WORKLOADS", "")),
        probe_factory=values.get("MEMORYMARK_PROBE_FACTORY") or None,
        bounds_times=_times(values.get("MEMORYMARK_BOUNDS") or "1"),
        **_bounds(values),
    )


def _times(text: str) -> float:
    try:
        times = float(text)
    except ValueError:
        times = 0.0
    if not 0 < times <= _MOST_TIMES:
        raise InvalidValue("MEMORYMARK_BOUNDS", text, f"a number above 0, up to {_MOST_TIMES:,}")
    return times


def _bounds(values: Mapping[str, str]) -> dict[str, Any]:
    """Read the bounds that are set."""
    memory = values.get("MEMORYMARK_SIMULATION_MEMORY")
    seconds = values.get("MEMORYMARK_SIMULATION_SECONDS")
    bounds: dict[str, Any] = {}
    if memory:
        try:
            bounds["simulation_memory"] = parse_bytes(memory)
        except InvalidValue as error:
            accepted = "an amount of memory such as 4GiB"
            raise InvalidValue("MEMORYMARK_SIMULATION_MEMORY", memory, accepted) from error
    if seconds:
        bounds["simulation_seconds"] = _positive(seconds, "MEMORYMARK_SIMULATION_SECONDS")
    return bounds


def _positive(text: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise InvalidValue(name, text, "a number of seconds above 0")
    return value


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
