"""Names of uploaded files: told from others of their name by what they hold, which is not kept."""

from __future__ import annotations

import dataclasses
import hashlib
import re

from memorymark.records.generation_plan import GenerationPlan
from memorymark.records.request import Request
from memorymark.ui.setup.setup_record import MEDIA

_LONGEST = 80
_LETTERS = 12
_TOLD = re.compile(rf" \([0-9a-f]{{{_LETTERS}}}\)\Z")


def told_name(file: str, data: bytes) -> str:
    """Return the name by which a run knows an uploaded file.

    Example:
        >>> told_name("cat.png", b"")
        'cat.png (e3b0c44298fc)'
    """
    return f"{file[-_LONGEST:]} ({hashlib.sha256(data).hexdigest()[:_LETTERS]})"


def uploaded_files(plan: GenerationPlan) -> list[str]:
    """Return the names that the uploaded files of a plan had, without what tells them apart."""
    names = [getattr(plan, what) or "" for what in MEDIA]
    return [_TOLD.sub("", name) for name in names if _TOLD.search(name)]


def with_own_names(request: Request) -> Request:
    """Return a request that reads its uploads from files, by the names that they had."""
    plan = request.generation
    if plan is None:
        return request
    names = {what: _TOLD.sub("", getattr(plan, what) or "") or None for what in MEDIA}
    return dataclasses.replace(request, generation=dataclasses.replace(plan, **names))
