"""The lines that give a model LoRA's adapters, by peft."""

from __future__ import annotations

_HEADS = [
    'HEADS = ("classifier", "score", "qa_outputs", "fc", "head", "heads")',
    "heads = [name for name, _ in model.named_children() if name in HEADS]",
]
_ATTENTION = [
    "# nn.MultiheadAttention reads the weights of its output layer past the layer.",
    "kind, modules = torch.nn.MultiheadAttention, model.named_modules()",
    "attention = [name for name, module in modules if isinstance(module, kind)]",
]


def adapter_lines(rank: int, *, has_head: bool = True, has_attention: bool = True) -> list[str]:
    """Return the lines from `model` to the model with adapters.

    Args:
        rank: Rank of the adapters; their scale is twice as large, over it.
        has_head: Whether the model may have a classifier's head, which is new to the task: it
            trains whole, as with peft's task types.
        has_attention: Whether it may have an nn.MultiheadAttention, whose adapters would be read
            by nothing.
    """
    parts = ["heads"] * has_head + ["attention"] * has_attention
    options = [f"r={rank}", f"lora_alpha={2 * rank}", 'target_modules="all-linear"']
    if not parts:
        return [f"model = get_peft_model(model, LoraConfig({', '.join(options)}))"]
    left_out = parts[0] if len(parts) == 1 else "heads + attention"
    options.append(rf'exclude_modules="|".join(rf"{{name}}(\..*)?" for name in {left_out})')
    return [
        *(_HEADS if has_head else []),
        *(_ATTENTION if has_attention else []),
        "lora = LoraConfig(",
        *(f"    {option}," for option in options),
        *(["    modules_to_save=heads,"] if has_head else []),
        ")",
        "model = get_peft_model(model, lora)",
    ]
