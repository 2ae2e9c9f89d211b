"""The owner's settings: environment variables, read in one place.

| variable | meaning |
| --- | --- |
| MEMORYMARK_HOME | folder of the run history and the device locks; by default the operating |
| | system's folder for a user's data, such as ~/.local/share/memorymark |
| MEMORYMARK_RUN_KEY | key that visitors of the app must enter to start or delete runs |
| MEMORYMARK_SIGN_IN | 1, true, yes or on: only signed-in visitors of the app can start or delete |
| | runs; empty, 0, false, no or off: all can |
| MEMORYMARK_ALLOWED_USERS | e-mail addresses that can, comma-separated; empty: all signed-in |
| MEMORYMARK_WORKLOADS | package.module:factory names that the app may run, comma-separated |
| MEMORYMARK_DATA | texts that the app may train on beside what visitors upload: files and |
| | folders, comma-separated |
| MEMORYMARK_PROBE_FACTORY | package.module:function that makes all probes: for the user's own |
| | probes, and for tests; called with (device, gpu, memory_budget) |
| MEMORYMARK_BOUNDS | how many times as much work, time and memory as usual a simulation may |
| | take, such as 10; by default 1 in the app, 4 elsewhere |
| MEMORYMARK_KEPT_MODEL_BYTES | host memory for the models that the app has measured last, on the |
| | CPU, such as 4GiB, twice the size of each; by default 1GiB; 0 keeps none |
| MEMORYMARK_FIRST_RUN | 0, false, no or off: the app simulates nothing when it starts; |
| | otherwise its default analysis, unless the run history has it |
| MEMORYMARK_FOLLOW_UPS | 0, false, no or off: the app finds what would make room below an |
| | analysis at a press only; otherwise by itself too, while nothing else is to do |
| MEMORYMARK_LIVE_PRICES | 1, true, yes or on: visitors of the app can have prices fetched from |
| | the providers; empty, 0, false, no or off: the app never asks the network for prices |

A setting that is not understood, or that contradicts another one, is an error and never a guess:
a guard that somebody meant to set stands, or nothing starts.
"""

from __future__ import annotations

import os
import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_data_path

from memorymark.errors import InvalidValue, UsageError
from memorymark.units import GIB, parse_bytes

_MOST_TIMES = 1000
_SWITCH = {
    **dict.fromkeys(("1", "true", "yes", "y", "on"), True),
    **dict.fromkeys(("0", "false", "no", "n", "off"), False),
}
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


@dataclass(frozen=True)
class Settings:
    """The owner's settings.

    Attributes:
        home: Folder of the run history and the device locks.
        run_key: Key that visitors must enter to start or delete runs; None: no key.
        sign_in: Whether only signed-in visitors may start or delete.
        allowed_users: E-mail addresses that may, as same_address gives them; empty allows
            everybody who is signed in.
        workloads: What the app may run beside the models that everybody may: the user's own
            workloads as package.module:factory, and folders of models as hf:FOLDER.
        data: Texts that the app may train on: files and folders.
        probe_factory: package.module:function that makes probes instead of the engine.
        bounds_times: How many times as much as usual a simulation may take; None: as is usual,
            once in the app and a few times on one's own.
        first_run: Whether the app simulates its default analysis when it starts.
        follow_ups: Whether the app finds the levers of an analysis that is looked at by itself.
        kept_model_bytes: Host memory for models that were measured on the CPU, in the app.
        live_prices: Whether the app may fetch prices from the providers.
    """

    home: Path
    run_key: str | None = None
    sign_in: bool = False
    allowed_users: tuple[str, ...] = ()
    workloads: tuple[str, ...] = ()
    probe_factory: str | None = None
    bounds_times: float | None = None
    first_run: bool = True
    follow_ups: bool = True
    kept_model_bytes: int = GIB
    live_prices: bool = False
    data: tuple[str, ...] = ()

    @property
    def history_path(self) -> Path:
        """The one file that holds the run history."""
        return self.home / "runs.sqlite3"

    @property
    def locks_folder(self) -> Path:
        """Folder of the device locks."""
        return self.home / "locks"

    @property
    def trained_folder(self) -> Path:
        """Folder of the trainings: each has a folder of its own there."""
        return self.home / "trained"

    @property
    def texts_folder(self) -> Path:
        """Folder of texts as tokens, and of those that visitors uploaded."""
        return self.home / "texts"


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from environment variables.

    Args:
        environment: The variables; None reads this process's own.

    Raises:
        UsageError: A setting is not understood, or contradicts another one.
    """
    values = os.environ if environment is None else environment
    sign_in = _switch("MEMORYMARK_SIGN_IN", values)
    return Settings(
        home=_home(values.get("MEMORYMARK_HOME", "")),
        run_key=_run_key(values.get("MEMORYMARK_RUN_KEY", "")),
        sign_in=sign_in,
        allowed_users=_allowed_users(values.get("MEMORYMARK_ALLOWED_USERS", ""), sign_in),
        workloads=_workloads(values),
        probe_factory=next(iter(_functions("MEMORYMARK_PROBE_FACTORY", values)), None),
        bounds_times=_times(values.get("MEMORYMARK_BOUNDS", "")),
        first_run=_switch("MEMORYMARK_FIRST_RUN", values, default=True),
        follow_ups=_switch("MEMORYMARK_FOLLOW_UPS", values, default=True),
        kept_model_bytes=_kept_model_bytes(values.get("MEMORYMARK_KEPT_MODEL_BYTES", "")),
        live_prices=_switch("MEMORYMARK_LIVE_PRICES", values),
        data=_data(values.get("MEMORYMARK_DATA", "")),
    )


def same_address(address: str) -> str:
    """Return an e-mail address in the form in which two of them are compared.

    Only the letters A to Z are folded: some others become one of them, and would open the door
    to the address of somebody else.

    Example:
        >>> same_address(" Ada@Example.org")
        'ada@example.org'
    """
    return address.strip().translate(_LOWER)


def _switch(name: str, values: Mapping[str, str], *, default: bool = False) -> bool:
    given = values.get(name, "")
    try:
        return _SWITCH[given.strip().lower()] if given.strip() else default
    except KeyError:
        raise UsageError(
            f"{name} is {given!r}. Accepted: 1, true, yes or on; 0, false, no, off or nothing."
        ) from None


def _home(given: str) -> Path:
    if not given:
        return user_data_path("memorymark", appauthor=False)
    try:
        home = Path(given).expanduser()
        home.stat()  # a file is said by the history: a command's work does without it
    except FileNotFoundError:
        return home
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"MEMORYMARK_HOME is no folder: {reason}: {given!r}.") from error
    return home


def _run_key(given: str) -> str | None:
    if given != given.strip() or not given.isprintable():
        raise UsageError(
            "MEMORYMARK_RUN_KEY begins or ends with a blank, or holds a character that nobody can "
            "enter. Set a key without them, or leave it empty for no key."
        )
    return given or None


def _allowed_users(given: str, sign_in: bool) -> tuple[str, ...]:
    users = tuple(map(same_address, _names(given)))
    name = f"MEMORYMARK_ALLOWED_USERS is {given!r}"
    if given and not users:
        raise UsageError(f"{name}, which names nobody. Give e-mail addresses, or leave it empty.")
    wrong = [user for user in users if user.count("@") != 1 or len(user.split()) != 1]
    if wrong:
        raise UsageError(f"{name}, where {wrong[0]!r} is no e-mail address. Put commas between.")
    if users and not sign_in:
        raise UsageError(
            f"{name}, but MEMORYMARK_SIGN_IN is not on, so nobody would be asked who they are. "
            "Set MEMORYMARK_SIGN_IN=1, or leave the users empty."
        )
    return users


def _workloads(values: Mapping[str, str]) -> tuple[str, ...]:
    names = _names(values.get("MEMORYMARK_WORKLOADS", ""))
    functions = ",".join(name for name in names if not name.startswith("hf:"))
    _functions("MEMORYMARK_WORKLOADS", {"MEMORYMARK_WORKLOADS": functions}, " or hf:FOLDER")
    return names


def _data(given: str) -> tuple[str, ...]:
    names = _names(given)
    missing = [name for name in names if not Path(name).expanduser().exists()]
    if missing:
        raise UsageError(
            f"MEMORYMARK_DATA names {missing[0]!r}, which is not there. Accepted: text files, "
            "tokens files and folders of texts, with commas between."
        )
    return names


def _functions(setting: str, values: Mapping[str, str], other: str = "") -> tuple[str, ...]:
    names = _names(values.get(setting, ""))
    for name in names:
        module, colon, function = name.partition(":")
        if not colon or not all(part.isidentifier() for part in (*module.split("."), function)):
            raise UsageError(
                f"{setting} names {name!r}. Accepted: package.module:function{other}, with commas "
                "between."
            )
    return names


def _times(text: str) -> float | None:
    if not text:
        return None
    try:
        times = float(text)
    except ValueError:
        times = 0.0
    if not 0 < times <= _MOST_TIMES:
        raise InvalidValue("MEMORYMARK_BOUNDS", text, f"a number above 0, up to {_MOST_TIMES:,}")
    return times


def _kept_model_bytes(text: str) -> int:
    if text.strip() == "0":
        return 0
    try:
        return parse_bytes(text) if text.strip() else GIB
    except UsageError:
        accepted = "0, or an amount such as 512MiB or 4GiB"
        raise InvalidValue("MEMORYMARK_KEPT_MODEL_BYTES", text, accepted) from None


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
