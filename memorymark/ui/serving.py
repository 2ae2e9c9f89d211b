"""Streamlit's own program, except that Ctrl-C ends it without a complaint.

`memorymark app` starts this file by its path, so that it needs no package of the user's folder.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence


def begin() -> None:
    """Start what the first page waits for longest, before Streamlit is loaded."""
    with contextlib.suppress(Exception):  # the app says what is wrong, where it can be read
        from memorymark.service.worker_pool import start_early
        from memorymark.settings import load_settings

        start_early(load_settings())


def main(words: Sequence[str]) -> int:
    """Run the program with the words after its name, and return its exit code."""
    import click
    from streamlit.web import cli

    try:
        cli.main(list(words), prog_name="streamlit", standalone_mode=False)
    except (KeyboardInterrupt, click.Abort):  # uvicorn raises the signal again once it has closed
        return 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    return 0


if __name__ == "__main__":
    begin()
    sys.exit(main(sys.argv[1:]))
