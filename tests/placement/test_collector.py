"""Python's collector, held back."""

import gc

from memorymark.placement.collector import collector_off


def test_the_collector_is_back_when_the_last_thread_ends():
    assert gc.isenabled()
    first, second = collector_off(), collector_off()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not gc.isenabled()
    second.__exit__(None, None, None)
    assert gc.isenabled()
