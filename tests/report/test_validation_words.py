"""A verdict says what it is about."""

import dataclasses

import pytest
from fakes import FakeProbe, FakeWorkload

from memorymark.analysis.validate import validate_backward_on, validate_compile_on
from memorymark.records.config import TrainingConfig
from memorymark.records.validation import Verdict
from memorymark.report.validation_words import other_reasons, verdict_words

CONFIG = TrainingConfig()


def backward(**probe):
    return validate_backward_on(FakeProbe(**probe), FakeWorkload(), CONFIG, 16)


def compiled(**probe):
    return validate_compile_on(FakeProbe(**probe), FakeWorkload(), CONFIG, 16)


@pytest.mark.parametrize(
    ("validation", "begins"),
    [
        (backward(errors={16: "No rule."}), "Failed: in forward only"),
        (backward(fixed_bytes=2**33), "Warning: out of memory in: training step"),
        (compiled(compile_speedup=0.5), "Warning: no break-even: the compiled step"),
        (compiled(seconds_per_sample=None), "Warning: step times are unknown"),
        (compiled(compile_error="No compiler."), "Failed: the compiled step failed: No compiler."),
    ],
)
def test_what_did_not_pass_says_why_at_once(validation, begins):
    said, others = verdict_words(validation), other_reasons(validation)
    assert validation.verdict is not Verdict.PASS
    assert said.startswith(begins), said
    reason = said.partition(": ")[2]
    told = [reason, *(other.lower() for other in others)]
    assert sorted(text.lower() for text in told) == sorted(r.lower() for r in validation.reasons)


def test_what_passed_says_no_more_than_that_before_its_reasons():
    validation = compiled()
    assert verdict_words(validation) == "Passed"
    assert other_reasons(validation) == validation.reasons != ()


def test_a_record_without_reasons_still_has_words():
    bare = dataclasses.replace(compiled(compile_speedup=0.5), reasons=())
    assert verdict_words(bare) == "Warning" and other_reasons(bare) == ()
