"""Follows the values of tensors without data, where they follow from the model's code alone.

What operations make of known values (`known_values.py`) is computed for real, beside the run
without data. Small tensors of random numbers are drawn for real too, from numbers of the
simulation's own. What is chosen among unknown values (`topk`, `argmax`) is given definite
positions, each as often as any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from memorymark.memory.storage import storage_key
from memorymark.memory.torch_parts import is_mutable, tree_map
from memorymark.simulator.tensors.computed_values import (
    ComputedValues,
    attempt,
    is_meta,
    on_host,
)
from memorymark.simulator.tensors.effects import (
    Effect,
    adds_up,
    answer_if_finite,
    draws_by_shape,
    effect_of,
    fill_value,
    spreads_uniform,
)
from memorymark.simulator.tensors.known_values import (
    as_python,
    is_small,
    is_whole,
)
from memorymark.simulator.torch_compat import schema_of

# Where every simulation's random numbers start.
_SEED = torch.Generator().manual_seed(0)


class Values(ComputedValues):
    """Keeps what is known of tensors without data, and follows it through operations."""

    def __init__(self) -> None:
        super().__init__()
        # By identity: torch's operations take long to hash. Each is held, so none is mistaken.
        self._effects: dict[int, tuple[Effect, bool, Any]] = {}
        self._random_state = _SEED.get_state()
        self.on_choice: Callable[[Any], None] = lambda func: None
        self.on_finite: Callable[[], None] = lambda: None

    def begin(
        self,
        on_choice: Callable[[Any], None],
        on_finite: Callable[[], None],
        *,
        keeps_values: bool = False,
    ) -> None:
        """Begin a simulation.

        Args:
            on_choice: Called where positions are chosen among unknown values.
            on_finite: Called where unknown values are taken as finite.
            keeps_values: Whether as much is kept of all values as of data.
        """
        self.on_choice = on_choice
        self.on_finite = on_finite
        self._keeps_values = keeps_values
        self._random_state = _SEED.get_state()

    def note(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """Follow values through an operation that has run without data."""
        found = self._effects.get(id(func))
        if found is None:
            found = self._effects[id(func)] = effect_of(func), is_mutable(func), func
        effect, mutable, _ = found
        if effect is Effect.NONE:
            return
        if effect is Effect.FOLLOW:
            if self._concerns(args, mutable):
                self._follow(func, args, kwargs, output, mutable)
            elif (answer := answer_if_finite(func, args)) is not None and is_meta(output):
                self.on_finite()
                self.set_uniform(output, answer)
        elif effect in (Effect.DRAW, Effect.CHOOSE):
            with self._random():
                self._note_random(effect, func, args, kwargs, output, mutable)
        else:
            self._note_writing(effect, func, args, kwargs, output)

    def _note_random(
        self, effect: Effect, func: Any, args: Any, kwargs: Any, output: Any, mutable: bool
    ) -> None:
        if effect is Effect.DRAW:
            self._draw(func, args, kwargs, output, mutable)
        elif self._concerns(args, mutable):
            self._compute(func, args, kwargs, output)
        else:
            self._choose(func, args, kwargs, output)

    def _note_writing(
        self, effect: Effect, func: Any, args: tuple[Any, ...], kwargs: Any, output: Any
    ) -> None:
        if effect is Effect.OVERWRITE:
            self._overwrite(func, args, kwargs)
        elif effect is Effect.FILL:
            self._fill(func, args, output)
        elif effect is Effect.MAKE:
            self._compute(func, args, kwargs, output)
        elif effect is Effect.FORGET:
            self._forget_all(args)

    def _concerns(self, args: tuple[Any, ...], mutable: bool) -> bool:
        """Return whether values are known of all inputs, or of one that may be written to."""
        found = False
        for x in args:
            if isinstance(x, Tensor):
                known = not x.is_meta or storage_key(x) in self._known
            elif isinstance(x, list | tuple) and any(isinstance(each, Tensor) for each in x):
                known = self._concerns(x, mutable)
            else:
                continue
            if known:
                found = True
            elif not mutable:
                return False
        return found

    def _follow(
        self, func: Any, args: tuple[Any, ...], kwargs: Any, output: Any, mutable: bool
    ) -> None:
        if mutable:
            self._follow_in_place(func, args, kwargs)
        elif isinstance(output, Tensor) and output.is_meta:
            value = self._uniform_result(func, args, kwargs)
            if value is None and spreads_uniform(func):
                value = self.uniform(args[0])
            if value is None and adds_up(func):
                value = self._uniform_sum(args[0], output)
            if value is None:
                self._compute(func, args, kwargs, output)
            else:
                self.set_uniform(output, value)
        elif isinstance(output, tuple | list):
            self._compute(func, args, kwargs, output)

    def _follow_in_place(self, func: Any, args: tuple[Any, ...], kwargs: Any) -> None:
        target = args[0]
        if not isinstance(target, Tensor):
            self._forget_all(args)
            return
        value = self._uniform_result(func, args, kwargs) if is_whole(target) else None
        if value is not None:
            self.set_uniform(target, value)
        elif self.table_of(target) is not None:
            self._write_view(func, args, kwargs)
        elif not (self.spread(target) and self._run(func, args, kwargs) is not None):
            self.forget(target)

    def _write_view(self, func: Any, args: tuple[Any, ...], kwargs: Any) -> None:
        """Know, of a table that is written to, no more than the view that was written."""
        values = self._run(func, args, kwargs)
        self.forget(args[0])
        if isinstance(values, Tensor):
            self.set_table(args[0], values)

    def _overwrite(self, func: Any, args: tuple[Any, ...], kwargs: Any) -> None:
        target, source = args[0], args[1] if len(args) > 1 else 0
        if not is_meta(target):
            return
        if not is_whole(target):
            self._follow_in_place(func, args, kwargs)
            return
        value = self.uniform(source) if isinstance(source, Tensor) else source
        copy = self.copy_of(source) if isinstance(source, Tensor) else None
        self.forget(target)
        if isinstance(value, bool | int | float):
            self.set_uniform(target, as_python(target.dtype, value))
        elif copy is not None:
            self.set_copy(target, copy.expand(target.shape), is_data=self.is_data(source))

    def _draw(
        self, func: Any, args: tuple[Any, ...], kwargs: Any, output: Any, mutable: bool
    ) -> None:
        """Draw the random numbers of a small tensor."""
        target = args[0] if mutable else output
        if not is_meta(target):
            return
        if mutable and not is_whole(target):
            self._follow_in_place(func, args, kwargs)
            return
        self.forget(target)
        if not is_small(target, is_data=True):
            return
        if draws_by_shape(func):
            args, kwargs = tree_map(_memory_like, (args, on_host(kwargs)))
            values = attempt(func, args, kwargs)
        else:
            values = self._run(func, args, kwargs)
        if isinstance(values, Tensor):
            self.set_copy(target, values, is_data=True)

    def _choose(self, func: Any, args: tuple[Any, ...], kwargs: Any, output: Any) -> None:
        """Choose among unknown values so that every position is chosen equally often."""
        chosen = output[-1] if isinstance(output, tuple | list) else output
        among, dim = args[0], _dimension(func, args, kwargs)
        if dim is None or not among.dim() or not is_meta(chosen) or not is_small(chosen, True):
            return
        count = among.size(dim)
        if not count or not chosen.numel():
            return
        each = chosen.size(dim) if chosen.dim() == among.dim() else 1
        rows = chosen.movedim(dim, -1).shape if each > 1 else chosen.shape
        positions = (torch.arange(chosen.numel()) % count).view(rows)
        if count == each:  # all of them, in some order: nothing is chosen
            positions = torch.arange(count).expand(rows)
        else:
            self.on_choice(func)
        positions = positions.movedim(-1, dim) if each > 1 else positions
        self.set_copy(chosen, positions, is_data=True)

    @contextmanager
    def _random(self) -> Iterator[None]:
        """Draw from the simulation's own random numbers; those of the process stay as they are."""
        before = torch.get_rng_state()
        torch.set_rng_state(self._random_state)
        try:
            yield
        finally:
            self._random_state = torch.get_rng_state()
            torch.set_rng_state(before)

    def _fill(self, func: Any, args: tuple[Any, ...], output: Tensor) -> None:
        value = fill_value(func, args)
        if output.is_meta and isinstance(value, bool | int | float):
            self.set_uniform(output, as_python(output.dtype, value))

    def _forget_all(self, args: tuple[Any, ...]) -> None:
        for x in args:
            for tensor in x if isinstance(x, list | tuple) else (x,):
                if is_meta(tensor):
                    self.forget(tensor)


def _memory_like(x: Any) -> Any:
    return torch.empty(x.shape, dtype=x.dtype) if isinstance(x, Tensor) else x


def _dimension(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int | None:
    """Return the dimension along which positions are chosen, None for all at once."""
    name = schema_of(func).name
    if name == "aten::multinomial":
        return -1
    position = 2 if name == "aten::topk" else 1
    default = None if name.startswith("aten::arg") else -1
    return args[position] if len(args) > position else kwargs.get("dim", default)
