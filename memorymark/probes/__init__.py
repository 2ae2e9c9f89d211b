"""Probes: run trials on a CUDA device, an MPS device, the CPU or a simulated GPU."""
