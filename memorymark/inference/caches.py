"""Transformers' caches of keys and values: made, counted, and looked into.

What a cache holds is found by walking it, so that caches of every kind are alike here: those
that grow, those of a fixed length, sliding windows, the states of state-space layers, and the
two caches of an encoder and its decoder.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn
from transformers import PretrainedConfig, cache_utils

from memorymark.errors import MissingPackage, UnsupportedOperation, quoted
from memorymark.memory.storage import storage_key
from memorymark.records.serving_config import CacheKind, ServingConfig

# The names under which models take their cache, the usual one first.
_NAMES = ("past_key_values", "cache_params", "state")
# Of them, those whose form is the model's own: it makes an empty one where it is given none.
MADE_BY_THE_MODEL = ("state",)
# Attributes of layers that hold the state of the one text that the model reads (RecurrentGemma).
_KEPT_INSIDE = {"recurrent_states", "conv1d_state"}
_BACKENDS = ("quanto", "hqq")
_NO_PARTS = (nn.Module, PretrainedConfig, type)


class Slot(NamedTuple):
    """A place in a cache that holds a tensor.

    Attributes:
        holder: The object or container that holds it.
        key: Name of its attribute, or its key.
    """

    holder: Any
    key: Any

    @property
    def tensor(self) -> Tensor:
        """What it holds."""
        return self.holder[self.key] if _is_container(self.holder) else vars(self.holder)[self.key]

    def put(self, value: Any) -> None:
        """Let it hold something else."""
        if _is_container(self.holder):
            self.holder[self.key] = value
        else:
            setattr(self.holder, self.key, value)


def cache_name(model: nn.Module) -> str:
    """Return the name of the argument by which a model takes its cache.

    Raises:
        UnsupportedOperation: It takes none.
    """
    found = _taken_as(model)
    if found is None:
        raise UnsupportedOperation(
            f"{quoted(type(model).__name__)} keeps no cache of the tokens so far, so that it "
            "cannot generate. Give a model with a language model's head."
        )
    if any(_KEPT_INSIDE & vars(part).keys() for part in model.modules()):
        raise UnsupportedOperation(
            f"{quoted(type(model).__name__)} keeps what it has read in its own layers and not in a "
            "cache, so that its sessions would mix. Give a model that is given its cache."
        )
    return found


def takes_cache(model: nn.Module) -> bool:
    """Return whether a model's own forward pass takes a cache, and not that of a part alone."""
    return _taken_as(model) is not None


def _taken_as(model: nn.Module) -> str | None:
    taken = inspect.signature(model.forward).parameters
    return next((name for name in _NAMES if name in taken), None)


def room_of(model: nn.Module, config: ServingConfig, inputs: Mapping[str, Any]) -> int:
    """Return how many tokens a session may come to have in a cache of a fixed length.

    A decoder beside an encoder begins with a token of its own. The tokens of an image stand in the
    text, or before it (GIT), and come on top of its context.
    """
    if model.config.is_encoder_decoder:
        return 1 + config.output_tokens
    ids = inputs.get("input_ids")
    read = 1 if ids is None else ids.shape[1]
    before = _image_tokens_before(model) if "pixel_values" in inputs else 0
    return before + max(config.context_tokens, read + config.output_tokens)


def _image_tokens_before(model: nn.Module) -> int:
    """Return how many tokens of images a model puts before its text, as modeling_git.py does."""
    counts = (getattr(part, "image_patch_tokens", 0) for part in model.modules())
    return next(filter(None, counts), 0)


def make_cache(model: nn.Module, config: ServingConfig, room: int | None = None) -> Any:
    """Return an empty cache for one session of a model; None where the model makes it itself.

    Args:
        model: The model, or the part of it that writes.
        config: How it generates.
        room: Tokens that a cache of a fixed length has room for; None takes the context.

    Raises:
        MissingPackage: The kind of cache needs a package that is not installed.
        UnsupportedOperation: The model has no cache of the kind.
    """
    hf_config = model.config
    if config.cache is CacheKind.OFFLOADED:
        _check_offloading(model)
    if cache_name(model) in MADE_BY_THE_MODEL:
        return None
    try:
        cache = _maker_of(config.cache, model)(hf_config, room or config.context_tokens)
        if hf_config.is_encoder_decoder:
            crossed = cache_utils.DynamicCache(config=hf_config)
            return cache_utils.EncoderDecoderCache(cache, crossed)
        return cache
    except ImportError as error:
        raise MissingPackage("optimum-quanto", "The quantized cache") from error
    except (ValueError, AttributeError) as error:
        if config.cache is CacheKind.DYNAMIC:
            return None  # its configuration does not say its layers: its code knows them
        raise UnsupportedOperation(
            f"{quoted(type(model).__name__)} takes no {config.cache} cache: {error}"
        ) from error


def _check_offloading(model: nn.Module) -> None:
    """Refuse where nothing is offloaded: transformers does that by CUDA's streams alone."""
    device = next((each.device.type for each in model.parameters()), "cuda")
    if device == "cuda":
        return
    where = "in a simulation" if device == "meta" else f"on the device {device}"
    raise UnsupportedOperation(
        f"An offloaded cache is not to be had {where}: transformers moves its layers to the host "
        "by CUDA's streams, which is measured on a CUDA device alone and not simulated. Take the "
        f"cache {CacheKind.DYNAMIC}, or let sessions swap (--policy swap)."
    )


def slots(cache: Any) -> Iterator[Slot]:
    """Yield the places of a cache that hold tensors, each tensor's first place alone."""
    if cache is not None:
        yield from _walk(cache, set())


def held_bytes(cache: Any) -> int:
    """Return the bytes of a cache's tensors; storages that several share count once."""
    return stored_bytes(slots(cache))


def stored_bytes(places: Iterable[Slot]) -> int:
    """Return the bytes of the storages of tensors in some places; each counts once."""
    tensors = [slot.tensor for slot in places]
    sizes = {storage_key(tensor): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(sizes.values())


def _walk(holder: Any, met: set[int]) -> Iterator[Slot]:
    if id(holder) in met:
        return
    met.add(id(holder))
    for key, value in _items(holder):
        if isinstance(value, Tensor):
            if id(value) not in met:
                met.add(id(value))
                yield Slot(holder, key)
        elif _is_container(value) or _is_of_a_cache(value):
            yield from _walk(value, met)


def _items(holder: Any) -> list[tuple[Any, Any]]:
    if isinstance(holder, dict):
        return list(holder.items())
    if isinstance(holder, list):
        return list(enumerate(holder))
    return list(vars(holder).items())


def _is_container(value: Any) -> bool:
    return isinstance(value, dict | list)


def _is_of_a_cache(value: Any) -> bool:
    """Whether an object is a part of a cache: transformers has no class that all of them share."""
    is_theirs = type(value).__module__.startswith(("transformers.", "memorymark.inference."))
    return is_theirs and hasattr(value, "__dict__") and not isinstance(value, _NO_PARTS)


def _dynamic(hf_config: Any, room: int) -> Any:
    return cache_utils.DynamicCache(config=hf_config)


def _static(hf_config: Any, room: int) -> Any:
    return cache_utils.StaticCache(config=hf_config, max_cache_len=room)


def _offloaded(hf_config: Any, room: int) -> Any:
    return cache_utils.DynamicCache(config=hf_config, offloading=True)


def _quantized(hf_config: Any, room: int) -> Any:
    error: ImportError | None = None
    for backend in _BACKENDS:
        try:
            return cache_utils.QuantizedCache(backend, hf_config)
        except ImportError as missing:
            error = error or missing
    assert error is not None
    raise error


def _packed(hf_config: Any, room: int) -> Any:
    from memorymark.inference.quantized_cache import packed_cache  # older versions cannot import it

    return packed_cache(hf_config)


def _maker_of(kind: CacheKind, model: nn.Module) -> Callable[[Any, int], Any]:
    """Return what makes caches of a kind; without data a package's rules stand for the package."""
    is_meta = next((each.is_meta for each in model.parameters()), False)
    return _packed if kind is CacheKind.QUANTIZED and is_meta else _MAKERS[kind]


_MAKERS: dict[CacheKind, Callable[[Any, int], Any]] = {
    CacheKind.DYNAMIC: _dynamic,
    CacheKind.STATIC: _static,
    CacheKind.QUANTIZED: _quantized,
    CacheKind.OFFLOADED: _offloaded,
}
