"""What the simulator has to know of the simulated device."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from memorymark.gpus.gpu import Gpu
from memorymark.units import MIB

# PyTorch, aten/src/ATen/cuda/CublasHandlePool.cpp, parseChosenWorkspaceSize: ":4096:2:16:8"
# in KiB, and 32 MiB on Hopper and Blackwell.
_CUBLAS_WORKSPACE_BYTES = (4096 * 2 + 16 * 8) * 1024
_CUBLAS_WORKSPACE_BYTES_SM90 = 32 * MIB


# Why MPS's optimizers and attention are told apart: PyTorch lists no MPS among the devices of
# foreach, and has no kernel on it that attends without its matrix of scores
# in training (aten/src/ATen/native/transformers/attention.cpp).
_ON_MPS = (
    "Memory and time on Apple's GPUs are approximate: the allocator and the kernels of MPS are not "
    "modelled, and those of CUDA are simulated in their place."
)


class Platform(StrEnum):
    """Whose kernels are simulated. MPS's are taken to be CUDA's, but for what is known of them."""

    CUDA = "cuda"
    MPS = "mps"
    CPU = "cpu"


@dataclass(frozen=True)
class Rules:
    """A platform and what of its device changes memory.

    Attributes:
        platform: CUDA, MPS, or the CPU of a measured trial.
        compute_capability: (major, minor) of a CUDA device.
    """

    platform: Platform
    compute_capability: tuple[int, int] = (8, 0)

    @property
    def is_cuda(self) -> bool:
        """Whether CUDA's kernels are simulated, in the place of MPS's too."""
        return self.platform is not Platform.CPU

    @property
    def is_mps(self) -> bool:
        """Whether they stand for MPS's."""
        return self.platform is Platform.MPS

    @property
    def assumption(self) -> str | None:
        """What a result has to say of the platform; None where its own kernels are simulated."""
        return _ON_MPS if self.is_mps else None

    @property
    def cublas_workspace_bytes(self) -> int:
        """Bytes that one cuBLAS handle takes from the caching allocator; 0 on MPS."""
        if self.is_mps:
            return 0
        capability = self.compute_capability
        if isinstance(capability, _Asked):
            return capability.answer(_cublas_workspace_bytes)
        return _cublas_workspace_bytes(capability)


def rules_of(gpu: Gpu) -> Rules:
    """Return the rules of a GPU of the catalogue.

    Example:
        >>> from memorymark.gpus.catalogue import find_gpu
        >>> rules_of(find_gpu("m4-16gb")).platform
        <Platform.MPS: 'mps'>
    """
    return Rules(Platform(gpu.platform), gpu.capability)


def _cublas_workspace_bytes(compute_capability: tuple[int, int]) -> int:
    major, minor = compute_capability
    if major == 9 or (major == 10 and minor in (0, 3)):
        return _CUBLAS_WORKSPACE_BYTES_SM90
    return _CUBLAS_WORKSPACE_BYTES


class CapabilityQuestions:
    """What a simulation asked of its device's compute capability.

    Another device of which the same would be true gets the same trace. Which devices those are
    depends on the model: of a model in fp32, for one, nobody asks for the flash kernel's limits.
    """

    def __init__(self) -> None:
        self._answers: dict[tuple[Callable[..., Any], tuple[Any, ...]], Any] = {}
        self._platform: Platform | None = None

    def about(self, rules: Rules) -> Rules:
        """Return the rules with a compute capability that notes here what it is asked."""
        self._platform = rules.platform
        return replace(rules, compute_capability=_Asked(rules.compute_capability, self))

    def note(self, question: Callable[..., Any], capability: Any, *others: Any) -> Any:
        """Answer a question about a compute capability and note the answer."""
        answer = self._answers[question, others] = question(capability, *others)
        return answer

    def are_answered_alike_by(self, rules: Rules) -> bool:
        """Return whether other rules would have given the same answers."""
        return self._platform in (None, rules.platform) and all(
            question(rules.compute_capability, *others) == answer
            for (question, others), answer in self._answers.items()
        )


class _Asked(tuple[int, ...]):
    """A compute capability that notes every comparison. Read otherwise, it notes that it is it."""

    def __new__(cls, values: tuple[int, int], questions: CapabilityQuestions) -> _Asked:
        """Make one of plain numbers."""
        made = super().__new__(cls, values)
        made.plain, made.questions = tuple(values), questions
        return made

    def answer(self, question: Callable[..., Any], *others: Any) -> Any:
        """Answer a question and note it."""
        return self.questions.note(question, self.plain, *others)

    def __lt__(self, other: Any) -> bool:
        return self.answer(operator.lt, other)

    def __le__(self, other: Any) -> bool:
        return self.answer(operator.le, other)

    def __gt__(self, other: Any) -> bool:
        return self.answer(operator.gt, other)

    def __ge__(self, other: Any) -> bool:
        return self.answer(operator.ge, other)

    def __eq__(self, other: object) -> bool:
        return self.answer(operator.eq, other)

    def __ne__(self, other: object) -> bool:
        return self.answer(operator.ne, other)

    def __hash__(self) -> int:
        return hash(self._whole())

    def __iter__(self) -> Iterator[int]:
        return iter(self._whole())

    def __getitem__(self, index: Any) -> Any:
        return self._whole()[index]

    def _whole(self) -> tuple[int, ...]:
        self.answer(operator.eq, self.plain)
        return self.plain
