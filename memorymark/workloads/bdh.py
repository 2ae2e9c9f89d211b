"""BDH (Dragon Hatchling): a language model of sparse, positive neurons, all layers sharing weights.

Written from the equations of Kosowski et al. 2025, arXiv 2509.26507. Of width D, H heads and N
neurons a head, each layer turns x (batch, tokens, D) into LN(x + y), with

    s = relu(x E)                       (batch, H, tokens, N)
    a = strictly_before(R(s) R(s)^T) x  (batch, H, tokens, D): no softmax, no token sees itself
    z = dropout(s * relu(LN(a) E'))     (batch, H, tokens, N)
    y = LN(z Q)                         heads side by side

where R turns neighbouring neurons by a token's position. LN has no weights. What a cache holds of
each layer are the keys R(s) and the values x.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import DynamicCache, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from memorymark.workloads.bdh_config import BdhConfig

# Neighbours turn slower and slower, the last by 1 / 65,536 of a radian a token.
_SLOWEST = 65_536


class BdhLayer(nn.Module):
    """The matrices of a BDH, which each of its layers applies.

    E and Q are linear layers, so that what adapts or quantizes those takes them too; E' has a
    matrix for each head.

    Args:
        config: The sizes.
    """

    def __init__(self, config: BdhConfig) -> None:
        super().__init__()
        width, self.heads, self.neurons = (
            config.hidden_size, config.num_attention_heads, config.neurons,
        )  # fmt: skip
        across = self.heads * self.neurons
        self.encoder = nn.Linear(width, across, bias=False)
        self.value_encoder = nn.Parameter(torch.empty(self.heads, width, self.neurons))
        self.decoder = nn.Linear(across, width, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Tensor,
        turns: tuple[Tensor, Tensor],
        past: int | Tensor = 0,
        mask: Tensor | None = None,
        cache: Any = None,
        layer: int = 0,
    ) -> Tensor:
        """Return x one layer later.

        Args:
            x: (batch, tokens, width).
            turns: Cosines and sines of the tokens, each (tokens, neurons / 2).
            past: Tokens that the cache has.
            mask: 0 for each token that others do not see, (batch, tokens, 1).
            cache: Keys and values of the tokens before; those of x are added.
            layer: Its number in the cache.
        """
        fired = functional.relu(self.encoder(x)).unflatten(-1, (self.heads, self.neurons))
        keys = turned = _turned(fired.transpose(1, 2), *turns)
        values = (x if mask is None else x * mask).unsqueeze(1)
        if cache is not None:
            if cache.is_compileable:  # a cache of a fixed length has as many values as keys
                values = values.expand(-1, self.heads, -1, -1)
            keys, values = cache.update(keys, values, layer)
        scores = _strictly_before(turned @ keys.transpose(-1, -2), past)
        seen = torch.bmm(scores.flatten(1, 2), values[:, 0])
        seen = _norm(seen).unflatten(1, (self.heads, -1))
        gates = functional.relu(torch.einsum("bhtd,hdn->bthn", seen, self.value_encoder))
        agreed = self.dropout((fired * gates).flatten(2))
        return _norm(x + _norm(self.decoder(agreed)))


class BdhPreTrainedModel(PreTrainedModel):
    """What the models of this architecture share."""

    config_class = BdhConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ["BdhLayer"]  # noqa: RUF012  (as transformers has it)

    def _init_weights(self, module: nn.Module) -> None:
        spread = self.config.initializer_range
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, 0.0, spread)
        if isinstance(module, BdhLayer):
            nn.init.normal_(module.value_encoder, 0.0, spread)


class BdhModel(BdhPreTrainedModel):
    """A BDH without the head over its vocabulary."""

    def __init__(self, config: BdhConfig) -> None:
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layer = BdhLayer(config)
        self.gradient_checkpointing = False
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """Return the table of tokens."""
        return self.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Take another table of tokens."""
        self.embed_tokens = value

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        **_: Any,
    ) -> BaseModelOutputWithPast:
        """Return what the last layer makes of tokens, (batch, tokens, width).

        Args:
            input_ids: (batch, tokens).
            attention_mask: 0 for padding, which nothing sees; its last columns are these tokens'.
            past_key_values: The cache of the tokens before.
            use_cache: Whether a cache is made where none is given; None asks the configuration.
                None is kept where layers are recomputed in the backward pass.
        """
        checkpoints = self.gradient_checkpointing and self.training
        cache = None if checkpoints else past_key_values
        wanted = self.config.use_cache if use_cache is None else use_cache
        if cache is None and wanted and not checkpoints:
            cache = DynamicCache(config=self.config)
        past = 0 if cache is None else cache.get_seq_length()
        x = _norm(self.embed_tokens(input_ids))
        count = input_ids.shape[1]
        positions = torch.arange(count, device=x.device) + past
        if not isinstance(past, int):
            past = positions[:1]  # the cache counts on in the same tensor
        turns = _turns(positions, self.config.neurons)
        mask = None
        if attention_mask is not None:
            mask = attention_mask[:, -count:].unsqueeze(-1).to(x.dtype)
        for number in range(self.config.num_hidden_layers):
            if checkpoints:
                x = self._gradient_checkpointing_func(self.layer.__call__, x, turns, 0, mask)
            else:
                x = self.layer(x, turns, past, mask, cache, number)
        return BaseModelOutputWithPast(last_hidden_state=x, past_key_values=cache)


class BdhForCausalLM(BdhPreTrainedModel, GenerationMixin):
    """A BDH with a head of its own over its vocabulary."""

    def __init__(self, config: BdhConfig) -> None:
        super().__init__(config)
        self.model = BdhModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """Return the table of tokens."""
        return self.model.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Take another table of tokens."""
        self.model.embed_tokens = value

    def get_output_embeddings(self) -> nn.Module:
        """Return the head."""
        return self.lm_head

    def set_output_embeddings(self, value: nn.Module) -> None:
        """Take another head."""
        self.lm_head = value

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        **more: Any,
    ) -> CausalLMOutputWithPast:
        """Return the logits of each next token, (batch, tokens, vocabulary), and the loss.

        Args:
            input_ids: (batch, tokens).
            attention_mask: 0 for padding; see BdhModel.
            past_key_values: The cache of the tokens before.
            labels: The tokens again, which are shifted here; -100 counts in no loss.
            use_cache: Whether a cache is made where none is given.
            logits_to_keep: Of how many last tokens logits are made; 0 for all.
            more: num_items_in_batch, by which a sum of losses is divided; all else is not looked
                at.
        """
        outputs = self.model(input_ids, attention_mask, past_key_values, use_cache)
        logits = self.lm_head(outputs.last_hidden_state[:, -logits_to_keep:])
        loss = None
        if labels is not None:
            known = {name: more[name] for name in ("num_items_in_batch",) if name in more}
            vocabulary = self.config.vocab_size
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=vocabulary, **known)
        return CausalLMOutputWithPast(
            loss=loss, logits=logits, past_key_values=outputs.past_key_values
        )


def _norm(x: Tensor) -> Tensor:
    """Return a layer norm without weights over the last dimension."""
    return functional.layer_norm(x, x.shape[-1:])


def _turns(positions: Tensor, neurons: int) -> tuple[Tensor, Tensor]:
    """Return cosines and sines by which pairs of neurons are turned, each (tokens, neurons / 2)."""
    first = torch.arange(0, neurons, 2, device=positions.device, dtype=torch.float32)
    slowness = torch.exp(first * (-math.log(_SLOWEST) / neurons))
    angles = positions.to(torch.float32).unsqueeze(-1) * slowness
    return angles.cos(), angles.sin()


def _turned(fired: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Return R(s): neurons (..., tokens, neurons), neighbouring pairs turned."""
    cosines, sines = cosines.to(fired.dtype), sines.to(fired.dtype)
    even, odd = fired[..., 0::2], fired[..., 1::2]
    pairs = even * cosines - odd * sines, odd * cosines + even * sines
    return torch.stack(pairs, dim=-1).flatten(-2)


def _strictly_before(scores: Tensor, past: int | Tensor) -> Tensor:
    """Return scores (..., tokens, keys) with 0 for each key that is not before its token.

    Args:
        scores: Of the tokens that come after the first `past` keys.
        past: A number, or a tensor of one where a cache of a fixed length counts by itself.
    """
    if isinstance(past, int):
        return scores.tril(past - 1)
    count, keys = scores.shape[-2:]
    at = torch.arange(count, device=scores.device) + past
    after = torch.arange(keys, device=scores.device) >= at.unsqueeze(-1)
    return scores.masked_fill(after, 0.0)
