"""What a device cannot do, with the reason: the app disables it, and says why."""

from __future__ import annotations

from memorymark.gpus.catalogue import Gpu
from memorymark.records.config import Precision

_CPU, _MPS = "cpu", "mps"


def why_not(option: str, value: object, kind: str, gpu: Gpu | None = None) -> str | None:
    """Return why a value of a training option has no place on a device; None where it has.

    Args:
        option: Name of a field of TrainingConfig.
        value: A value that it may be set to.
        kind: cuda, mps, cpu or simulated.
        gpu: The catalogue's row of the device, where it has one.

    Example:
        >>> from memorymark.gpus.catalogue import find_gpu
        >>> why_not("precision", "amp-bf16", "simulated", find_gpu("t4"))
        'amp-bf16: the T4 has no BF16 units.'
        >>> why_not("precision", "amp-bf16", "simulated", find_gpu("l4"))
    """
    words = _reason(option, str(value), kind, gpu)
    if words is None:
        return None
    return f"{_SWITCHES.get(option, value)}: {words}"


def cannot_do(config: object, kind: str, gpu: Gpu | None = None) -> list[str]:
    """Return why a device cannot do what a config asks of CUDA's software, a sentence each.

    What is so by default nobody asked for. Precisions are left out: PyTorch computes without units
    for them too, more slowly.

    Args:
        config: How a model is trained or generates.
        kind: cuda, mps, cpu or simulated.
        gpu: The catalogue's row of the device, where it has one.
    """
    known = (*_NEEDS_CUDA, *_NEEDS_A_HOST)
    options = dict.fromkeys(option for option, _ in known if option != "precision")
    default = type(config)()
    asked = {name: getattr(config, name, None) for name in options}
    asked = {name: value for name, value in asked.items() if value != getattr(default, name, None)}
    found = (why_not(name, value, kind, gpu) for name, value in asked.items())
    return [reason for reason in found if reason is not None]


def _reason(option: str, value: str, kind: str, gpu: Gpu | None) -> str | None:
    if option == "precision" and gpu is not None:
        units = Precision(value).value.removeprefix("amp-")
        name = gpu.name.removeprefix("NVIDIA ")
        return None if gpu.peak_flops[units] else f"the {name} has no {units.upper()} units."
    if gpu is not None and gpu.is_apple and (option, value) in _NEEDS_A_HOST:
        return _NEEDS_A_HOST[option, value]
    is_cuda = kind not in (_CPU, _MPS) and not (gpu is not None and gpu.is_apple)
    return None if is_cuda else _NEEDS_CUDA.get((option, value))


_SWITCHES = {"cudnn_benchmark": "cuDNN", "expandable_segments": "Expandable segments"}
_NEEDS_A_HOST = {
    ("policy", "swap"): "it moves caches to the host's memory, and that is the GPU's own here."
}
_NEEDS_CUDA = {
    ("precision", "tf32"): "only NVIDIA GPUs have TF32 units.",
    ("attention", "flash"): "it needs an NVIDIA GPU.",
    ("optimizer", "adamw-8bit"): "bitsandbytes needs an NVIDIA GPU.",
    ("cudnn_benchmark", "True"): "it runs on NVIDIA GPUs only.",
    ("expandable_segments", "True"): "only CUDA's allocator has them.",
}
