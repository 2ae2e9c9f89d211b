"""Simulates steps in tests as trials do: the model is built first, outside of the simulation."""

from __future__ import annotations

import torch

from memorymark.simulator.simulate import simulate
from memorymark.workloads.base import build_model


def simulated_steps(workload, config, batch_size, rules, **options):
    model = build_model(workload, workload.describe(config), torch.device("meta"))
    return simulate(workload, config, batch_size, rules, model=model, **options)
