"""How a validation ended, in words: what a warning warns of stands beside it."""

from __future__ import annotations

from memorymark.records.validation import BackwardValidation, CompileValidation, Verdict

_PASSED = "Passed"
_ENDED = {Verdict.PASS: _PASSED, Verdict.WARN: "Warning", Verdict.FAIL: "Failed"}
Validation = BackwardValidation | CompileValidation


def verdict_words(validation: Validation) -> str:
    """Say how a validation ended, and why where it did not pass.

    Example: "Warning: no break-even: the compiled step is not faster."
    """
    word, reason = _ENDED[validation.verdict], _deciding(validation)
    return word if reason is None else f"{word}: {reason[0].lower()}{reason[1:]}"


def other_reasons(validation: Validation) -> tuple[str, ...]:
    """Return the reasons that its words leave out."""
    deciding = _deciding(validation)
    return tuple(reason for reason in validation.reasons if reason != deciding)


def _deciding(validation: Validation) -> str | None:
    """Return the reason that decided; None where it passed, which all of them support.

    Of a backward pass the gravest comes first; of torch.compile the figures come before.
    """
    if validation.verdict is Verdict.PASS or not validation.reasons:
        return None
    return validation.reasons[-1 if isinstance(validation, CompileValidation) else 0]
