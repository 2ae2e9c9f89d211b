"""The rules of CUDA's kernels and libraries."""
