"""What is known about GPUs: the catalogue, and what NVML says of those at hand."""
