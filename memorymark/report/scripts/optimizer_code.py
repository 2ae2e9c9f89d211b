"""The line that makes the optimizer."""

from __future__ import annotations

from memorymark.records.config import Optimizer, OptimizerImpl

# A usual rate of each, to be replaced by the user's; memory does not depend on it.
_RATES = {
    Optimizer.SGD: "1e-2",
    Optimizer.SGD_MOMENTUM: "1e-2",
    Optimizer.RMSPROP: "1e-4",
    Optimizer.ADAGRAD: "1e-2",
    Optimizer.ADAFACTOR: "1e-3",
}
_CLASSES = {
    Optimizer.SGD: "torch.optim.SGD",
    Optimizer.SGD_MOMENTUM: "torch.optim.SGD",
    Optimizer.ADAM: "torch.optim.Adam",
    Optimizer.ADAMW: "torch.optim.AdamW",
    Optimizer.RMSPROP: "torch.optim.RMSprop",
    Optimizer.ADAGRAD: "torch.optim.Adagrad",
    Optimizer.ADAFACTOR: "torch.optim.Adafactor",
    Optimizer.ADAMW_8BIT: "AdamW8bit",
}
_OPTIONS = {Optimizer.SGD_MOMENTUM: ", momentum=0.9"}
_IMPLEMENTATIONS = {
    OptimizerImpl.DEFAULT: "",
    OptimizerImpl.FOREACH: ", foreach=True",
    OptimizerImpl.FUSED: ", fused=True",
    OptimizerImpl.FOR_LOOP: ", foreach=False",
}


def optimizer_line(
    optimizer: Optimizer,
    implementation: OptimizerImpl = OptimizerImpl.DEFAULT,
    parameters: str = "model.parameters()",
) -> str:
    """Return the line that makes the optimizer; empty where there is none.

    Example:
        >>> optimizer_line(Optimizer.ADAMW, OptimizerImpl.FUSED)
        'optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, fused=True)'
    """
    if optimizer is Optimizer.NONE:
        return ""
    more = "" if optimizer is Optimizer.ADAMW_8BIT else _IMPLEMENTATIONS[implementation]
    options = f"lr={_RATES.get(optimizer, '5e-5')}{_OPTIONS.get(optimizer, '')}{more}"
    return f"optimizer = {_CLASSES[optimizer]}({parameters}, {options})"


def optimizer_import(optimizer: Optimizer) -> str:
    """Return the import that the optimizer needs beside torch; empty where it needs none."""
    return "from bitsandbytes.optim import AdamW8bit" if optimizer is Optimizer.ADAMW_8BIT else ""
