"""The simulated device: runs operations on tensors without data and counts what CUDA would."""

from __future__ import annotations

from typing import Any

import torch

from memorymark.bounds import Meter, new_meter
from memorymark.errors import UnsupportedOperation
from memorymark.memory.trace import BACKWARD, OPTIMIZER, STEP
from memorymark.memory.tracker import MemoryTracker
from memorymark.simulator.cuda import recurrent_buffers, scratch
from memorymark.simulator.cuda.convolutions import Convolutions, in_cudnn_order, is_convolution
from memorymark.simulator.micro_batches import repeat_micro_batch
from memorymark.simulator.session import Session
from memorymark.simulator.source_lines import running_line
from memorymark.simulator.tensors.answers import NOT_A_QUESTION, Answers, is_question
from memorymark.simulator.tensors.cpu_outputs import cpu_rule_for
from memorymark.simulator.tensors.outputs import rule_for, sparse_rule_for
from memorymark.simulator.tensors.shapes import Recipe, ShapeCache
from memorymark.simulator.time.kernels import Work
from memorymark.simulator.time.works import work_of
from memorymark.simulator.torch_compat import operations

_COPIES = operations("_to_copy")
_FUSED_OPTIMIZERS = operations("_fused_adam_", "_fused_adamw_", "_fused_sgd_", "_fused_adagrad_")

_NO_KERNELS = Work(())


class _Traits:
    """What the device has to do for an operation, looked up once for all of its calls."""

    __slots__ = (
        "asks", "func", "is_convolution", "is_fused_optimizer", "is_recurrent", "is_view",
        "may_stay", "rule", "sparse_rule", "takes_scratch", "uses_cublas",
    )  # fmt: skip

    def __init__(self, func: Any, is_cuda: bool) -> None:
        self.func = func  # held, since operations are told apart by identity
        self.asks = is_question(func)
        self.is_fused_optimizer = func in _FUSED_OPTIMIZERS
        self.is_convolution = is_convolution(func)
        self.is_recurrent = func is recurrent_buffers.CUDNN
        own = None if is_cuda else cpu_rule_for(func)
        self.rule = own or rule_for(func) or recurrent_buffers.OUTPUTS.get(func)
        self.sparse_rule = sparse_rule_for(func)
        self.uses_cublas = scratch.uses_cublas(func)
        self.may_stay = not is_cuda and func in _COPIES
        takes = self.uses_cublas or self.is_recurrent or scratch.is_transient(func)
        self.takes_scratch = is_cuda and takes
        self.is_view = func.is_view and self.rule is None and not self.asks


class SimulatedDevice(MemoryTracker):
    """Follows storages on meta tensors and adds what a device's libraries take.

    Args:
        session: The rules, and where assumptions are noted.
        shapes: Remembers what calls gave, over as many simulations as it is kept for.
        timed_step: Number of the step whose operations are counted for their time, from 1.
        meter: Counts the operations, and ends the simulation where it must.
        keeps_values: Whether larger tensors' values are kept too, as the user's code may ask
            for them.
        more_micro_batches: How many of each step are copies of the last that runs.
        counts_all: Whether views and all else that runs no kernel count among the works, too: the
            host does them.

    Attributes:
        count_operation: Called with each operation; ends the simulation where it must.
        convolutions: The kernels of the convolutions, whose workspaces are not in the trace.
        works: What each operation of the timed step does.
        work_marks: (phase, number of works before it) for each phase of that step.
    """

    def __init__(
        self,
        session: Session,
        shapes: ShapeCache,
        timed_step: int | None = None,
        *,
        meter: Meter | None = None,
        keeps_values: bool = False,
        more_micro_batches: int = 0,
        counts_all: bool = False,
    ) -> None:
        # Counters that optimizers keep on the host are device memory where the device is the host.
        super().__init__("meta", *(() if session.rules.is_cuda else ("cpu",)))
        self.convolutions = Convolutions(session.rules)
        self.works: list[Work] = []
        self.work_marks: list[tuple[str, int]] = []
        self.count_operation = (meter or new_meter("The simulation")).operation
        self._session = session
        self._shapes = shapes
        self._answers = Answers(session, keeps_values=keeps_values)
        self._timed_step = timed_step
        self._more_micro_batches = more_micro_batches
        self._counts_all = counts_all
        self._step = 0
        self._handles: set[bool] = set()
        self._has_dropout_state = False
        self._traits: dict[int, _Traits] = {}

    def handle(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the operation without data and note what it would allocate on the device."""
        self.count_operation()
        traits = self._traits.get(id(func)) or self._learn(func)
        if traits.is_view:  # takes no time and makes no values, as half of all operations do
            return self._view(traits, func, args, kwargs)
        output, recipe = NOT_A_QUESTION, None
        if traits.asks:
            output = self._answers.answer(func, args, kwargs)
        if output is NOT_A_QUESTION:
            output, recipe = self._call(traits, func, args, kwargs)
            output = self._note_output(traits, func, args, output, recipe)
            if traits.takes_scratch:
                self._borrow_scratch(traits, func, args)
            self._answers.note(func, args, kwargs, output)
        else:
            self.see(output, func)
        if self._step == self._timed_step:
            self._count(func, args, output, recipe)
        return output

    def _note_output(
        self, traits: _Traits, func: Any, args: tuple[Any, ...], output: Any, recipe: Recipe | None
    ) -> Any:
        if traits.is_convolution:
            output = in_cudnn_order(func, args, output, self._session.rules)
            self._see_convolution(func, args, output)
        elif traits.may_stay and _is_moved(args[0], output):
            self.see(args[0], func)
            self.share(args[0], output)  # where the device is the host, it is no copy
            self.see(output, func)
        elif recipe is not None and recipe.kind is None:
            self.follow_new(output, func)
        else:
            self.see(output, func)
        return output

    def _view(
        self, traits: _Traits, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        output, _ = self._call(traits, func, args, kwargs)
        self.see(output, func)
        if self._counts_all:
            self.works.append(_NO_KERNELS)
        return output

    def begin_phase(self, phase: str) -> None:
        """Note that a phase of the step begins."""
        self._step += phase == STEP
        if self._step == self._timed_step:
            self.work_marks.append((phase, len(self.works)))
        if phase == OPTIMIZER and self._more_micro_batches:
            kernels = self.convolutions.kernels
            repeat_micro_batch(self.trace, self._live, kernels, self._more_micro_batches)
        super().begin_phase(phase)

    def _learn(self, func: Any) -> _Traits:
        traits = self._traits[id(func)] = _Traits(func, self._session.rules.is_cuda)
        return traits

    def _count(self, func: Any, args: tuple[Any, ...], output: Any, recipe: Recipe | None) -> None:
        work = None if recipe is None else recipe.work
        if work is None:
            work = work_of(func, args, output)
            if recipe is not None:
                recipe.work = work
        if work is not None or self._counts_all:
            self.works.append(work or _NO_KERNELS)

    def _call(
        self, traits: _Traits, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, Recipe | None]:
        if traits.is_fused_optimizer and args[0] and args[0][0].is_meta:
            return None, None  # they work in place, and PyTorch has no kernel without data
        try:
            if traits.rule is not None and args[0].is_meta:
                return traits.rule(*args, **kwargs), None
            if traits.sparse_rule is not None and args[0].layout is torch.sparse_coo:
                return traits.sparse_rule(*args, **kwargs), None
            if traits.is_view:
                return func(*args, **kwargs), None
            return self._shapes.call_with_recipe(func, args, kwargs)
        except NotImplementedError as error:
            raise UnsupportedOperation(self._refusal(func)) from error
        except RuntimeError as error:
            if all(x.layout is torch.strided for x in args if isinstance(x, torch.Tensor)):
                raise
            raise UnsupportedOperation(self._refusal(func)) from error

    def _refusal(self, func: Any) -> str:
        places = [f"in module {self._paths.current}" if self._paths.current else "", running_line()]
        place = ", ".join(filter(None, places))
        return (
            f"The operation {func}{f' ({place})' if place else ''} cannot be simulated: PyTorch "
            "has no rule for it without data. Measure it on a device instead."
        )

    def _borrow_scratch(self, traits: _Traits, func: Any, args: tuple[Any, ...]) -> None:
        if traits.uses_cublas:
            self._hold_cublas_workspace()
        if traits.is_recurrent:
            self._see_recurrent_layers(args)
        size = scratch.transient_bytes(func, args)
        if size:
            self.borrow(size, "temporaries", str(func))()

    def _see_convolution(self, func: Any, args: tuple[Any, ...], output: Any) -> None:
        """Each result has a kernel of its own, one after the other; a bias has none of cuDNN's."""
        for result in output if isinstance(output, tuple) else (output,):
            self.see(result, func)
            if result is not None and result.dim() > 1:
                self.convolutions.note(func, args, result, len(self.trace.events))

    def _see_recurrent_layers(self, args: tuple[Any, ...]) -> None:
        """Allocate the state of dropout between layers, once, and say what is an estimate."""
        self._session.assume("The reserve space and workspace of cuDNN's recurrent layers are "
                             "estimates: cuDNN does not document them.")  # fmt: skip
        dropout, train = args[11], args[12]
        if dropout and train and not self._has_dropout_state:
            self._has_dropout_state = True
            size = recurrent_buffers.DROPOUT_STATE_BYTES
            self.borrow(size, "workspaces", "cuDNN dropout state")

    def _hold_cublas_workspace(self) -> None:
        in_autograd = self._phase == BACKWARD
        if in_autograd not in self._handles:
            self._handles.add(in_autograd)
            size = self._session.rules.cublas_workspace_bytes
            if size:
                self.borrow(size, "workspaces", "cuBLAS workspace")


def _is_moved(source: torch.Tensor, output: torch.Tensor) -> bool:
    """Return whether a copy has the values of a tensor on the host, on the device."""
    return source.device.type == "cpu" and output.is_meta and source.dtype == output.dtype
