"""Batches of images or audio with text: pairs, questions, and text that holds image tokens."""

from __future__ import annotations

import torch
from torch import Tensor

from memorymark.workloads.inputs.audio import hearings
from memorymark.workloads.inputs.batch_spec import BatchSpec, Inputs, text_config, words
from memorymark.workloads.inputs.image_tokens import FORMS
from memorymark.workloads.inputs.images import pictures
from memorymark.workloads.inputs.videos import frames

# A label that the loss leaves out: torch.nn.functional.cross_entropy, ignore_index.
_IGNORED = -100
# The length to which InstructBLIP's instructions are padded for its Q-Former.
_INSTRUCTION_TOKENS = 32


def pairs(spec: BatchSpec) -> Inputs:
    """Make images, videos or audio with a text each; the model has the contrastive loss."""
    if spec.config.audio_seconds:
        seen = hearings(spec)
    else:
        seen = frames(spec) if spec.config.num_frames else pictures(spec)
    text = _words(spec, spec.config.seq_len)
    mask = torch.ones(text.shape, dtype=torch.long)
    return {**seen, "input_ids": text, "attention_mask": mask, "return_loss": True}


def questions(spec: BatchSpec) -> Inputs:
    """Make images with a question each, and the answer as a text or as shares of classes."""
    text = _words(spec, spec.config.seq_len)
    batch = pictures(spec) | {"input_ids": text, "attention_mask": torch.ones_like(text)}
    if spec.model_type == "vilt":
        return batch | {"labels": torch.rand(spec.batch_size, spec.num_labels)}
    return batch | {"labels": _words(spec, spec.config.seq_len)}


def illustrated(spec: BatchSpec) -> Inputs:
    """Make text with an image before it, whose tokens stand in input_ids as placeholders.

    The text has seq_len tokens; those of the image come on top.
    """
    image = FORMS[spec.model_type](spec)
    if "input_ids" not in spec.takes or not image.has_prompt:
        return {**image.inputs, "labels": _words(spec, spec.config.seq_len)}
    block = [*image.before, *[image.token] * image.count, *image.after]
    # The model looks for its placeholders: one word, over and over, is a known value.
    text = torch.full((spec.batch_size, spec.config.seq_len), words(spec.hf_config)[0])
    placeholders = torch.tensor([block], dtype=torch.long).repeat(spec.batch_size, 1)
    is_image = [int(token == image.token) for token in block] + [0] * spec.config.seq_len
    ids = torch.cat([placeholders, text], dim=1)
    types = torch.tensor([is_image]).repeat(spec.batch_size, 1)
    given = spec.taken(
        # PaliGemma's types say what is to be written; all others say what is an image.
        token_type_ids=1 - types if spec.model_type == "paligemma" else types,
        mm_token_type_ids=types,
        image_embeds_position_mask=types.bool(),
        qformer_input_ids=_words(spec, _INSTRUCTION_TOKENS),
        cross_attention_mask=_seen_by_all(image.inputs, ids),
        image_attention_mask=torch.ones((*ids.shape, 1), dtype=torch.long),
    )
    batch = {**image.inputs, "input_ids": ids, "attention_mask": torch.ones_like(ids), **given}
    return batch | {"labels": _written(spec, text, len(block))}


def _words(spec: BatchSpec, length: int) -> Tensor:
    low, high = words(spec.hf_config)
    return torch.randint(low, high, (spec.batch_size, length))


def _written(spec: BatchSpec, text: Tensor, placeholders: int) -> Tensor:
    """Return the labels: the text itself, or another one that a decoder writes."""
    if getattr(text_config(spec.hf_config), "is_encoder_decoder", False):
        return _words(spec, spec.config.seq_len)
    ignored = torch.full((spec.batch_size, placeholders), _IGNORED)
    return torch.cat([ignored, text], dim=1)


def _seen_by_all(inputs: Inputs, ids: Tensor) -> Tensor | None:
    """Return Mllama's mask: each token sees every tile of the one image."""
    tiles = inputs.get("aspect_ratio_mask")
    if tiles is None:
        return None
    return torch.ones((*ids.shape, *tiles.shape[1:]), dtype=torch.long)
