from hypothesis import given
from hypothesis import strategies as st

from memorymark.trainer.order import Order


@given(st.integers(1, 30), st.integers(0, 5), st.lists(st.integers(1, 40), max_size=6))
def test_each_epoch_has_each_sample_once_however_it_is_cut(count, seed, sizes):
    order, whole = Order(count, seed), Order(count, seed).at(0, sum(sizes) + count)
    position, found = 0, []
    for size in sizes:
        found += order.at(position, size)
        position += size
    assert found == whole[:position]
    for first in range(0, len(whole) - count + 1, count):
        assert sorted(whole[first : first + count]) == list(range(count))


def test_epochs_and_seeds_differ():
    order = Order(100, 1)
    assert order.at(0, 100) != order.at(100, 100) and order.at(0, 100) != Order(100, 2).at(0, 100)
