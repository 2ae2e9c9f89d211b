"""The lines that give a model LoRA's adapters, by peft."""

from __future__ import annotations

_HEADS = '("classifier", "score", "qa_outputs", "fc", "head", "heads")'


def adapter_lines(rank: int, *, has_head: bool = True) -> list[str]:
    """Return the lines from `model` to the model with adapters.

    Args:
        rank: Rank of the adapters; their scale is twice as large, over it.
        has_head: Whether the model may have a classifier's head, which is new to the task: it
            trains whole, as with peft's task types.
    """
    options = f'r={rank}, lora_alpha={2 * rank}, target_modules="all-linear"'
    if not has_head:
        return [f"model = get_peft_model(model, LoraConfig({options}))"]
    return [
        f"HEADS = {_HEADS}",
        "heads = [name for name, _ in model.named_children() if name in HEADS]",
        "lora = LoraConfig(",
        f"    r={rank},",
        f"    lora_alpha={2 * rank},",
        '    target_modules="all-linear",',
        '    exclude_modules="|".join(rf"{head}(\\..*)?" for head in heads),',
        "    modules_to_save=heads,",
        ")",
        "model = get_peft_model(model, lora)",
    ]
