"""Modules of one kind are one bar, and no byte is lost on the way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorymark.memory.holder_groups import group_holders
from memorymark.records.held_memory import CATEGORIES, Holder

names = st.sampled_from(
    ["layer", "encoder", "0", "1", "2", "11", "dense", "h", "mul", "", "*", "²"]
)
paths = st.lists(names, min_size=1, max_size=6).map(".".join) | st.text(max_size=12)
holders = st.lists(
    st.builds(Holder, paths, st.sampled_from(CATEGORIES), st.integers(0, 2**40)), max_size=40
)


@given(holders)
def test_the_sum_of_the_groups_is_that_of_the_holders_in_each_category(held):
    groups = group_holders(held)
    for category in CATEGORIES:
        grouped = sum(getattr(group.breakdown, category) for group in groups)
        assert grouped == sum(holder.bytes for holder in held if holder.category == category)
    assert sum(group.count for group in groups) == len({holder.path for holder in held})
    assert len({group.path for group in groups}) == len(groups)
    sizes = [group.total_bytes for group in groups]
    assert sizes == sorted(sizes, reverse=True)


def kinds(*paths):
    groups = group_holders(Holder(path, "activations", 1) for path in paths)
    return {group.path: group.count for group in groups}


@pytest.mark.parametrize(
    ("given_paths", "expected"),
    [
        (
            [f"bert.encoder.layer.{n}.intermediate.dense" for n in range(12)],
            {"bert.encoder.layer.*.intermediate.dense": 12},
        ),
        (["h.0", "h.1", "h.0.mlp", "h.1.mlp"], {"h.*": 2, "h.*.mlp": 2}),
        (["features.0", "features.3"], {"features.0": 1, "features.3": 1}),
        (["layers.0.mlp.0", "layers.1.mlp.0", "layers.1.mlp.2"],
         {"layers.*.mlp.0": 2, "layers.*.mlp.2": 1}),
        (["layer1.0.conv1", "layer1.1.conv1", "layer2.0.conv1"],
         {"layer1.*.conv1": 2, "layer2.*.conv1": 1}),
        (["0", "2"], {"0": 1, "2": 1}),
        (["aten.mul.Tensor", "embeddings"], {"aten.mul.Tensor": 1, "embeddings": 1}),
    ],
)  # fmt: skip
def test_the_same_module_of_each_layer_is_one_kind(given_paths, expected):
    assert kinds(*given_paths) == expected


def test_what_a_module_holds_is_one_group_over_all_categories():
    (group,) = group_holders(
        [Holder("a", "parameters", 3), Holder("a", "gradients", 4), Holder("a", "parameters", 5)]
    )
    assert (group.count, group.breakdown.parameters, group.breakdown.gradients) == (1, 8, 4)
