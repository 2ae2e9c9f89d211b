"""The list of workloads, and how each is found by its name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from memorymark.errors import MissingPackage
from memorymark.workloads import Workload, resolve
from zoo.configurations import TRAINED, small_transformer

_BATCH_SIZE = 4


class Missing(Exception):
    """A package that a workload needs is not installed."""


@dataclass(frozen=True)
class Case:
    """One workload and how it is trained.

    Attributes:
        name: As a user names it; "hf:TYPE" is the architecture of transformers, made small.
        batch_size: Samples in a step.
        config: Fields of TrainingConfig that are not left at their default.
    """

    name: str
    batch_size: int = _BATCH_SIZE
    config: dict[str, Any] = field(default_factory=dict)


def list_cases() -> list[Case]:
    """Return all workloads."""
    return list(_cases())


def _cases() -> Iterator[Case]:
    for module, factories in _FACTORIES.items():
        for entry in factories:
            factory, *trained = (entry,) if isinstance(entry, str) else entry
            yield Case(f"zoo.{module}:{factory}", *trained)
    for name, config in TRAINED.items():
        yield Case(f"hf:{name}", 8, {"seq_len": 64, **config})
    for name, config in _VISION.items():
        yield Case(name, 8, {"image_size": 64, "num_labels": 10, **config})


def workload_of(case: Case) -> Workload:
    """Return the workload of a case, built anew.

    Raises:
        Missing: A package that it needs is not installed.
    """
    prefix, _, rest = case.name.partition(":")
    if prefix == "hf":
        return small_transformer(rest)
    try:
        return resolve(case.name)
    except MissingPackage as error:
        raise Missing(str(error)) from error


_ACCUMULATED = {"gradient_accumulation": 4}
_SGD = {"optimizer": "sgd-momentum"}
_PLAIN = {"optimizer": "sgd"}

_FACTORIES: dict[str, tuple[Any, ...]] = {
    "language": (
        "nanogpt",
        "nanogpt_slow_attention",
        ("build_nanogpt", 4, _ACCUMULATED),
        "gpt_masked_targets",
        "gpt_label_smoothing",
        "gpt_chunked_loss",
        "gpt_checkpointed",
        "tied_through_a_view",
    ),
    "llama": ("litgpt_llama", "litgpt_gemma", "nanochat", "mamba_loop", "rwkv_loop"),
    "rnn": (
        "lstm_lm",
        "gru_lm",
        ("elman_lm", 16),
        ("lstm_tagger_packed", 32),
        "trimmed_gru",
        "translation_with_attention",
        "truncated_backpropagation",
        "transformer_xl",
    ),
    "generative": ("stable_diffusion_unet", "dit", ("vae", 32), ("vq_vae", 32)),
    "vision": (
        "vit",
        "vit_mixup",
        "mlp_mixer",
        "convnext",
        "efficientnet",
        "perceiver",
        "masked_autoencoder",
    ),
    "detection": (
        ("fasterrcnn", 3, _SGD),
        ("retinanet", 3, _SGD),
        "fcos",
        "yolo",
        "segmentation_unet",
        "segmentation_hard_pixels",
        "deeplab",
    ),
    "speech": (
        "conformer_ctc",
        "lstm_acoustic_ctc",
        "wav2vec",
        "audio_unet",
        "spectrogram_classifier",
    ),
    "graphs": (
        "gcn",
        "gat",
        "sparse_gcn",
        ("molecules", 32),
        "point_net",
        "dynamic_graph",
        "set_transformer",
    ),
    "recommenders": (
        ("dlrm", 4096),
        ("dlrm_sparse", 4096, {"optimizer": "sgd"}),
        ("two_tower", 1024),
        ("sasrec", 16),
        ("ncf", 16384),
        ("matrix_factorization", 16384),
        ("deep_fm", 2048),
        ("tab_transformer", 64),
    ),
    "tuning": (
        "lora",
        "lora_merged_weights",
        "last_layers_only",
        "prompt_tuning",
        "preference_optimization",
        "preference_one_module",
        ("distillation", 16),
        ("frozen_batch_norm", 16),
        ("averaged_model", 16),
        ("spectral_normed", 16),
        ("weight_normed", 16),
        ("orthogonal_weights", 256),
        ("gradient_hooks", 16),
        ("activations_on_the_host", 16),
        ("binary_network", 512),
    ),
    "experts": ("experts_by_mask", "experts_by_capacity", "experts_dense"),
    "contrast": (
        ("simclr", 16),
        ("moco", 16),
        ("byol", 16),
        ("barlow_twins", 16),
        ("triplet", 16),
        ("hard_triplets", 16),
        ("siamese", 16),
        ("image_text", 16),
    ),
    "science": (
        ("physics_informed", 512),
        ("meta_learning", 8),
        ("meta_learning_vmap", 8),
        ("neural_ode", 64),
        ("normalizing_flow", 128),
        ("radiance_field", 64),
        "fourier_operator",
        ("energy_forces", 16),
    ),
    "control": (
        ("ppo", 256),
        ("dqn", 16),
        ("soft_actor_critic", 128),
        ("decision_transformer", 8),
        "sampled_policy_gradient",
    ),
    "steps": (
        ("gan", 64),
        ("gan_with_gradient_penalty", 64),
        ("accumulate_and_clip", 16),
        "nanochat_two_optimizers",
        "diffusion_with_average",
        ("own_average", 64),
        ("sharpness_aware", 64),
        ("policy_epochs", 2048),
        "own_optimizer_only",
    ),
    "uncommon": (
        "device_by_hand",
        "nested_tensors",
        ("sparse_table", 32, _PLAIN),
        "complex_numbers",
    ),
    "series": (
        ("temporal_conv", 16),
        ("series_transformer", 16),
        ("patch_forecaster", 16),
        ("doubly_residual", 32),
        ("probabilistic_lstm", 32),
        ("quantile_lstm", 32),
    ),
}

_VISION: dict[str, dict[str, Any]] = {
    "torchvision:resnet18": _SGD,
    "torchvision:mobilenet_v3_small": _SGD,
    "torchvision:efficientnet_b0": _SGD,
    "torchvision:convnext_tiny": _PLAIN,
    "torchvision:densenet121": _SGD,
    "torchvision:regnet_y_400mf": _SGD,
    "torchvision:shufflenet_v2_x1_0": _SGD,
    "torchvision:swin_t": _PLAIN,
    "torchvision:mobilenet_v2": _SGD,
    "torchvision:mnasnet0_5": _SGD,
    "torchvision:squeezenet1_1": _SGD,
    "torchvision:googlenet": _SGD,
    "torchvision:lraspp_mobilenet_v3_large": _SGD,
    "torchvision:ssdlite320_mobilenet_v3_large": {**_SGD, "image_size": 320},
    "torchvision:r3d_18": {**_SGD, "image_size": 32},
    "timm:resnet18": _SGD,
    "timm:vit_tiny_patch16_224": {"image_size": 224},
    "timm:mixer_s16_224": {"image_size": 224},
    "timm:efficientnet_lite0": _SGD,
}
