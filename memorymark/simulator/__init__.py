"""CUDA's own memory behaviour, played through on a machine without a GPU."""
