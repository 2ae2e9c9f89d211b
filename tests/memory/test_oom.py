import pytest
import torch

from memorymark.errors import OutOfMemory
from memorymark.memory.oom import is_out_of_memory


@pytest.mark.parametrize(
    "error",
    [
        OutOfMemory(1, 2, 3),
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
    ],
)
def test_out_of_memory_by_any_back_end(error):
    assert is_out_of_memory(error)


def test_a_real_allocation_that_the_host_refuses():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize("error", [RuntimeError("sizes differ"), ValueError("CUDA out of memory")])
def test_other_errors(error):
    assert not is_out_of_memory(error)
