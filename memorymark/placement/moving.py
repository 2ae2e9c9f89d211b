"""Moves models between the host, devices and memory without data, ties and hooks kept.

`nn.Module.to` makes a new parameter for every entry where the two sides cannot share one, as with
tensors without data: tied weights come apart, and hooks stay on the old ones. Here the tensors
stay the objects that they are and take new storages, one for each storage of before.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

from memorymark.memory.storage import storage_of
from memorymark.memory.torch_parts import key_of, take_hooks

FILLED = (
    "The model was made without data: its parameters were given memory and random values by "
    "MemoryMark, in modules without reset_parameters() by no rule of the model's own."
)
# Small, so that sums over thousands of features stay finite.
_STANDARD_DEVIATION = 0.02


class Twins:
    """Gives each storage one counterpart on a device.

    Attributes:
        device: Where the counterparts are.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._storages: dict[int, tuple[weakref.ref[object], torch.UntypedStorage]] = {}

    def of(self, tensor: Tensor) -> Tensor:
        """Return a tensor like this one on the device; shared storages stay shared."""
        storage = storage_of(tensor)
        if storage is None or type(tensor) not in (Tensor, nn.Parameter, nn.Buffer):
            return tensor.detach().to(self.device)
        twin = torch.empty(0, dtype=tensor.dtype, device=self.device)
        return twin.set_(
            self._storage(storage), tensor.storage_offset(), tensor.shape, tensor.stride()
        )

    def _storage(self, storage: torch.UntypedStorage) -> torch.UntypedStorage:
        key = key_of(storage)
        if key not in self._storages:
            twin = self.make(storage)
            gone = weakref.ref(storage, lambda _: self._storages.pop(key, None))
            self._storages[key] = (gone, twin)
        return self._storages[key][1]

    def make(self, storage: torch.UntypedStorage) -> torch.UntypedStorage:
        """Return a new counterpart of a storage."""
        return torch.UntypedStorage(storage.nbytes(), device=self.device)


def move_tensors(tensors: Iterable[Tensor], twins: Twins, owner: nn.Module | None = None) -> None:
    """Let tensors that are elsewhere take storages on the device; they stay the same objects.

    Args:
        tensors: What is moved; the same tensor may come more than once.
        twins: The storages to take.
        owner: The module in whose parts a tensor is replaced that cannot stay the same object.
    """
    for tensor in {id(tensor): tensor for tensor in tensors}.values():
        if tensor.device.type != twins.device.type and (tensor.is_leaf or not tensor.requires_grad):
            _move(tensor, twins, owner)


def _move(tensor: Tensor, twins: Twins, owner: nn.Module | None) -> None:
    gradient, tensor.grad = tensor.grad, None
    put_hooks = take_hooks(tensor)
    with torch.no_grad():
        twin = twins.of(tensor)
        if isinstance(tensor, nn.Parameter):
            twin = nn.Parameter(twin, tensor.requires_grad)
        else:
            twin.requires_grad_(tensor.requires_grad)
        stays = id(tensor) in _staying.get()
        swapped = not stays and _swapped(tensor, twin)
        moved = tensor if swapped else _replace(tensor, twin, owner)
    put_hooks(moved)
    if stays:
        put_hooks(tensor)
    if gradient is not None:
        moved.grad = twins.of(gradient)
    keeper = _moved.get()
    if keeper is not None and moved is tensor and not twin.is_meta:
        keeper.note_tensor(tensor, twin)


def _swapped(tensor: Tensor, twin: Tensor) -> bool:
    kind = type(tensor)
    try:
        torch.utils.swap_tensors(tensor, twin)
    except RuntimeError:  # somebody holds a weak reference, or a graph over it
        return False
    tensor.__dict__.update(twin.__dict__)  # the user's own attributes were swapped too
    if type(tensor) is nn.Parameter is not kind and issubclass(kind, nn.Parameter):
        tensor.__class__ = kind
    return True


def _replace(tensor: Tensor, twin: Tensor, owner: nn.Module | None) -> Tensor:
    twin.__dict__.update(tensor.__dict__)
    for part in owner.modules() if owner is not None else ():
        for table in (part._parameters, part._buffers, vars(part)):
            for name, value in list(table.items()):
                if value is tensor:
                    table[name] = twin
    return twin


_staying: ContextVar[frozenset[int]] = ContextVar("tensors that stay", default=frozenset())


@contextmanager
def staying() -> Iterator[None]:
    """Forget at the end which tensors stay."""
    outer = _staying.set(_staying.get())
    try:
        yield
    finally:
        _staying.reset(outer)


def let_stay(tensors: Iterable[Tensor]) -> None:
    """Leave tensors that somebody else uses where they are: a module gets others in their place."""
    _staying.set(_staying.get().union(map(id, tensors)))


@contextmanager
def on_host_afterwards() -> Iterator[None]:
    """Give what was moved from the host to memory without data its data back at the end.

    A model that the user goes on to use is then as it was; one that is gone costs nothing.
    """
    outer = _moved.set(moved := _Moved())
    try:
        yield
    finally:
        _moved.reset(outer)
        moved.restore()


class _Moved:
    """Tensors of the host that have no data now, and modes of modules, as long as they live."""

    def __init__(self) -> None:
        self._tensors: dict[int, tuple[weakref.ref[Tensor], Tensor]] = {}
        self._modes: dict[int, tuple[weakref.ref[nn.Module], bool]] = {}

    def note_tensor(self, tensor: Tensor, with_data: Tensor) -> None:
        key = id(tensor)
        gone = weakref.ref(tensor, lambda _: self._tensors.pop(key, None))
        self._tensors.setdefault(key, (gone, with_data))

    def note_modes(self, module: nn.Module) -> None:
        for part in module.modules():
            self._modes.setdefault(id(part), (weakref.ref(part), part.training))

    def restore(self) -> None:
        tensors = [(reference(), data) for reference, data in self._tensors.values()]
        self._tensors.clear()  # with weak references to it, a tensor cannot be swapped
        for tensor, data in tensors:
            if tensor is not None and tensor.device != data.device:
                tensor.grad = None
                put_hooks = take_hooks(tensor)
                _swapped(tensor, data)
                put_hooks(tensor)
        for reference, mode in self._modes.values():
            part = reference()
            if part is not None:
                part.training = mode


_moved: ContextVar[_Moved | None] = ContextVar("moved from the host", default=None)


def note_modes(module: nn.Module) -> None:
    """Remember which parts of a module are in training mode, until `on_host_afterwards` ends."""
    moved = _moved.get()
    if moved is not None:
        moved.note_modes(module)


def move_module(
    module: nn.Module,
    device: torch.device,
    twins: Twins | None = None,
    *,
    attributes: bool = True,
) -> bool:
    """Move a module's tensors to a device, ties and hooks kept.

    Args:
        module: The module.
        device: Where its tensors are afterwards.
        twins: Storages without data to take.
        attributes: Whether tensors that are plain attributes are moved to a device without
            data. A library's model that keeps some on the host does so on purpose.

    Returns:
        Whether parameters without data were given data.
    """
    tensors = list(tensors_of(module, attributes=attributes))
    if device.type == "meta":
        move_tensors(tensors, twins or Twins(device), module)
        return False
    empty = any(tensor.is_meta for tensor in tensors)
    if empty:
        without = [tensor for tensor in tensors if tensor.is_meta]
        move_tensors(without, Twins(device), module)
        _fill(module, {id(tensor) for tensor in without})
    module.to(device)
    return empty


def tensors_of(module: nn.Module, *, attributes: bool = True) -> Iterator[Tensor]:
    """Yield parameters, buffers, and tensors that are plain attributes of a module's parts."""
    yield from module.parameters()
    yield from module.buffers()
    if not attributes:
        return
    for part in module.modules():
        for value in vars(part).values():
            yield from _tensors_in(value)


def _tensors_in(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        yield from (each for each in value if isinstance(each, Tensor))
    elif isinstance(value, dict):
        yield from (each for each in value.values() if isinstance(each, Tensor))


@torch.no_grad()
def _fill(module: nn.Module, without: set[int]) -> None:
    """Give values to tensors that have memory only: plain ones, then the modules' own."""
    for parameter in module.parameters():
        if id(parameter) in without and parameter.is_floating_point():
            parameter.normal_(0.0, _STANDARD_DEVIATION)
    for tensor in tensors_of(module):
        if id(tensor) in without and not isinstance(tensor, nn.Parameter):
            # As a mask, ones hide nothing; as an index, zero is always there.
            whole = not (tensor.is_floating_point() or tensor.dtype is torch.bool)
            tensor.fill_(0 if whole else 1)
    for part in module.modules():
        own = [*part.parameters(recurse=False), *part.buffers(recurse=False)]
        reset = getattr(part, "reset_parameters", None)
        if callable(reset) and own and all(id(tensor) in without for tensor in own):
            _reset(reset)


def _reset(reset: object) -> None:
    try:
        reset()  # type: ignore[operator]
    except Exception:  # the user's own code does not run now; the plain values stay
        return
