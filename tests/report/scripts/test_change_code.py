"""Every change of a training has lines of code, and they are Python."""

import ast

import pytest

from memorymark.records.config import TrainingConfig
from memorymark.records.option import options_of
from memorymark.report.snippets import lines_for

OPTIONS = options_of(TrainingConfig)
VALUES = {"lora_rank": [8], "freeze": ["*wte*,*wpe*"], "grad_clip": [1.0]}


def changes():
    for name, option in OPTIONS.items():
        values = [True, False] if option.kind is bool else VALUES.get(name, option.choices or [4])
        yield from ((name, value) for value in values)


@pytest.mark.parametrize(("name", "value"), [*changes()], ids=str)
def test_the_lines_of_a_change_are_python(name, value):
    text = lines_for({name: value})
    ast.parse(text)
    off = value is False or (name, value) == ("optimizer", "none")
    assert text or off, "each change that turns something on has its lines"


def test_values_stand_in_the_lines():
    assert "/ 6\n" in lines_for({"gradient_accumulation": 6})
    assert "r=16," in lines_for({"lora_rank": 16}) and "lora_alpha=32," in lines_for(
        {"lora_rank": 16}
    )
    assert "('*wte*', '*wpe*')" in lines_for({"freeze": "*wte*, *wpe*"})
    assert lines_for({"optimizer_impl": "fused"}) == lines_for(
        {"optimizer": "adamw", "optimizer_impl": "fused"}
    )
    assert "AdamW8bit" in lines_for({"optimizer": "adamw-8bit"})
    assert lines_for({"use_cache": "off"}) == "model.config.use_cache = False"


def test_several_changes_stand_one_after_another():
    text = lines_for({"precision": "tf32", "batch_size": 4, "lora_rank": None})
    assert text.splitlines() == ['torch.set_float32_matmul_precision("high")', "batch_size = 4"]


def test_what_is_made_before_the_loop_stands_before_it():
    change = {"precision": "amp-bf16", "zero_grad": "after-step", "optimizer_impl": "fused"}
    lines = lines_for(change).splitlines()
    assert lines[0].startswith("optimizer = ") and lines[-1] == "optimizer.zero_grad()"
