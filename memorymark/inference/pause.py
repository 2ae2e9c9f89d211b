"""Pauses inside a model, before one of its layers, and goes on later.

The state of a pause is the hidden state and the caches so far: nothing else is kept on the
device. To go on, the model's own code runs again with the layers before the pause left out, so
that masks and positions are those of the first time, and the layer receives the hidden state
that was kept. What a pass computes before its layers, as the embeddings, is computed again.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from transformers import PretrainedConfig

from memorymark.errors import InvalidValue, UnsupportedOperation, quoted
from memorymark.inference.caches import MADE_BY_THE_MODEL, cache_name, takes_cache
from memorymark.inference.writers import writer_of

Steer = Callable[[Tensor], Tensor]


@dataclass
class Pause:
    """A pass through a model that waits before a layer.

    Attributes:
        layer: Number of the layer, from 0.
        hidden: What goes into it, (batch_size, tokens, width). It may be read and changed.
    """

    layer: int
    hidden: Tensor
    _forms: list[Callable[[Tensor], Any]] = field(default_factory=list, repr=False)
    _before: list[Any] = field(default_factory=list, repr=False)

    def steer(self, change: Steer) -> None:
        """Let a function read the hidden state, and return what goes on in its place.

        Raises:
            InvalidValue: It returns something of another shape or format.
        """
        changed, hidden = change(self.hidden), self.hidden
        if not isinstance(changed, Tensor):
            raise InvalidValue("steered state", type(changed).__name__, "a tensor")
        if (changed.shape, changed.dtype) != (hidden.shape, hidden.dtype):
            given = f"{changed.dtype} of {tuple(changed.shape)}"
            accepted = f"{hidden.dtype} of {tuple(hidden.shape)}, as the function was given"
            raise InvalidValue("steered state", given, accepted)
        self.hidden = changed


class _Reached(BaseException):
    """The layer was reached; no code of a model's catches it."""


class Pausing:
    """Runs passes of a model that can be paused before a layer.

    Args:
        model: A decoder with a list of layers, and a cache of one layer for each.

    Raises:
        UnsupportedOperation: It has no such list or cache, an encoder beside it, or layers that
            need those before the pause.
    """

    def __init__(self, model: nn.Module) -> None:
        if writer_of(model) is not model and not takes_cache(model):
            raise UnsupportedOperation(
                f"{quoted(_name(model))} cannot be paused: its text is written by a part of its "
                "own. Leave the pause layer out (--pause-layer)."
            )
        self._model, self._cache_name = model, cache_name(model)
        if self._cache_name in MADE_BY_THE_MODEL:
            raise UnsupportedOperation(
                f"{quoted(_name(model))} keeps its state in a form of its own, so that it cannot "
                "be paused inside. Leave the pause layer out (--pause-layer)."
            )
        self._layers = layers_of(model)
        if getattr(model.config.get_text_config(decoder=True), "num_kv_shared_layers", 0):
            raise UnsupportedOperation(
                f"{quoted(_name(model))} has layers that take keys and values of earlier ones, so "
                "that it cannot be paused between them. Leave the pause layer out (--pause-layer)."
            )

    def run_until(self, layer: int, cache: Any, **inputs: Any) -> Pause:
        """Run the model up to a layer, which itself does not run.

        Args:
            layer: Number of the layer, from 0.
            cache: The session's cache; the layers before the pause have written to it.
            inputs: The other arguments of the model.

        Raises:
            InvalidValue: There is no such layer.
        """
        if not 0 <= layer < len(self._layers):
            accepted = f"a layer from 0 to {len(self._layers) - 1}"
            raise InvalidValue("pause layer", layer, accepted)
        found: list[Tensor] = []
        forms: list[Callable[[Tensor], Any]] = []
        before = [_AsBefore(each) for each in cache.layers[:layer]]

        def stop(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            found.append(args[0] if args else kwargs["hidden_states"])
            raise _Reached

        def keep_form(module: nn.Module, args: Any, output: Any) -> None:
            forms.append(_form_of(output))

        with ExitStack() as hooks:
            for each in self._layers[:layer]:
                hooks.callback(each.register_forward_hook(keep_form).remove)
            hook = self._layers[layer].register_forward_pre_hook(stop, with_kwargs=True)
            hooks.callback(hook.remove)
            try:
                self._model(**inputs, **{self._cache_name: cache})
            except _Reached:
                return Pause(layer, found[0], forms, before)
        raise UnsupportedOperation(f"Layer {layer} of {quoted(_name(self._model))} did not run.")

    def resume(self, pause: Pause, cache: Any, **inputs: Any) -> Any:
        """Go on from a pause, with the arguments that it began with, and return the outputs."""
        with _left_out(self._layers, pause), _seen_as_before(cache, pause._before) as give_back:

            def enter(
                module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
            ) -> tuple[tuple[Any, ...], dict[str, Any]]:
                give_back()
                if args:
                    return (pause.hidden, *args[1:]), kwargs
                return args, {**kwargs, "hidden_states": pause.hidden}

            layer = self._layers[pause.layer]
            hook = layer.register_forward_pre_hook(enter, with_kwargs=True)
            try:
                return self._model(**inputs, **{self._cache_name: cache})
            finally:
                hook.remove()


def layers_of(model: nn.Module) -> nn.ModuleList:
    """Return the list of a decoder's layers, each of which takes a hidden state.

    Raises:
        UnsupportedOperation: There is no such list, or an encoder beside the decoder.
    """
    name = quoted(_name(model))
    if model.config.is_encoder_decoder:
        raise UnsupportedOperation(
            f"{name} has an encoder and a decoder; pausing is for decoders alone."
        )
    text = model.config.get_text_config(decoder=True)
    others = set(_beside_the_text(model, text))
    for module in model.modules():
        is_list = isinstance(module, nn.ModuleList) and len(module) == text.num_hidden_layers
        if is_list and module not in others:
            return module
    raise UnsupportedOperation(
        f"{name} has no list of its {text.num_hidden_layers} layers, so it cannot pause."
    )


def _beside_the_text(model: nn.Module, text: PretrainedConfig) -> Iterator[nn.Module]:
    """Yield the modules of parts that read something else than text, as images."""
    for part in model.modules():
        config = getattr(part, "config", None)
        if isinstance(config, PretrainedConfig) and type(config) not in (
            type(text),
            type(model.config),
        ):
            yield from part.modules()


class _AsBefore:
    """A layer of a cache as it was before a pass: all that is asked for to make masks.

    Its keys, values and states are left out: the pass makes new ones, and these would live on.
    """

    def __init__(self, layer: Any) -> None:
        self._layer = copy.copy(layer)
        for name, value in vars(layer).items():
            setattr(self._layer, name, _without_states(value))
        if hasattr(layer, "get_seq_length"):
            length = _without_states(layer.get_seq_length())
            self._layer.get_seq_length = lambda: length

    @property
    def __class__(self) -> type:
        """What it stands for: caches ask with isinstance what a layer of theirs keeps."""
        return type(self._layer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)


def _without_states(value: Any) -> Any:
    """Return a copy of what a layer of a cache has, but for tensors that are no counters."""
    if isinstance(value, Tensor):
        return value.clone() if value.numel() == 1 else None
    if isinstance(value, dict):
        return {key: _without_states(each) for key, each in value.items()}
    return value


@contextmanager
def _seen_as_before(cache: Any, before: list[Any]) -> Iterator[Callable[[], None]]:
    """Show a cache as it was; call what is yielded to show it as it is."""
    layers = list(cache.layers)
    cache.layers[: len(before)] = before

    def give_back() -> None:
        cache.layers[: len(before)] = layers[: len(before)]

    try:
        yield give_back
    finally:
        give_back()


@contextmanager
def _left_out(layers: nn.ModuleList, pause: Pause) -> Iterator[None]:
    """Let the layers before a pause hand on what they are given."""
    with ExitStack() as stack:
        for layer, form in zip(layers[: pause.layer], pause._forms, strict=True):
            stack.callback(layer.__dict__.pop, "forward", None)
            layer.forward = _handing_on(form)
        yield


def _handing_on(form: Callable[[Tensor], Any]) -> Callable[..., Any]:
    def forward(*args: Any, **kwargs: Any) -> Any:
        return form(args[0] if args else kwargs["hidden_states"])

    return forward


def _form_of(output: Any) -> Callable[[Tensor], Any]:
    """Return what makes a layer's output of a hidden state: itself, or a tuple that begins so."""
    if isinstance(output, Tensor):
        return lambda hidden: hidden
    more = (None,) * (len(output) - 1)
    return lambda hidden: (hidden, *more)


def _name(model: nn.Module) -> str:
    return type(model).__name__
