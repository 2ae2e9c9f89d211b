"""The simulated device: runs operations on tensors without data and counts what CUDA would."""

from __future__ import annotations

from typing import Any

from memorymark.errors import UnsupportedOperation
from memorymark.memory.trace import BACKWARD, STEP
from memorymark.memory.tracker import MemoryTracker
from memorymark.simulator.cuda import recurrent_buffers, scratch
from memorymark.simulator.cuda.convolutions import is_convolution, workspace_bytes
from memorymark.simulator.session import Session
from memorymark.simulator.source_lines import running_line
from memorymark.simulator.tensors.answers import NOT_A_QUESTION, Answers
from memorymark.simulator.tensors.outputs import rule_for
from memorymark.simulator.tensors.shapes import ShapeCache
from memorymark.simulator.time.clock import Clock
from memorymark.simulator.torch_compat import operations

_FUSED_OPTIMIZERS = operations("_fused_adam_", "_fused_adamw_", "_fused_sgd_", "_fused_adagrad_")


class SimulatedDevice(MemoryTracker):
    """Follows storages on meta tensors and adds what a device's libraries take.

    Args:
        session: The rules, and where assumptions are noted.
        shapes: Remembers what calls gave, over as many simulations as it is kept for.
        clock: Counts the time that operations would take; None counts none.
        timed_step: Number of the step whose time is counted, from 1.
        keeps_values: Whether larger tensors' values are kept too, as the user's code may ask
            for them.
    """

    def __init__(
        self,
        session: Session,
        shapes: ShapeCache,
        clock: Clock | None = None,
        timed_step: int = 1,
        *,
        keeps_values: bool = False,
    ) -> None:
        # Counters that optimizers keep on the host are device memory where the device is the host.
        super().__init__("meta", *(() if session.rules.is_cuda else ("cpu",)))
        self.convolution_workspace_bytes = 0
        self._session = session
        self._shapes = shapes
        self._answers = Answers(session, keeps_values=keeps_values)
        self._clock = clock
        self._timed_step = timed_step
        self._step = 0
        self._handles: set[bool] = set()
        self._has_dropout_state = False

    def handle(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the operation without data and note what it would allocate on the device."""
        output = self._answers.answer(func, args, kwargs)
        if output is NOT_A_QUESTION:
            output = self._call(func, args, kwargs)
            self._see_with_scratch(func, args, output)
            self._answers.note(func, args, kwargs, output)
        else:
            self.see(output, func)
        if self._clock is not None and self._step == self._timed_step:
            self._clock.count(func, args, output)
        return output

    def begin_phase(self, phase: str) -> None:
        """Note that a phase of the step begins."""
        self._step += phase == STEP
        super().begin_phase(phase)

    def _call(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if func in _FUSED_OPTIMIZERS and args[0] and args[0][0].is_meta:
            return None  # they work in place, and PyTorch has no kernel without data
        rule = rule_for(func) or recurrent_buffers.OUTPUTS.get(func)
        try:
            if rule is not None and args[0].is_meta:
                return rule(*args, **kwargs)
            return self._shapes.call(func, args, kwargs)
        except NotImplementedError as error:
            raise UnsupportedOperation(self._refusal(func)) from error

    def _refusal(self, func: Any) -> str:
        places = [f"in module {self._paths.current}" if self._paths.current else "", running_line()]
        place = ", ".join(filter(None, places))
        return (
            f"The operation {func}{f' ({place})' if place else ''} cannot be simulated: PyTorch "
            "has no rule for it without data. Measure it on a device instead."
        )

    def _see_with_scratch(self, func: Any, args: tuple[Any, ...], output: Any) -> None:
        rules = self._session.rules
        if is_convolution(func):
            self._see_convolution(func, args, output)
            return
        self.see(output, func)
        if not rules.is_cuda:
            return
        if scratch.uses_cublas(func):
            self._hold_cublas_workspace()
        if func is recurrent_buffers.CUDNN:
            self._see_recurrent_layers(args)
        size = scratch.transient_bytes(func, args)
        if size:
            self.borrow(size, "temporaries", str(func))()

    def _see_convolution(self, func: Any, args: tuple[Any, ...], output: Any) -> None:
        """Each result has a kernel and a workspace of its own, one after the other."""
        size = workspace_bytes(func, args, output, self._session.rules)
        self.convolution_workspace_bytes = max(self.convolution_workspace_bytes, size)
        for result in output if isinstance(output, tuple) else (output,):
            self.see(result, func)
            if size and result is not None and result.dim() > 1:
                self.borrow(size, "workspaces", "cuDNN workspace")()

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
            self.borrow(size, "workspaces", "cuBLAS workspace")
