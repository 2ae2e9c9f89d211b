"""The command that starts the app."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from memorymark.errors import MissingPackage, NotAvailable
from memorymark.service.sign_in import check_sign_in, has_auth_section
from memorymark.settings import load_settings

_PACKAGE = Path(__file__).resolve().parents[1]
# inside an installed package; beside the package in a clone
ENTRIES = (_PACKAGE / "app" / "streamlit_app.py", _PACKAGE.parent / "streamlit_app.py")


def app(
    address: Annotated[
        str | None,
        Option(help="Address to listen on; 127.0.0.1: this machine only. Default: all."),
    ] = None,
    port: Annotated[int, Option(min=1, max=65535, help="Port to listen on.")] = 8501,
) -> None:
    """Start the app in this terminal; Ctrl-C stops it."""
    if importlib.util.find_spec("streamlit") is None:
        raise MissingPackage("streamlit", "The app")
    entry = find_entry()
    settings = load_settings()
    if settings.sign_in:
        check_sign_in(has_auth_section([Path.cwd(), Path.home(), entry.parent]))
    typer.echo(listening_sentence(address, port), err=True)
    # -P: import no packages from the user's folder, such as those of another clone.
    command = [sys.executable, "-P", "-m", "streamlit", "run", str(entry)]
    command += ["--server.port", str(port), "--server.address", address or "0.0.0.0"]
    # Streamlit's first start would stop and ask for an e-mail address.
    command += ["--server.showEmailPrompt", "false"]
    sys.stderr.flush()
    os.execv(sys.executable, command)


def find_entry() -> Path:
    """Return the app's entry file.

    Streamlit reads the theme from .streamlit beside the entry, and secrets.toml from there and
    from .streamlit in the working directory, which therefore stays the user's own.

    Raises:
        NotAvailable: The app's files are missing.
    """
    for entry in ENTRIES:
        if entry.is_file():
            return entry
    raise NotAvailable(
        f"The app's pages are not installed: no {' and no '.join(map(str, ENTRIES))}. "
        "Reinstall MemoryMark from its wheel, or run `make app` in a clone."
    )


def listening_sentence(address: str | None, port: int) -> str:
    """Say who can reach the app."""
    if address:
        return f"MemoryMark listens on {address}, port {port}."
    return (
        f"MemoryMark listens on all interfaces, port {port}: anyone who can reach this machine can "
        "open the app and start runs. "
        "`memorymark app --address 127.0.0.1` restricts it to this machine."
    )
