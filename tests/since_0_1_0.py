"""What documents of version 0.1.0 lack and those of today have."""

from __future__ import annotations

from typing import Any


def with_added(value: Any, *, use_cache: str) -> Any:
    """Add the newer options to every training of an older document, before its last key.

    Args:
        value: The document, or a part of it.
        use_cache: What the switch is in it: "off" where the document is read, as that version had
            it, and "auto" where its command runs again.
    """
    if isinstance(value, list):
        return [with_added(item, use_cache=use_cache) for item in value]
    if not isinstance(value, dict):
        return value
    made = {key: with_added(item, use_cache=use_cache) for key, item in value.items()}
    if "compile" in made:
        compiled = made.pop("compile")
        made |= {"use_cache": use_cache, "loop": "plain", "compile": compiled}
    return made
