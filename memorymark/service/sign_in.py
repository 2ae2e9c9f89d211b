"""What sign-in needs beside MEMORYMARK_SIGN_IN, looked at before anybody waits for it in vain."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from memorymark.errors import MissingPackage, UsageError

SECRETS = Path(".streamlit") / "secrets.toml"


def check_sign_in(has_section: bool) -> None:
    """Raise where nobody could sign in.

    Args:
        has_section: Whether Streamlit's secrets have the section [auth].

    Raises:
        MissingPackage: Streamlit's extra for it is not installed.
        UsageError: Streamlit was not told who checks the sign-in.
    """
    if find_spec("authlib") is None:
        raise MissingPackage("'streamlit[auth]'", "MEMORYMARK_SIGN_IN")
    if not has_section:
        raise UsageError(
            f"MEMORYMARK_SIGN_IN is on, but no {SECRETS} has a section [auth]. Add one, as "
            "Streamlit's st.login describes it, to the folder in which you start the app."
        )


def has_auth_section(folders: Iterable[Path]) -> bool:
    """Say whether the secrets in one of the folders have the section [auth]."""
    return any("auth" in _secrets(folder / SECRETS) for folder in folders)


def _secrets(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
