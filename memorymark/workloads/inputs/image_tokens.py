"""How many tokens of the text an image takes, and in which form models with text take it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from memorymark.workloads.inputs.batch_spec import BatchSpec, Inputs, channels, image_token

# Pix2Struct's processor scales an image to this many patches: max_patches.
_PIX2STRUCT_PATCHES = 2048
_WITH_CLASS_TOKEN = ("clip_vision_model", "vit")


@dataclass(frozen=True)
class ImageForm:
    """One image of each sample, as a model with text takes it.

    Attributes:
        inputs: The tensors of the images.
        count: Placeholders that stand for an image in the text.
        token: Id of the placeholder.
        before: Ids that mark its beginning.
        after: Ids that mark its end.
        has_prompt: Whether the model reads a text beside the image.
    """

    inputs: Inputs
    count: int = 0
    token: int = 0
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    has_prompt: bool = True


def _token(spec: BatchSpec) -> int:
    return image_token(spec.hf_config)


def _patch(vision: Any) -> int:
    size = vision.patch_size
    return size[0] if isinstance(size, list | tuple) else size


def _side(spec: BatchSpec) -> int:
    """Return the number of patches along a side of the image."""
    return spec.image_size // _patch(spec.hf_config.vision_config)


def _pixels(spec: BatchSpec) -> Inputs:
    return {"pixel_values": spec.random_pixels()}


def _without_tokens(spec: BatchSpec) -> ImageForm:
    return ImageForm(_pixels(spec))


def _captioned(spec: BatchSpec) -> ImageForm:
    return ImageForm(_pixels(spec), has_prompt=False)


def _pooled(factor: Callable[[Any], float]) -> Callable[[BatchSpec], ImageForm]:
    """Return a maker of images whose side of patches is divided by a factor of the config."""

    def make(spec: BatchSpec) -> ImageForm:
        count = int(_side(spec) / factor(spec.hf_config)) ** 2
        return ImageForm(_pixels(spec), count, _token(spec))

    return make


def _stated(count: Callable[[Any], int]) -> Callable[[BatchSpec], ImageForm]:
    """Return a maker of images whose number of tokens the configuration states."""
    return lambda spec: ImageForm(_pixels(spec), count(spec.hf_config), _token(spec))


def _llava(spec: BatchSpec) -> ImageForm:
    config, inputs = spec.hf_config, _pixels(spec)
    if config.vision_config.model_type == "pixtral":
        inputs["image_sizes"] = _sizes(spec)
        return ImageForm(inputs, _side(spec) ** 2, _token(spec))
    count = _side(spec) ** 2 + (config.vision_config.model_type in _WITH_CLASS_TOKEN)
    # The first feature, the class token, is left out by default.
    count -= getattr(config, "vision_feature_select_strategy", "default") == "default"
    return ImageForm(inputs, count, _token(spec))


def _sizes(spec: BatchSpec) -> torch.Tensor:
    return torch.full((spec.batch_size, 2), spec.image_size)


def _merged(spec: BatchSpec) -> ImageForm:
    """Make images of any size for Mistral 3, which merges squares of patches."""
    merge = spec.hf_config.spatial_merge_size
    count = (_side(spec) // merge) ** 2
    return ImageForm(_pixels(spec) | {"image_sizes": _sizes(spec)}, count, _token(spec))


def _tiled(spec: BatchSpec) -> ImageForm:
    """Make the tiles of a square image: all of the image in one, and its parts beside it."""
    config, size = spec.hf_config, spec.hf_config.vision_config.image_size
    tiles = spec.image_size // size
    side = size // _patch(config.vision_config)
    shape = (spec.batch_size, 1 + tiles**2, 3, size, size)
    inputs = {"pixel_values": torch.rand(shape), "image_sizes": _sizes(spec)}
    rows = side * tiles  # each ends with a token for the new line
    return ImageForm(inputs, side**2 + rows**2 + rows, _token(spec))


def _listed_images(count: Callable[[Any], float]) -> Callable[[BatchSpec], ImageForm]:
    """Return a maker of one image in a list of images, with a mask of its pixels."""

    def make(spec: BatchSpec) -> ImageForm:
        size = spec.image_size
        mask = torch.ones((spec.batch_size, 1, size, size), dtype=torch.long)
        # The model looks for images that are all zero, as padding is: gray is a known value.
        pixels = torch.full((spec.batch_size, 1, channels(spec.hf_config), size, size), 0.5)
        inputs = {"pixel_values": pixels, **spec.taken(pixel_attention_mask=mask)}
        return ImageForm(inputs, int(count(spec.hf_config)), _token(spec))

    return make


def _scaled(config: Any) -> float:
    vision = config.vision_config
    return (vision.image_size // vision.patch_size) ** 2 / config.scale_factor**2


def _grid(spec: BatchSpec) -> ImageForm:
    """Make the patches of images of any size, all images in one tensor, as for Qwen2-VL."""
    config, vision = spec.hf_config, spec.hf_config.vision_config
    merge = vision.spatial_merge_size
    side = max(spec.image_size // (vision.patch_size * merge), 1) * merge
    values = (getattr(vision, "in_channels", None) or 3) * vision.patch_size**2
    values *= vision.temporal_patch_size
    inputs = {
        "pixel_values": torch.rand(spec.batch_size * side**2, values),
        "image_grid_thw": torch.tensor([[1, side, side]]).repeat(spec.batch_size, 1),
    }
    marks = (getattr(config, name, None) for name in _MARKS)
    before, after = ((mark,) if isinstance(mark, int) else () for mark in marks)
    return ImageForm(inputs, (side // merge) ** 2, _token(spec), before, after)


_MARKS = ("vision_start_token_id", "vision_end_token_id")


def _crossed(spec: BatchSpec) -> ImageForm:
    """Make one tile of an image for Mllama, whose text sees it by cross attention."""
    tiles, batch_size = spec.hf_config.vision_config.max_num_tiles, spec.batch_size
    mask = torch.zeros((batch_size, 1, tiles), dtype=torch.long)
    mask[:, :, 0] = 1
    inputs = {
        "pixel_values": spec.random_pixels(1, tiles),
        "aspect_ratio_ids": torch.ones((batch_size, 1), dtype=torch.long),
        "aspect_ratio_mask": mask,
    }
    return ImageForm(inputs, 1, _token(spec))


def _flat(spec: BatchSpec) -> ImageForm:
    """Make Pix2Struct's patches: row, column, and the values of a patch."""
    values = spec.hf_config.vision_config.patch_embed_hidden_size
    shape = (spec.batch_size, _PIX2STRUCT_PATCHES)
    inputs = {
        "flattened_patches": torch.rand(*shape, values + 2),
        "attention_mask": torch.ones(shape),
    }
    return ImageForm(inputs, has_prompt=False)


def _quantized(spec: BatchSpec) -> ImageForm:
    levels = len(spec.hf_config.vq_config.channel_multiplier)
    return ImageForm(_pixels(spec), (spec.image_size // 2 ** (levels - 1)) ** 2, _token(spec))


def _towered(spec: BatchSpec) -> ImageForm:
    """Make images for Florence-2, whose features are those of the last stage, and their mean."""
    stride = 1
    for each in spec.hf_config.vision_config.patch_stride:
        stride *= each
    return ImageForm(_pixels(spec), (spec.image_size // stride) ** 2 + 1, _token(spec))


# By the name of the architecture in transformers.
FORMS: dict[str, Callable[[BatchSpec], ImageForm]] = {
    "aya_vision": _pooled(lambda config: config.downsample_factor),
    "blip": _without_tokens,
    "blip-2": _stated(lambda config: config.num_query_tokens),
    "chameleon": _quantized,
    "cohere2_vision": _pooled(lambda config: config.downsample_factor),
    "deepseek_vl": _pooled(lambda config: 1),
    "florence2": _towered,
    "gemma3": _stated(lambda config: config.mm_tokens_per_image),
    "git": _without_tokens,
    "glm46v": _grid,
    "glm4v": _grid,
    "glm4v_moe": _grid,
    "got_ocr2": _pooled(lambda config: 4),
    "idefics": lambda spec: ImageForm({"pixel_values": spec.random_pixels(1)}),
    "idefics2": _listed_images(lambda config: config.perceiver_config.resampler_n_latents),
    "idefics3": _listed_images(_scaled),
    "instructblip": _stated(lambda config: config.num_query_tokens),
    "internvl": _pooled(lambda config: 1 / config.downsample_ratio),
    "janus": _pooled(lambda config: 1),
    "kosmos-2": _stated(lambda config: config.latent_query_num),
    "llama4": _pooled(lambda config: 1 / config.vision_config.pixel_shuffle_ratio),
    "llava": _llava,
    "llava_next": _tiled,
    "llava_onevision": _tiled,
    "mistral3": _merged,
    "mllama": _crossed,
    "paligemma": _pooled(lambda config: 1),
    "pix2struct": _flat,
    "qwen2_5_vl": _grid,
    "qwen2_vl": _grid,
    "qwen3_5": _grid,
    "qwen3_5_moe": _grid,
    "qwen3_vl": _grid,
    "qwen3_vl_moe": _grid,
    "smolvlm": _listed_images(_scaled),
    "vipllava": _llava,
    "vision-encoder-decoder": _captioned,
}
