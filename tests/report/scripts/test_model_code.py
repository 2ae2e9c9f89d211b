"""Models are made as MemoryMark makes them."""

import ast
import re

import pytest
import torch
import transformers

from memorymark.errors import UsageError
from memorymark.records.config import TrainingConfig
from memorymark.report.scripts.model_code import Checkpointing, Library, model_code
from memorymark.report.snippets import snippet
from memorymark.workloads import tasks
from memorymark.workloads.known_models import known_models
from memorymark.workloads.registry import resolve

NAMES = [model.name for model in known_models()]


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_model_is_made_by_the_class_that_was_simulated(name):
    workload = resolve(f"hf:{name}")
    config = workload.describe(TrainingConfig(seq_len=16))
    code = model_code(name, config)
    assert code.name == name and code.library is Library.TRANSFORMERS
    auto = tasks.auto_class(workload._hf_config, config.task)
    assert any(auto.__name__ in line for line in code.imports)
    (made,) = tasks._classes(auto, type(workload._hf_config))[:1]
    recomputes = getattr(made, "supports_gradient_checkpointing", False)
    assert code.checkpointing is (Checkpointing.OWN if recomputes else Checkpointing.BLOCKS)


@pytest.mark.parametrize("name", ["gpt2", "hf:meta-llama/Llama-3.2-1B", "hf:google/flan-t5-base"])
def test_the_settings_of_the_configuration_are_those_that_were_simulated(name, monkeypatch):
    task = "seq2seq-lm" if "t5" in name else "sequence-classification"
    workload = resolve(name)
    given = TrainingConfig(task=task, use_cache="off", num_labels=4)
    described = workload.describe(given)
    code = model_code(name, described)
    names = {"AutoConfig": FakeAutoConfig(workload), "MODEL": code.name, "torch": torch}
    lines = [line for line in code.build if line.startswith("config")]
    exec("\n".join(lines), names)
    made, expected = names["config"], workload._training_config(described)
    assert made.pad_token_id == expected.pad_token_id is not None
    assert made.use_cache is expected.use_cache is False
    if task == "sequence-classification":
        assert made.num_labels == expected.num_labels == 4
    assert ("model.lm_head = " in "\n".join(code.build)) is getattr(
        workload._hf_config, "has_own_head", False
    )


class FakeAutoConfig:
    """Gives the shipped configuration in the place of the hub's."""

    def __init__(self, workload):
        self.workload = workload

    def from_pretrained(self, name, **more):
        values = {**self.workload._hf_config.to_dict(), **more}
        return transformers.AutoConfig.for_model(values.pop("model_type"), **values)


def test_a_workload_without_a_name_says_what_to_give():
    with pytest.raises(UsageError, match=r"package\.module:factory"):
        model_code("my own net", TrainingConfig())


@pytest.mark.parametrize("end", ['"', "'", "\\", '"""', "\r", "\x85"])
def test_names_from_outside_stay_text(end):
    name = f'hf:./x{end}\n__import__("os").system("true")#'
    config = TrainingConfig(task="causal-lm", freeze=f'a{end.strip()}",b')
    text = snippet(name, config, 4, [f"of {name}"])
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)]
    assert "__import__" not in {node.id for node in calls}
    names = {}
    exec("\n".join(re.findall(r"^(?:MODEL|FROZEN) = .*$", text, flags=re.MULTILINE)), names)
    assert names["MODEL"] == name.removeprefix("hf:")
    assert tuple(names["FROZEN"]) == config.frozen_patterns
