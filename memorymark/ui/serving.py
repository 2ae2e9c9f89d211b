"""Streamlit's own program, except that Ctrl-C ends it without a complaint.

`memorymark app` starts this file by its path, so that it needs no package of the user's folder.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click
from streamlit.web import cli


def main(words: Sequence[str]) -> int:
    """Run the program with the words after its name, and return its exit code."""
    try:
        cli.main(list(words), prog_name="streamlit", standalone_mode=False)
    except (KeyboardInterrupt, click.Abort):  # uvicorn raises the signal again once it has closed
        return 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
