"""Checks that two models can write one text together."""

from __future__ import annotations

import dataclasses
from typing import Any

from memorymark.errors import UsageError, quoted
from memorymark.records.config import Task
from memorymark.workloads.byte_models import VOCABULARY
from memorymark.workloads.generation_spec import GenerationSpec
from memorymark.workloads.inputs.batch_spec import vocabulary_size

# All bytes of texts of these scripts: ASCII and the beginnings of others.
_PROBE = "".join(map(chr, range(0x500))) + "漢字 🙂"


def blended_spec(first: GenerationSpec, second: GenerationSpec) -> GenerationSpec:
    """Return the generation of two models that write one text.

    Both read what the first one reads. A token that ends the text of a model that has a share ends
    it.

    Args:
        first: The generation of the first model.
        second: That of the second, of the same plan.

    Raises:
        UsageError: They have not the same vocabulary, or read other things than text.
    """
    for spec in (first, second):
        _check_writes(spec)
    _check_vocabularies(first, second)
    share = first.plan.blend_share
    ends = (first.form.ends if share < 1 else frozenset()) | (
        second.form.ends if share > 0 else frozenset()
    )
    form = dataclasses.replace(first.form, ends=ends)
    second = dataclasses.replace(second, inputs=first.inputs)
    return dataclasses.replace(first, form=form, blend=second)


def _check_writes(spec: GenerationSpec) -> None:
    if spec.built_as.task is not Task.CAUSAL_LM:
        raise UsageError(
            f"Two models that write one text are decoders that read text alone (causal-lm), and "
            f"{quoted(spec.workload.name)} is used for {spec.built_as.task}. Give two decoders, "
            "such as bdh and gpt2-bytes."
        )
    if spec.form.opening:
        raise UsageError(
            f"{quoted(spec.workload.name)} begins its text with tokens of its own, so that it "
            "cannot be blended with another model."
        )


def _check_vocabularies(first: GenerationSpec, second: GenerationSpec) -> None:
    names = [quoted(spec.workload.name) for spec in (first, second)]
    sizes = [vocabulary_size(spec.workload.hf_config) for spec in (first, second)]
    if sizes[0] != sizes[1]:
        raise UsageError(
            f"{names[0]} has {sizes[0]:,} tokens and {names[1]} {sizes[1]:,}: two models that "
            "write one text need the same vocabulary. Give two models of one tokenizer."
        )
    tokenizers = [spec.reader.tokenizer for spec in (first, second)]
    if tokenizers[0] is None and tokenizers[1] is None:
        return
    for name, tokenizer in zip(names, tokenizers, strict=True):
        if tokenizer is None:
            raise UsageError(
                f"{name} comes without a tokenizer, so that nobody knows whether its tokens are "
                "those of the other model. Put the tokenizer's files into its folder."
            )
    if not _have_same_tokens(*tokenizers):
        raise UsageError(
            f"The tokenizers of {names[0]} and {names[1]} have other tokens: two models that "
            "write one text need the same. Give two models of one tokenizer."
        )
    if first.inputs.tensors["input_ids"].tolist() != second.inputs.tensors["input_ids"].tolist():
        raise UsageError(
            f"{names[0]} and {names[1]} read the prompt as other tokens, as where one has a chat "
            "template. Give two models of one tokenizer and template."
        )


def _have_same_tokens(one: Any, other: Any) -> bool:
    """Return whether two tokenizers have the same tokens; bytes may go by several names."""
    return one.get_vocab() == other.get_vocab() or (_reads_bytes(one) and _reads_bytes(other))


def _reads_bytes(tokenizer: Any) -> bool:
    """Return whether a tokenizer reads each byte as its number."""
    if len(tokenizer) != VOCABULARY:
        return False
    return tokenizer(_PROBE, add_special_tokens=False)["input_ids"] == list(_PROBE.encode())
