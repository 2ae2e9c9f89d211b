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

ENTRY = Path(__file__).resolve().parents[2] / "streamlit_app.py"


def app(
    address: Annotated[
        str | None,
        Option(help="Address to listen on; 127.0.0.1 keeps it to this machine. Default: all."),
    ] = None,
    port: Annotated[int, Option(min=1, max=65535, help="Port to listen on.")] = 8501,
) -> None:
    """Start the app in this terminal; Ctrl-C stops it."""
    if importlib.util.find_spec("streamlit") is None:
        raise MissingPackage("streamlit", "The app")
    if not ENTRY.is_file():
        raise NotAvailable(
            f"The app's pages are not beside this installation: there is no {ENTRY.name} in "
            f"{ENTRY.parent}. Run `make app` in a clone of the project."
        )
    typer.echo(listening_sentence(address, port), err=True)
    os.chdir(ENTRY.parent)
    command = [sys.executable, "-m", "streamlit", "run", ENTRY.name, "--server.port", str(port)]
    # Streamlit's first start would stop and ask for an e-mail address.
    command += ["--server.showEmailPrompt", "false", "--server.address", address or "0.0.0.0"]
    sys.stderr.flush()
    os.execv(sys.executable, command)


def listening_sentence(address: str | None, port: int) -> str:
    """Say who can reach the app."""
    if address:
        return f"MemoryMark listens on {address}, port {port}."
    return (
        f"MemoryMark listens on all interfaces, port {port}: whoever can reach this machine can "
        "open the app and start work. "
        "`memorymark app --address 127.0.0.1` keeps it to this machine."
    )
