"""THE inference step: the only place where a model is asked for its next token.

Measured, simulated and real generation run the same code; what differs between devices is in
the tensors that it is given. As `transformers.generate` does, a prefill computes the last
position's logits alone where the model can, and a decode gives the model its newest token.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from memorymark.inference.caches import cache_name, make_cache, room_of
from memorymark.inference.model_errors import told_errors
from memorymark.inference.pause import Pause, Pausing
from memorymark.inference.writers import look, looks_again, seen_again, writer_of
from memorymark.records.serving_config import CacheKind, ServingConfig

# Chooses the next token: logits (batch_size, vocabulary) in fp32 to ids (batch_size, 1).
Choose = Callable[[Tensor], Tensor]


@dataclass
class Generation:
    """One session's state between two tokens.

    Attributes:
        cache: What the model remembers of the tokens so far.
        token: The newest token, (batch_size, 1), which the model has not read yet.
        mask: Which tokens are read, (batch_size, tokens), the newest one included.
        encoded: What the encoder returned, of models that have one; where the features of an image
            are looked at again, the arguments that each token is given with.
        length: Tokens of the decoder so far, the newest one included.
    """

    cache: Any
    token: Tensor
    mask: Tensor | None
    encoded: Any = None
    length: int = 0


class InferenceStep:
    """One model that generates.

    Args:
        model: The model, in eval mode, on its device.
        config: How it generates.
        choose: Chooses the next token; None takes the likeliest.

    Raises:
        UnsupportedOperation: The model keeps no cache that is known.
    """

    def __init__(
        self, model: nn.Module, config: ServingConfig, choose: Choose | None = None
    ) -> None:
        self.model, self.config = model, config
        self._choose = choose or likeliest
        self._writer = writer_of(model)
        self._cache_name = cache_name(self._writer)
        taken = inspect.signature(self._writer.forward).parameters
        self._last_logits = {"logits_to_keep": 1} if "logits_to_keep" in taken else {}
        self._takes_mask = "attention_mask" in taken
        # Positions that are added to scores (ALiBi), made from the mask: one for each key.
        self._pads_mask = any(hasattr(x, "build_alibi_tensor") for x in self._writer.modules())
        # Positions in time, height and width: where there is a mask, they are made for all of it
        # and not for the newest token; nothing here is padded, so that it is not needed.
        self._counts_from_mask = any(hasattr(x, "rope_deltas") for x in self._writer.modules())
        self._decode = torch.compile(self._writer) if config.compiled else self._writer

    @torch.no_grad()
    def prefill(self, inputs: Mapping[str, Tensor]) -> Generation:
        """Read a prompt and choose the first token.

        Args:
            inputs: What the model's processor makes: `input_ids` (batch_size, tokens), or the
                image or the sound that an encoder reads.
        """
        cache = self._new_cache(inputs)
        with told_errors(self.model, self.config.cache):
            if self.model.config.is_encoder_decoder:
                return self._prefill_decoder(inputs, cache)
            if looks_again(self.model):
                return self._prefill_looking(inputs, cache)
            outputs = self.model(**self._given(inputs, cache), **{self._cache_name: cache})
            return self._begun(outputs, cache, inputs)

    @torch.no_grad()
    def decode(self, generation: Generation) -> Generation:
        """Read the newest token and choose the next one."""
        name, more = "input_ids", {}
        if self.model.config.is_encoder_decoder:
            name, more = "decoder_input_ids", {"encoder_outputs": generation.encoded}
        elif generation.encoded is not None:
            more = dict(generation.encoded)
        cache = generation.cache
        if generation.mask is not None and self._takes_mask and not self._counts_from_mask:
            more["attention_mask"] = self._masking(generation.mask, cache)
        with told_errors(self.model, self.config.cache):
            outputs = self._decode(**{name: generation.token}, **more, **self._with(cache))
        generation.cache = self._kept(outputs, cache)
        return self._chosen(outputs, generation, generation.length)

    @torch.no_grad()
    def pause_prefill(
        self, pausing: Pausing, layer: int, inputs: Mapping[str, Tensor]
    ) -> tuple[Any, Pause]:
        """Read a prompt up to a layer; return the cache so far and the pause."""
        cache = self._new_cache(inputs)
        with told_errors(self.model, self.config.cache):
            return cache, pausing.run_until(layer, cache, **self._given(inputs, cache))

    @torch.no_grad()
    def resume_prefill(
        self, pausing: Pausing, pause: Pause, cache: Any, inputs: Mapping[str, Tensor]
    ) -> Generation:
        """Go on with a prompt from a pause, and choose the first token."""
        with told_errors(self.model, self.config.cache):
            outputs = pausing.resume(pause, cache, **self._given(inputs, cache))
            return self._begun(outputs, cache, inputs)

    def _new_cache(self, inputs: Mapping[str, Tensor]) -> Any:
        return make_cache(self._writer, self.config, room_of(self._writer, self.config, inputs))

    def _given(self, inputs: Mapping[str, Tensor], cache: Any) -> dict[str, Any]:
        given = dict(inputs)
        mask = given.pop("attention_mask", None)
        if mask is not None and self._takes_mask:
            given["attention_mask"] = self._masking(mask, cache)
        return {**given, "use_cache": True, **self._last_logits}

    def _begun(self, outputs: Any, cache: Any, inputs: Mapping[str, Tensor]) -> Generation:
        mask, length = inputs.get("attention_mask"), inputs["input_ids"].shape[1]
        seen = seen_again(self._writer, outputs, inputs)
        return self._chosen(
            outputs, Generation(self._kept(outputs, cache), None, mask, seen), length
        )

    def _prefill_looking(self, inputs: Mapping[str, Tensor], cache: Any) -> Generation:
        given = dict(inputs)
        encoded = look(self.model, given.pop("pixel_values"))
        outputs = self._writer(
            **self._given(given, cache), **{self._cache_name: cache}, encoder_hidden_states=encoded
        )
        generation = self._begun(outputs, cache, given)
        generation.encoded = {"encoder_hidden_states": encoded}
        return generation

    def _prefill_decoder(self, inputs: Mapping[str, Tensor], cache: Any) -> Generation:
        encoded = self.model.get_encoder()(**inputs)
        mask = inputs.get("attention_mask")
        some = next(iter(inputs.values()))
        start = torch.full((some.shape[0], 1), _first_token(self.model.config), device=some.device)
        given = {"decoder_input_ids": start, "encoder_outputs": encoded}
        masked = {} if mask is None else {"attention_mask": mask}
        outputs = self.model(**given, **masked, **self._with(cache))
        generation = Generation(self._kept(outputs, cache), None, mask, encoded)
        return self._chosen(outputs, generation, 1)

    def _masking(self, mask: Tensor, cache: Any) -> Tensor:
        """Return a mask of what is read, as long as the keys where a model's code needs that."""
        if self._pads_mask and self.config.cache is CacheKind.STATIC:
            return functional.pad(mask, (0, cache.get_max_length() - mask.shape[-1]))
        return mask

    def _with(self, cache: Any) -> dict[str, Any]:
        return {self._cache_name: cache, "use_cache": True}

    def _kept(self, outputs: Any, cache: Any) -> Any:
        """Return the cache after a pass; some models hand back another one than they are given."""
        kept = getattr(outputs, self._cache_name, None)
        return cache if kept is None else kept

    def _chosen(self, outputs: Any, generation: Generation, length: int) -> Generation:
        logits = outputs.logits[:, -1, :].to(torch.float32, copy=True)
        generation.token = self._choose(logits)
        generation.length = length + 1
        if generation.mask is not None and not self.model.config.is_encoder_decoder:
            more = generation.mask.new_ones((generation.mask.shape[0], 1))
            generation.mask = torch.cat([generation.mask, more], dim=-1)
        return generation


def likeliest(logits: Tensor) -> Tensor:
    """Return the likeliest token of each sequence, (batch_size, 1)."""
    return logits.argmax(dim=-1, keepdim=True)


def sampled(temperature: float, generator: torch.Generator | None = None) -> Choose:
    """Return what draws tokens by their probabilities at a temperature.

    One of 0, or too small for a number in fp32, takes the likeliest.
    """
    if takes_likeliest(temperature):
        return likeliest

    def draw(logits: Tensor) -> Tensor:
        # Of logits that are no numbers any token is drawn: a device would break at their shares.
        shares = shares_at(logits, temperature).nan_to_num_(nan=1.0)
        return torch.multinomial(shares, 1, generator=generator)

    return draw


def takes_likeliest(temperature: float) -> bool:
    """Return whether nothing is drawn at a temperature: in fp32 it would be divided by 0."""
    return temperature < torch.finfo(torch.float32).tiny


def shares_at(logits: Tensor, temperature: float) -> Tensor:
    """Return the probabilities of tokens at a temperature, from logits in fp32.

    The largest is 0 before it is divided, so that no quotient is beyond what fp32 holds.
    """
    largest = logits.amax(dim=-1, keepdim=True)
    return torch.softmax((logits - largest).div_(temperature), dim=-1)


def _first_token(hf_config: Any) -> int:
    """Return the token with which a decoder begins."""
    for name in ("decoder_start_token_id", "bos_token_id", "pad_token_id"):
        found = getattr(hf_config, name, None)
        if found is not None:
            return int(found)
    return 0
