"""What the breadth benchmark counts and keeps; its cases and configurations."""

import breadth
import pytest
from breadth import Case, Result
from shrink import shrink
from transformers import BertConfig, DeepseekV2Config


def test_what_is_kept_are_counts_and_failures():
    results = [
        Result("causal-lm", "gpt2", "ok", None, 1.0, ("told 0",)),
        Result("causal-lm", "blt", "error", "first line\nsecond", 2.0),
        Result(breadth.TORCHVISION, "vgg11", "ok", None, 0.5),
    ]
    kept = breadth.document(results)
    assert kept["summary"]["transformers"] == {"simulate": 1, "of": 2, "share": 0.5}
    assert kept["summary"][breadth.TORCHVISION]["share"] == 1
    assert [(f["name"], f["reason"]) for f in kept["failures"]] == [("blt", "first line")]
    assert kept["with_assumptions"] == 1


@pytest.mark.parametrize("case", [Case("masked-lm", "bert"), Case("torchvision", "squeezenet1_1")])
def test_a_case_simulates(case):
    result = breadth.run_case(case)
    assert (result.status, result.reason) == ("ok", None)


def test_a_case_that_cannot_simulate_says_why():
    result = breadth.run_case(Case("image-classification", "shieldgemma2"))
    assert result.status == "error" and "input_ids" in result.reason


def test_shrinking_leaves_the_default_alone_and_divides_evenly():
    default = BertConfig()
    small = shrink(default, narrow=True)
    assert default.num_hidden_layers == 12 and small.num_hidden_layers == 2
    assert small.hidden_size // small.num_attention_heads == 64


def test_experts_get_widths_that_the_kernel_takes():
    small = shrink(DeepseekV2Config(), narrow=False)
    assert small.moe_intermediate_size % 16 == 0 and small.num_experts_per_tok == 2
