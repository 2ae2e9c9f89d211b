"""Which part of a model is running."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle


class ModulePaths:
    """Keeps the path of the innermost module whose forward is running.

    A forward that is run again in the backward pass (checkpointing) counts too.

    Attributes:
        current: The path, "" outside of any forward.
    """

    def __init__(self) -> None:
        self.current = ""
        self._stack: list[str] = []
        self._hooks: list[RemovableHandle] = []

    def watch(self, model: nn.Module) -> None:
        """Hook every part of the model."""
        for path, module in model.named_modules():
            if path:
                enter = module.register_forward_pre_hook(self._entering(path))
                leave = module.register_forward_hook(self._leaving, always_call=True)
                self._hooks += [enter, leave]

    def unwatch(self) -> None:
        """Take all hooks off again."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def _entering(self, path: str) -> Any:
        def enter(module: nn.Module, args: Any) -> None:
            self._stack.append(self.current)
            self.current = path

        return enter

    def _leaving(self, module: nn.Module, args: Any, output: Any) -> None:
        # A recomputation that stops early leaves its stack behind; the phase's end resets it.
        self.current = self._stack.pop() if self._stack else ""

    def reset(self) -> None:
        """Leave every forward."""
        self.current = ""
        self._stack.clear()
