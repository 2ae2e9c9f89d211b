"""Built-in language models over bytes, without torch: BDH beside GPT-2s of as many parameters.

They are trained from nothing, on any file: a token is a byte, so that they need no tokenizer's
file. `bdh` has the sizes of the authors' demonstration (Kosowski et al. 2025, arXiv 2509.26507).
The small ones are for CPUs: the GPT-2 has the layers, heads and width of the recipe that nanoGPT's
README publishes for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

VOCABULARY = 256


@dataclass(frozen=True)
class ByteModel:
    """A language model over bytes.

    Attributes:
        label: Its name for people.
        parameters: How many it has.
        config: What a config.json of it says.
    """

    label: str
    parameters: int
    config: Mapping[str, Any] = field(hash=False)


def _bdh(width: int, layers: int, heads: int, expansion: int) -> Mapping[str, Any]:
    return MappingProxyType({
        "model_type": "bdh", "vocab_size": VOCABULARY, "hidden_size": width,
        "num_hidden_layers": layers, "num_attention_heads": heads, "expansion": expansion,
    })  # fmt: skip


def _gpt2(width: int, layers: int, heads: int, positions: int) -> Mapping[str, Any]:
    return MappingProxyType({
        "model_type": "gpt2", "vocab_size": VOCABULARY, "n_positions": positions, "n_embd": width,
        "n_layer": layers, "n_head": heads, "bos_token_id": None, "eos_token_id": None,
    })  # fmt: skip


BYTE_MODELS: Mapping[str, ByteModel] = MappingProxyType({
    "bdh": ByteModel("BDH over bytes", 25_296_896, _bdh(256, 6, 4, 128)),
    "gpt2-bytes": ByteModel("GPT-2 over bytes", 25_305_280, _gpt2(416, 12, 13, 512)),
    "bdh-small": ByteModel("Small BDH over bytes", 851_968, _bdh(128, 4, 4, 16)),
    "gpt2-bytes-small": ByteModel("Small GPT-2 over bytes", 858_880, _gpt2(128, 4, 4, 256)),
})  # fmt: skip
"""By the names under which they are built in."""


def byte_tokenizer() -> Any:
    """Return a tokenizer of transformers whose tokens are bytes, each with the byte's number.

    Bytes that are no text are read as what they are and written as a sign that stands for them.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE({letter: byte for byte, letter in byte_letters().items()}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=made, clean_up_tokenization_spaces=False, split_special_tokens=True
    )


def byte_letters() -> dict[int, str]:
    """Return the letter that `tokenizers` writes for each byte, by the byte.

    Bytes whose letter of the same number can be seen have that one; the others, in their order,
    have those from 256 on.
    """
    from tokenizers import pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    seen = {ord(letter): letter for letter in letters if ord(letter) < VOCABULARY}
    unseen = (byte for byte in range(VOCABULARY) if byte not in seen)
    return seen | dict(zip(unseen, letters[len(seen) :], strict=True))
