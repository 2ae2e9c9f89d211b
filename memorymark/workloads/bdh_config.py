"""The configuration of BDH (Kosowski et al. 2025, arXiv 2509.26507)."""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig


class BdhConfig(PretrainedConfig):
    """How large a BDH is. The defaults are those of the authors' demonstration.

    Args:
        vocab_size: Tokens that it knows; 256 are bytes.
        hidden_size: Width of what goes from layer to layer.
        num_hidden_layers: How often its one set of matrices is applied.
        num_attention_heads: Heads.
        expansion: Neurons of all heads for each unit of width.
        dropout: Share of the neurons' products that is dropped in training.
        initializer_range: Standard deviation of random weights.
        use_cache: Whether a forward pass returns keys and values that nobody asked for.

    Raises:
        ValueError: Neurons do not come in pairs in each head, or a size is none.
    """

    model_type = "bdh"
    keys_to_ignore_at_inference = ["past_key_values"]  # noqa: RUF012  (as transformers has it)

    def __init__(
        self,
        vocab_size: int = 256,
        hidden_size: int = 256,
        num_hidden_layers: int = 6,
        num_attention_heads: int = 4,
        expansion: int = 128,
        dropout: float = 0.1,
        initializer_range: float = 0.02,
        use_cache: bool = False,
        **more: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.expansion = expansion
        self.dropout = dropout
        self.initializer_range = initializer_range
        self.use_cache = use_cache
        super().__init__(**{"tie_word_embeddings": False, **more})
        self._check()

    @property
    def neurons(self) -> int:
        """Neurons of each head."""
        return self.expansion * self.hidden_size // self.num_attention_heads

    def _check(self) -> None:
        sizes = (
            "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "expansion",
        )  # fmt: skip
        for name in sizes:
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is {value!r}; accepted: a whole number from 1")
        if self.expansion * self.hidden_size % (2 * self.num_attention_heads):
            raise ValueError(
                f"expansion times hidden_size is {self.expansion * self.hidden_size}; accepted: a "
                "multiple of two for each head, since the neurons of a head are turned in pairs"
            )
