"""Names of uploaded files: told from others of their name by what they hold."""

from __future__ import annotations

import hashlib
import re

_LONGEST = 80
_LETTERS = 12
_TOLD = re.compile(rf" \(([0-9a-f]{{{_LETTERS}}})\)\Z")


def told_name(file: str, data: bytes) -> str:
    """Return the name by which a run knows an uploaded file.

    Example:
        >>> told_name("cat.png", b"")
        'cat.png (e3b0c44298fc)'
    """
    return f"{file[-_LONGEST:]} ({hashlib.sha256(data).hexdigest()[:_LETTERS]})"


def upload_hash(name: str) -> str | None:
    """Return what tells an upload of a name from others; None where it is no upload's name."""
    found = _TOLD.search(name)
    return None if found is None else found[1]


def own_name(name: str) -> str:
    """Return the name that an uploaded file had; any other name as it is.

    Example:
        >>> own_name("cat.png (e3b0c44298fc)")
        'cat.png'
    """
    return _TOLD.sub("", name)
