"""Names of uploaded files: told from others of their name by what they hold, which is not kept."""

from __future__ import annotations

import dataclasses

from memorymark.records.generation_plan import GenerationPlan
from memorymark.records.request import Request
from memorymark.records.upload_names import own_name, upload_hash
from memorymark.ui.setup.setup_record import MEDIA


def uploaded_files(plan: GenerationPlan) -> list[str]:
    """Return the names that the uploaded files of a plan had, without what tells them apart."""
    names = [getattr(plan, what) or "" for what in MEDIA]
    return [own_name(name) for name in names if upload_hash(name)]


def with_own_names(request: Request) -> Request:
    """Return a request that reads its uploads from files, by the names that they had."""
    plan = request.generation
    if plan is None:
        return request
    names = {what: own_name(getattr(plan, what) or "") or None for what in MEDIA}
    return dataclasses.replace(request, generation=dataclasses.replace(plan, **names))
