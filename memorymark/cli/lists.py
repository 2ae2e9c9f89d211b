"""The commands that list models, GPUs, this machine and the run history."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from typer import Argument, Option

from memorymark import units
from memorymark.cli import options
from memorymark.cli.machine_facts import describe_machine
from memorymark.cli.output import print_json, print_line, print_table
from memorymark.cli.streams import message_stream
from memorymark.errors import UnknownChoice
from memorymark.gpus.catalogue import Gpu, load_catalogue
from memorymark.report.price_words import price_owner
from memorymark.report.settings_phrase import kept_phrase
from memorymark.service.history import Run, RunHistory
from memorymark.workloads.known_models import KnownModel, known_models
from memorymark.workloads.naming import MODEL_FORMS, VISION_LIBRARIES


def models(library: options.Library = None, as_json: options.AsJson = False) -> None:
    """List the forms of model names and the models that need no network, or a library's."""
    if library is not None:
        _models_of(library, as_json)
    elif as_json:
        forms = [dataclasses.asdict(form) for form in MODEL_FORMS]
        print_json([*forms, *map(_shipped_facts, known_models())])
    else:
        print_table(["model", "meaning"], [[form.form, form.meaning] for form in MODEL_FORMS])
        print_line("")
        print_line("Models whose configurations come with MemoryMark:")
        names = ["model", "name", "parameters", "task", "licence", "configuration"]
        print_table(names, map(_shipped_cells, known_models()), right=["parameters"])


def _shipped_facts(model: KnownModel) -> dict[str, Any]:
    values = dataclasses.asdict(model)
    del values["config"]
    return {"form": f"hf:{model.name}", "meaning": model.label, **values}


def _shipped_cells(model: KnownModel) -> list[str]:
    parameters = f"{model.parameters / 1e6:,.0f} M"
    licence = model.licence or units.UNKNOWN
    return [model.name, model.label, parameters, str(model.task), licence, model.source]


def _models_of(library: str, as_json: bool) -> None:
    if library not in VISION_LIBRARIES:
        raise UnknownChoice("library", library, VISION_LIBRARIES)
    from memorymark.workloads.vision import list_vision_models

    names = [f"{library}:{name}" for name in list_vision_models(library)]
    if as_json:
        print_json(names)
    else:
        print_table(["model"], [[name] for name in names])


def gpus(as_json: options.AsJson = False) -> None:
    """List the GPUs of the catalogue."""
    catalogue = load_catalogue().values()
    if as_json:
        print_json([_gpu_facts(gpu) for gpu in catalogue])
        return
    print_table(_GPU_COLUMNS, [_gpu_cells(gpu) for gpu in catalogue], right=_GPU_FIGURES)
    print_line(
        "Usable is what tensors may take; copies are between the GPU and pinned memory of its "
        "host, to the GPU and back."
    )
    print_line(
        "Apple's GPUs use their host's memory, and figures for them are approximate: MPS's own "
        "allocator and kernels are not modelled."
    )
    if any(gpu.usd_per_hour is None for gpu in catalogue):
        print_line("Where no price is known, give yours: analyze MODEL --gpu GPU --price USD.")


_GPU_FIGURES = ["memory", "usable", "fp32 TFLOP/s", "bf16 TFLOP/s", "GB/s", "copies GB/s", "$/h"]
_GPU_COLUMNS = ["gpu", "name", *_GPU_FIGURES[:-2], "host link", *_GPU_FIGURES[-2:], "price of",
                "seen"]  # fmt: skip


def _gpu_facts(gpu: Gpu) -> dict[str, Any]:
    """Return all that is known of a GPU, and what follows from it."""
    link = gpu.link
    copies = {}
    for way in ("host_to_device", "device_to_host"):
        rate = getattr(link, way) if link else None
        for end in ("likely", "low", "high"):
            name = f"{way}_bytes_per_second" + ("" if end == "likely" else f"_{end}")
            copies[name] = getattr(rate, end) if rate else None
    return {
        **dataclasses.asdict(gpu),
        "usable_bytes": gpu.usable_bytes,
        "host_link_bytes_per_second": link and link.peak_bytes_per_second,
        **copies,
        "no_link_reason": gpu.no_link_reason,
    }


def doctor(as_json: options.AsJson = False) -> None:
    """Show this machine's hardware and software, and what it can measure or simulate."""
    machine = describe_machine()
    if as_json:
        print_json(machine)
    else:
        print_table(["this machine", ""], _machine_rows(machine))


def runs(
    run_id: Annotated[
        str | None, Argument(help="Run to print. Without it, list all runs.", show_default=False)
    ] = None,
    move_aside: Annotated[
        bool,
        Option(
            "--move-aside",
            help="Keep the history under another name and begin a new one: for a damaged file.",
        ),
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """List the run history, newest first, or print one run's record as JSON."""
    history = RunHistory()
    if move_aside:
        _move_aside(history, as_json)
    elif run_id is not None:
        print_json(history.open(run_id).record)
    else:
        _list_runs(history, as_json)


def _move_aside(history: RunHistory, as_json: bool) -> None:
    kept = history.move_aside()
    if as_json:
        print_json({"kept_as": None if kept is None else str(kept)})
    elif kept is None:
        print_line(f"There is no run history to move aside: {history.path} does not exist.")
    else:
        print_line(
            f"The run history is kept as {kept}. The next run begins a new one; to have the old "
            f"one back, rename it to {history.path.name}."
        )


def _list_runs(history: RunHistory, as_json: bool) -> None:
    listed = history.list()
    problem = history.problem()
    if problem is not None:
        message_stream().write(f"Warning: {problem}\n")
    if as_json:
        print_json([_run_summary(run) for run in listed])
    else:
        names = ["run", "started", "kind", "model", "device", "settings", "status"]
        print_table(names, [_run_cells(run) for run in listed])


def _gpu_cells(gpu: Gpu) -> list[str]:
    return [
        gpu.key,
        gpu.name,
        units.gib(gpu.total_bytes),
        units.gib(gpu.usable_bytes),
        _tera(gpu.fp32_flops),
        _tera(gpu.bf16_flops),
        f"{gpu.bandwidth_bytes_per_s / 1e9:,.0f}",
        gpu.host_link or units.UNKNOWN,
        _copies(gpu),
        units.usd(gpu.usd_per_hour),
        price_owner(gpu.price_source) or units.UNKNOWN,
        gpu.price_observed_at or units.UNKNOWN,
    ]


def _tera(flops: float | None) -> str:
    return units.UNKNOWN if flops is None else f"{flops / 1e12:,.4g}"


def _copies(gpu: Gpu) -> str:
    rates = (gpu.host_to_device_bytes_per_second, gpu.device_to_host_bytes_per_second)
    known = [f"{rate.likely / 1e9:.1f}" for rate in rates if rate is not None]
    return " / ".join(known) or units.UNKNOWN


def _run_summary(run: Run) -> dict[str, Any]:
    values = dataclasses.asdict(run)
    for left_out in ("request", "record", "owner", "deleted_at"):
        del values[left_out]
    return {**values, "status": str(run.status)}


def _run_cells(run: Run) -> list[str]:
    when = units.moment(run.created_at)
    named = [run.model or units.UNKNOWN, run.device or units.UNKNOWN]
    settings = kept_phrase(run.request) or units.UNKNOWN
    return [run.run_id, when, run.kind, *named, settings, str(run.status)]


def _machine_rows(machine: dict[str, Any]) -> list[list[str]]:
    rows = [
        ["Python", machine["python"]],
        ["system", machine["system"]],
        ["CPU cores", str(machine["cpu_cores"])],
        ["free memory", units.gib(machine["free_memory_bytes"])],
        ["CUDA devices", ", ".join(machine["cuda_devices"]) or "none"],
        ["MPS", {True: "yes", False: "no", None: units.UNKNOWN}[machine["mps"]]],
    ]
    for index, card in enumerate(machine["nvml"]):
        free = f"{units.gib(card['free_bytes'])} of {units.gib(card['total_bytes'])} free"
        rows.append([f"NVML, card {index}", card["reason"] or f"{card['name']}, {free}"])
    for name, version in machine["packages"].items():
        rows.append([name, version or "not installed"])
    rows.append(["run history and locks", machine["home"]])
    rows.append(["can", ", ".join(machine["can"])])
    return rows
