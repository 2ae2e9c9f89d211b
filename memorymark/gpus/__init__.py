"""GPUs: the catalogue, and NVML telemetry."""
