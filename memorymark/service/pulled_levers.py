"""The levers of one training: on the card that a call names, and the smallest card that fits."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

from memorymark.analysis.levers.find_levers import find_levers
from memorymark.errors import NotAvailable
from memorymark.gpus.catalogue import Gpu, load_catalogue, rentable_gpus
from memorymark.placement.collector import collector_off
from memorymark.probes.choose import has_cuda, share_simulations
from memorymark.probes.probe import Probe
from memorymark.records.lever import Lever, LeverReport
from memorymark.records.request import check_levered
from memorymark.report.snippets import lines_for
from memorymark.service.call import Call

if TYPE_CHECKING:
    from memorymark.workloads.base import Workload


def levers_on(call: Call, probe: Probe, workload: Workload) -> LeverReport:
    """Find the levers of a call's training on the card of a probe.

    Raises:
        UsageError: The device is one that nothing simulates.
        NotAvailable: The card has no simulation.
        MemoryMarkError: The training cannot be simulated as it is.
    """
    check_levered(call.request.device)
    simulation = probe.simulation()
    if simulation is None:
        raise NotAvailable(
            f"Levers are simulated, and there is no simulation of {probe.target.name}. Name a GPU "
            "of the catalogue with --gpu; `memorymark gpus` lists them."
        )
    request = call.request
    with collector_off():  # among thousands of blocks it would find no garbage
        report = find_levers(
            simulation,
            workload,
            request.config,
            call.with_price(request.options, simulation),
            gpu=load_catalogue().get(simulation.target.gpu_key or ""),
            cards=() if request.memory_budget is not None else _cards(call),
            on_event=call.on_event,
            cancel=call.cancel,
            processes=_processes(call, workload),
        )
    return dataclasses.replace(
        report,
        levers=tuple(map(_with_snippet, report.levers)),
        make_it_fit=tuple(map(_with_snippet, report.make_it_fit)),
    )


def _processes(call: Call, workload: Workload) -> int:
    """Return how many processes may work: the user's code may not stand a fork, nor does CUDA."""
    if call.processes < 2:
        return 1
    from memorymark.workloads.build import is_own  # loads torch

    return 1 if is_own(workload) or has_cuda() else call.processes


def _with_snippet(lever: Lever) -> Lever:
    return dataclasses.replace(lever, snippet=lines_for(lever.changes) if lever.changes else "")


def _cards(call: Call) -> Iterator[tuple[Gpu, Probe]]:
    """Yield the cards that are rented by the hour; their probes share what they simulate."""
    others = dataclasses.replace(call, request=dataclasses.replace(call.request, device=None))
    probes = {key: (gpu, others.probe(key)) for key, gpu in rentable_gpus().items()}
    share_simulations(probe for _, probe in probes.values())
    for gpu, probe in probes.values():
        yield call.prices.priced(gpu), probe
