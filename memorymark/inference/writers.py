"""Which part of a model writes the tokens, of models whose images are read by another part."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from memorymark.errors import UnsupportedOperation, quoted

# By model type: the part that writes, whose forward pass takes the cache.
_WRITERS = {
    "blip": "text_decoder", "blip-2": "language_model", "instructblip": "language_model",
    "kosmos-2": "text_model",
}  # fmt: skip
# Of them, those whose writer looks at the image again at every token.
_LOOKING = ("blip",)


def writer_of(model: nn.Module) -> nn.Module:
    """Return the part of a model that writes: most often the model itself.

    Raises:
        UnsupportedOperation: It has an encoder of its own beside that of the image.
    """
    writer = getattr(model, _WRITERS.get(_model_type(model), ""), model)
    if writer is not model and writer.config.is_encoder_decoder:
        raise UnsupportedOperation(
            f"{quoted(type(model).__name__)} writes with {type(writer).__name__}, an encoder and a "
            "decoder; only decoders are run behind an image."
        )
    return writer


def looks_again(model: nn.Module) -> bool:
    """Return whether what writes is given the image's features with each token."""
    return _model_type(model) in _LOOKING


def seen_again(model: nn.Module, outputs: Any, inputs: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the arguments by which a model is given the features of its images with each token.

    None where it is given none: most models keep what they have seen in the cache.

    Args:
        model: The model.
        outputs: What it returned for the prompt.
        inputs: The prompt.
    """
    if "image_encoder_embeddings" not in inspect.signature(model.forward).parameters:
        return None
    takes_latents = getattr(model.config, "use_resampler", False)  # as in modeling_idefics.py
    name = "perceiver_embeddings" if takes_latents else "image_encoder_embeddings"
    given = {name: outputs.image_hidden_states}
    mask = inputs.get("image_attention_mask")
    return given if mask is None else {**given, "image_attention_mask": mask[:, -1:]}


def look(model: nn.Module, pixels: Any) -> Any:
    """Return the features of an image."""
    return model.vision_model(pixel_values=pixels).last_hidden_state


def _model_type(model: nn.Module) -> str:
    return getattr(getattr(model, "config", None), "model_type", "")
