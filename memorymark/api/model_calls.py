"""MemoryMark as a library: each function makes a Request and executes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from memorymark.errors import UsageError
from memorymark.placement.forks import usual_processes
from memorymark.records.analysis import Analysis
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.comparison import Comparison
from memorymark.records.config import TrainingConfig
from memorymark.records.event import CancelToken, Event, EventKind, OnEvent, ignore
from memorymark.records.generation_plan import GENERATION_OPTIONS, GenerationPlan
from memorymark.records.generation_run import GenerationRun
from memorymark.records.lever import LeverReport
from memorymark.records.option_keywords import naming_options, options_from
from memorymark.records.prices import read_prices
from memorymark.records.request import DEFAULT_BATCH_SIZE, LEVERED, Request, RequestKind
from memorymark.records.serving_config import ServingConfig
from memorymark.records.session_run import SessionPlan, SessionRun
from memorymark.records.trial import Trial
from memorymark.report.result_scripts import script_of
from memorymark.service.execute import execute
from memorymark.service.given_model import Model, named
from memorymark.service.live_check import check_live

if TYPE_CHECKING:
    from torch import Tensor

    from memorymark.records.fit import Fit
    from memorymark.records.validation import BackwardValidation, CompileValidation

__all__ = [
    "analyze", "compare_costs", "estimate", "find_optimal_batch_size", "fits", "generate", "levers",
    "measure", "sessions", "snippet", "validate_backward_pass", "validate_compilation_benefit",
]  # fmt: skip


@naming_options(AnalysisOptions)
def analyze(
    model: Model,
    config: TrainingConfig | None = None,
    *,
    device: str | None = None,
    gpu: str | None = None,
    memory_budget: str | int | None = None,
    on_event: OnEvent = ignore,
    cancel: CancelToken | None = None,
    **options: Any,
) -> Analysis:
    """Find the max and optimal batch size, and the memory that the current one leaves unused.

    Args:
        model: A model's name in a form of the interface, or a Workload.
        config: How it is trained; None takes the defaults.
        device: Measure on this device: cuda, cuda:N, mps or cpu.
        gpu: Simulate this GPU of the catalogue. With neither: the CUDA device if there is one,
            else a simulation of the catalogue's default GPU.
        memory_budget: The most that a trial may use, as in "4GiB" or in bytes.
        on_event: Called with each event.
        cancel: Checked before each trial.
        options: The fields of AnalysisOptions: current_batch_size (16), price_per_hour,
            dataset_size, epochs, runs_per_year, objective ("throughput" or "memory"),
            granularity (8), headroom (0.05), max_batch_size.

    Raises:
        UsageError: An argument is invalid.
        MemoryMarkError: The model, the device or the simulation cannot do it.

    Example:
        >>> analysis = analyze("bert", device="cpu", memory_budget="2GiB")  # doctest: +SKIP
        >>> analysis.max_batch_size  # doctest: +SKIP
        8
    """
    return _execute(
        RequestKind.ANALYSIS, model, config, on_event, cancel,
        device=device, gpu=gpu, memory_budget=memory_budget,
        options=options_from(AnalysisOptions, options),
    )  # fmt: skip


def estimate(
    model: Model,
    config: TrainingConfig | None = None,
    *,
    batch_size: int,
    gpu: str,
    memory_budget: str | int | None = None,
) -> Trial:
    """Simulate one batch size on one GPU of the catalogue, or on a part of its memory.

    Raises:
        UsageError: An argument is invalid.
        MemoryMarkError: The model cannot be simulated.
    """
    return _execute(
        RequestKind.ESTIMATE, model, config,
        gpu=gpu, memory_budget=memory_budget, batch_size=batch_size,
    )  # fmt: skip


def measure(
    model: Model,
    config: TrainingConfig | None = None,
    *,
    batch_size: int,
    device: str | None = None,
    memory_budget: str | int | None = None,
    on_event: OnEvent = ignore,
    cancel: CancelToken | None = None,
) -> Trial:
    """Run real training steps at one batch size.

    Without a device: CUDA, else MPS, else the CPU. What the code around has set (autocast, a
    default number format or device, no_grad) is set aside, and as before afterwards; so are the
    random generators. Threads share these: a training in another one meanwhile draws other
    numbers.

    Raises:
        UsageError: An argument is invalid.
        MemoryMarkError: The model or the device cannot do it.
    """
    return _execute(
        RequestKind.MEASURE, model, config, on_event, cancel,
        device=device, memory_budget=memory_budget, batch_size=batch_size,
    )  # fmt: skip


def validate_backward_pass(
    model: Model,
    config: TrainingConfig | None = None,
    *,
    batch_size: int = DEFAULT_BATCH_SIZE,
    device: str | None = None,
    gpu: str | None = None,
    memory_budget: str | int | None = None,
    on_event: OnEvent = ignore,
    cancel: CancelToken | None = None,
) -> BackwardValidation:
    """Compare forward-only memory with the whole training step, and check every gradient.

    Raises:
        UsageError: An argument is invalid.
        MemoryMarkError: The model, the device or the simulation cannot do it.
    """
    return _execute(
        RequestKind.BACKWARD, model, config, on_event, cancel,
        device=device, gpu=gpu, memory_budget=memory_budget, batch_size=batch_size,
    )  # fmt: skip


def validate_compilation_benefit(
    model: Model,
    config: TrainingConfig | None = None,
    *,
    batch_size: int = DEFAULT_BATCH_SIZE,
    device: str | None = None,
    memory_budget: str | int | None = None,
    on_event: OnEvent = ignore,
    cancel: CancelToken | None = None,
) -> CompileValidation:
    """Compare eager and compiled training steps on a real device.

    Raises:
        UsageError: An argument is invalid.
        MemoryMarkError: The model or the device cannot do it.
    """
    return _execute(
        RequestKind.COMPILE, model, config, on_event, cancel,
        device=device, memory_budget=memory_budget, batch_size=batch_size,
    )  # fmt: skip


def compare_costs(
    model: Model,
    config: TrainingConfig | None = None,
    *,
    gpus: Sequence[str] | None = None,
    memory_budget: str | int | None = None,
    dataset_size: int | None = None,
    epochs: int | None = None,
    runs_per_year: float | None = None,
    prices: Mapping[str, float] | None = None,
    on_event: OnEvent = ignore,
    cancel: CancelToken | None = None,
) -> Comparison:
    """Compare the cost of the same training run on several GPUs, each at its optimal batch size.

    A GPU is simulated, unless the run history has measured the same training on it.

    Args:
        model: A model's name in a form of the interface, or a Workload.
        config: How it is trained; None takes the defaults.
        gpus: Keys of the GPU catalogue; None takes all.
        memory_budget: The most that a trial may use on each, as in "4GiB" or in bytes.
        dataset_size: Samples in the data set.
        epochs: Passes over the data set in one run.
        runs_per_year: Training runs in a year.
        prices: Dollars per hour by key of the GPU catalogue, in place of the catalogue's.
        on_event: Called with each event.
        cancel: Checked before each trial.

    Raises:
        UsageError: An argument is invalid.
        MemoryMarkError: The model cannot be simulated.
    """
    gpus = (gpus,) if isinstance(gpus, str) else gpus
    if gpus is not None and not gpus:
        raise UsageError("The list of GPUs is empty. Name at least one, e.g. a10, or pass None.")
    options = AnalysisOptions(dataset_size=dataset_size, epochs=epochs, runs_per_year=runs_per_year)
    return _execute(
        RequestKind.COMPARISON, model, config, on_event, cancel,
        gpus=tuple(gpus or ()), memory_budget=memory_budget, options=options,
        prices=read_prices(prices or {}),
    )  # fmt: skip


def snippet(result: Analysis | Trial, *, trainer: bool = False) -> str:
    """Return a Python script that trains with the settings and the batch of a result.

    It needs no MemoryMark. Model and batches are random, in the shapes of the training: weights
    and data are for you to fill in.

    Args:
        result: An analysis, whose recommended batch is taken, or one trial.
        trainer: Whether transformers' Trainer runs the loop, in place of plain PyTorch.

    Raises:
        UsageError: The result has no batch that fits, or there is no name to make its model by.
    """
    return script_of(result, trainer=trainer)


def fits(
    model: Any,
    batch: Any,
    *,
    optimizer: Any = None,
    loss: Callable[..., Any] | None = None,
    step: Callable[..., Any] | None = None,
    config: TrainingConfig | None = None,
    gpu: str | None = None,
    device: str | None = None,
    memory_budget: str | int | None = None,
    batch_size: int | None = None,
    longest: int | None = None,
    largest: bool = False,
    cancel: CancelToken | None = None,
) -> Fit:
    """Say whether a batch fits in the training of a running script, and by how much.

    The step is simulated on copies without data: the module, the batch, the optimizer and what
    else the script has set are as they were afterwards, and nothing is put on a device. So are the
    global names, closures, containers, class attributes, objects, counters and random generators
    that the model's code and yours write to. Not put back are what libraries keep for themselves,
    files, and what is printed or sent; what the code takes from a generator or a data loader is
    gone, which the result says. Where the batch does not fit, the largest that does is looked for.

    Args:
        model: The live torch.nn.Module, on the host or on CUDA, in the mode that it has. Wrappers
            of torch.compile and DistributedDataParallel are taken off.
        batch: A batch for it, as from next(iter(loader)): a tensor, a tuple, a mapping or a
            dataclass of tensors, whose leading dimension counts the samples. (inputs, targets) or
            a mapping with labels names the targets.
        optimizer: The live optimizer, with the states that it has; several in a container. None
            takes the config's, which is AdamW where it says nothing.
        loss: `loss(outputs, batch)`, or a loss of torch.nn, called with outputs and targets. None
            takes the loss that the model returns, else cross entropy or the mean squared error.
        step: `step(model, batch, optimizer)` in place of the whole step.
        config: How the step is run: precision, gradient accumulation, loop and the like. Without
            one, a region of autocast around the call gives the precision.
        gpu: Simulate this GPU of the catalogue, empty.
        device: cuda or cuda:N: that device of this machine, with what is held on it. With neither:
            the model's CUDA device, else the process's; without any, the catalogue's default GPU.
        memory_budget: The most that the training may use, as in "4GiB" or in bytes.
        batch_size: How many samples the batch holds, where its leading dimension does not say so.
        longest: Try it with sequences of so many positions, such as the longest of the data set.
        largest: Look for the largest batch that fits where this one fits, too.
        cancel: Checked before each trial, and at each operation.

    Returns:
        A Fit: true in a condition where the batch fits; str() says by how much.

    Raises:
        UsageError: An argument is invalid.
        MemoryMarkError: The step cannot be simulated; the sentence says why.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(1024, 1024)
        >>> fit = fits(model, (torch.rand(8, 1024), torch.rand(8, 1024)), gpu="l4")
        >>> bool(fit), fit.spare_bytes > 0
        (True, True)
    """
    from memorymark.workloads.live.live_workload import LiveTraining

    live = LiveTraining(model, batch, optimizer, loss, step, batch_size=batch_size, length=longest)
    return check_live(
        live, config, gpu=gpu, device=device, memory_budget=memory_budget, largest=largest,
        cancel=cancel,
    )  # fmt: skip


@naming_options(AnalysisOptions, LEVERED)
def levers(
    model: Model,
    config: TrainingConfig | None = None,
    *,
    gpu: str | None = None,
    device: str | None = None,
    memory_budget: str | int | None = None,
    on_event: OnEvent = ignore,
    cancel: CancelToken | None = None,
    processes: int | None = None,
    **options: Any,
) -> LeverReport:
    """Find what would make room: every change, alone and combined, ranked.

    Everything is simulated: at the current batch what each change needs, how fast it is and what
    a million samples cost, and the largest batch that fits with it. Where the current batch does
    not fit, also the cheapest set of changes that makes it fit.

    Args:
        model: A model's name in a form of the interface, or a Workload.
        config: How it is trained; None takes the defaults.
        gpu: A GPU of the catalogue.
        device: A CUDA device of this machine, which is simulated. With neither: the machine's own
            if there is one, else the catalogue's default GPU.
        memory_budget: The most that a trial may use, as in "4GiB" or in bytes.
        on_event: Called with each event.
        cancel: Checked before each simulation.
        processes: How many processes may work at a time. They are forked from this one: more than
            one only where no other thread of yours works with torch. None takes all processors
            where this program has a single thread. On Linux without a CUDA device; one elsewhere.
        options: Of the fields of AnalysisOptions: current_batch_size (16), price_per_hour,
            dataset_size, granularity (8), max_batch_size.

    Raises:
        UsageError: An argument is invalid.
        MemoryMarkError: The model cannot be simulated.

    Example:
        >>> levers("bert", gpu="l4").levers[0].name  # doctest: +SKIP
        'Weights and states in bf16 + gradient checkpointing + 8-bit AdamW'
    """
    return _execute(
        RequestKind.LEVERS, model, config, on_event, cancel,
        usual_processes() if processes is None else processes,
        device=device, gpu=gpu, memory_budget=memory_budget,
        options=options_from(AnalysisOptions, options, LEVERED),
    )  # fmt: skip


def sessions(
    model: Model,
    config: ServingConfig | None = None,
    plan: SessionPlan | None = None,
    *,
    gpu: str | None = None,
    device: str | None = None,
    memory_budget: str | int | None = None,
    host_memory: str | int | None = None,
    price_per_hour: float | None = None,
    steer: Callable[[Tensor], Tensor] | None = None,
    on_event: OnEvent = ignore,
    cancel: CancelToken | None = None,
) -> SessionRun:
    """Let inference sessions with caches of keys and values take turns, and say how many fit.

    Args:
        model: A model's name in a form of the interface, or a Workload.
        config: How it generates; None takes the defaults: 2,048 tokens in bf16, caches held.
        plan: How many sessions, and how they take turns; None takes 50.
        gpu: A GPU of the catalogue, which is simulated.
        device: cuda, cuda:N or cpu, where it is measured. With neither: the machine's own GPU if
            there is one, else the catalogue's default.
        memory_budget: The most that may be used of the device, as in "4GiB" or in bytes.
        host_memory: The most that swapped caches may take of the host's memory.
        price_per_hour: Dollars; None takes the catalogue's.
        steer: Given the hidden state at the plan's pause layer, (batch_size, tokens, width),
            returns what goes on in its place: activation steering. It may only read.
        on_event: Called with each event.
        cancel: Checked at each event.

    Raises:
        UsageError: An argument is invalid.
        MemoryMarkError: The model cannot be built, fed or simulated.

    Example:
        >>> from memorymark import ServingConfig, sessions
        >>> run = sessions("gpt2", ServingConfig(context_tokens=512), gpu="l4")
        >>> str(run.verdict)
        'PASS'
    """
    return _execute(
        RequestKind.SESSIONS, model, None, on_event, cancel,
        device=device, gpu=gpu, memory_budget=memory_budget, host_memory=host_memory,
        serving=config, plan=plan, options=AnalysisOptions(price_per_hour=price_per_hour),
        steer=steer,
    )  # fmt: skip


@naming_options(GenerationPlan, GENERATION_OPTIONS)
def generate(
    model: Model,
    prompt: str | None = None,
    *,
    image: str | bytes | None = None,
    audio: str | bytes | None = None,
    config: ServingConfig | None = None,
    device: str | None = None,
    memory_budget: str | int | None = None,
    on_text: Callable[[str], None] = lambda text: None,
    on_event: OnEvent = ignore,
    cancel: CancelToken | None = None,
    **options: Any,
) -> GenerationRun:
    """Generate for real: text after a prompt, about an image or of a sound, or an image's class.

    What it will hold is simulated before; what it held is measured.

    Args:
        model: A folder with config.json and safetensors, a hub id, or a configuration's name,
            whose weights are random: the result says so.
        prompt: What the model goes on from, or answers, in its own chat template if it has one.
        image: An image's file, or what that holds.
        audio: A sound's file, or what that holds.
        config: How the model is run: task, weights, cache, attention, compiled. None takes bf16.
        device: cuda, cuda:N, mps or cpu; None takes the best that is here.
        memory_budget: The most that may be used of it, as in "4GiB" or in bytes.
        on_text: Called with each piece of text as it is made, never half a character.
        on_event: Called with each event.
        cancel: Ends the text within a token; what was written until then is in the result.
        options: The fields of GenerationPlan: max_new_tokens (64), temperature (0), top_k, top_p,
            seed, prompt_tokens (32, of a random prompt), random_weights; blend, a second model of
            the same vocabulary, and blend_share (0.5), the weight of its probabilities.

    Raises:
        UsageError: An argument is invalid, or the model does not read what is given.
        MemoryMarkError: The model cannot be built, loaded or run.

    Example:
        >>> run = generate("smollm2-135m", "Once", device="cpu")  # doctest: +SKIP
        >>> run.peak_allocated_bytes == run.predicted_peak_bytes  # doctest: +SKIP
        True
    """

    def told(event: Event) -> None:
        if event.kind is EventKind.TEXT:
            on_text(event.text)
        on_event(event)

    given = {"image": image, "audio": audio}
    media = {name: each for name, each in given.items() if isinstance(each, bytes)}
    named = {name: f"{name} in memory" if name in media else each for name, each in given.items()}
    plan = options_from(GenerationPlan, {"prompt": prompt, **named, **options})
    return _execute(
        RequestKind.GENERATE, model, None, told, cancel, media=media or None,
        device=device, memory_budget=memory_budget, serving=config, generation=plan,
    )  # fmt: skip


def find_optimal_batch_size(model_name: str, device: Any = None) -> Analysis:
    """Analyze a model with all defaults: the first version's entry point.

    Args:
        model_name: A model's name in a form of the interface.
        device: cuda, cuda:N, mps or cpu; a torch.device is accepted.
    """
    return analyze(model_name, device=None if device is None else str(device))


def _execute(
    kind: RequestKind,
    model: Model,
    config: TrainingConfig | None,
    on_event: OnEvent = ignore,
    cancel: CancelToken | None = None,
    processes: int = 1,
    media: Mapping[str, bytes] | None = None,
    steer: Callable[[Tensor], Tensor] | None = None,
    **about: Any,
) -> Any:
    name, given = named(model)
    request = Request(kind, name, config or TrainingConfig(), **about)
    return execute(
        request,
        **given,
        on_event=on_event,
        cancel=cancel,
        processes=processes,
        media=media,
        steer=steer,
    )
