"""The user's code is told from that of libraries."""

import pytest

from memorymark.placement.own_or_library import is_of_a_library, names_in

REGISTERED = ("a", "b")


def using():
    return [len(each) for each in sorted(REGISTERED)]


def test_names_are_found_in_functions_within_functions_too():
    assert {"sorted", "REGISTERED", "len"} <= set(names_in(using.__code__))
    assert "pytest" not in set(names_in(using.__code__))


@pytest.mark.parametrize(("module", "expected"), [
    ("torch.nn", True), ("collections", True), ("transformers.models", True), ("pytest", True),
    ("__main__", False), (__name__, False), (None, False),
])  # fmt: skip
def test_libraries_are_told_from_the_users_code(module, expected):
    assert is_of_a_library(module) is expected
