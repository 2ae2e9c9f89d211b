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
def test_the_settings_of_the_configuration_are_those_that_were_simulated(name):
    task = "seq2seq-lm" if "t5" in name else "sequence-classification"
    workload = resolve(name)
    given = TrainingConfig(task=task, use_cache="off", num_labels=4)
    described = workload.describe(given)
    code = model_code(name, described)
    made, expected = config_of(code), workload._training_config(described)
    assert made.pad_token_id == expected.pad_token_id is not None
    assert made.use_cache is expected.use_cache is False
    if task == "sequence-classification":
        assert made.num_labels == expected.num_labels == 4
    assert ("model.lm_head = " in "\n".join(code.build)) is getattr(
        workload._hf_config, "has_own_head", False
    )


def config_of(code):
    """Run the lines of a script that make the configuration."""
    end = next(n for n, line in enumerate(code.build) if line.startswith("model = "))
    names = {"AutoConfig": transformers.AutoConfig, "MODEL": code.name, "torch": torch}
    exec("\n".join(code.build[:end]), names)
    return names["config"]


@pytest.mark.parametrize("name", ["bert", "gpt2", "resnet", *NAMES])
def test_a_known_model_needs_no_network(name, monkeypatch):
    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", None)
    workload = resolve(name)
    described = workload.describe(TrainingConfig(seq_len=16))
    made = config_of(model_code(name, described)).to_dict()
    expected = workload._training_config(described).to_dict()
    # Names, and a padding that only a classifier of texts looks for.
    own = {"architectures", "has_own_head", "pad_token_id"}
    differing = {key for key in expected if key not in own and made.get(key) != expected[key]}
    assert not differing


def test_of_another_model_the_script_says_where_its_configuration_comes_from(tmp_path):
    far = model_code("hf:somebody/something", TrainingConfig(task="causal-lm")).build
    assert far[0].startswith("# From the Hugging Face hub") and "from_pretrained" in far[1]
    near = model_code(f"hf:{tmp_path}", TrainingConfig(task="causal-lm")).build
    assert not near[0].startswith("#")


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
