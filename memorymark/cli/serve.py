"""The command that starts the app."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from pathlib import Path
from typing import Annotated

from typer import Option

from memorymark.cli.live import check_working_directory
from memorymark.cli.streams import message_stream
from memorymark.errors import MissingPackage, NotAvailable, UsageError
from memorymark.service.sign_in import check_sign_in, has_auth_section
from memorymark.settings import load_settings

_EVERYWHERE = "0.0.0.0"
_PACKAGE = Path(__file__).resolve().parents[1]
_SERVING = _PACKAGE / "ui" / "serving.py"
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
    check_working_directory()
    settings = load_settings()
    if settings.home.is_file():
        raise UsageError(
            f"MEMORYMARK_HOME is {str(settings.home)!r}, which is a file: name a folder."
        )
    if settings.sign_in:
        check_sign_in(has_auth_section([Path.cwd(), Path.home(), entry.parent]))
    check_free(address or _EVERYWHERE, port)
    message_stream().write(listening_sentence(address, port) + "\n")
    # -P: import no packages from the user's folder, such as those of another clone.
    command = [sys.executable, "-P", str(_SERVING), "run", str(entry)]
    command += ["--server.port", str(port), "--server.address", address or _EVERYWHERE]
    # Streamlit's first start would stop and ask for an e-mail address.
    command += ["--server.showEmailPrompt", "false"]
    message_stream().flush()
    os.execv(sys.executable, command)


def check_free(address: str, port: int) -> None:
    """Refuse an address that nobody can listen on here.

    Raises:
        NotAvailable: It is in use, or not this machine's.
    """
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(where)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise NotAvailable(
            f"The app cannot listen on {address!r}, port {port}: {reason}. Choose another port "
            "with --port, or an address of this machine with --address."
        ) from error


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
