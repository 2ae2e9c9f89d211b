import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memorymark.simulator.allocator.blocks import SEGMENT_ROUNDING_BYTES
from memorymark.simulator.allocator.least_capacity import minimum_bytes, peak_live_bytes
from memorymark.simulator.allocator.replay import EMPTY_CACHE, Replay, replay

MIB = 1024**2


@st.composite
def traces(draw):
    events, live = [], []
    for block_id in range(draw(st.integers(0, 40))):
        size_bytes = draw(st.integers(1, 30 * MIB))
        events.append((block_id, size_bytes))
        live.append((block_id, size_bytes))
        while live and draw(st.booleans()):
            freed_id, freed = live.pop(draw(st.integers(0, len(live) - 1)))
            events.append((freed_id, -freed))
    return events


def test_a_replay_reads_as_torch_does():
    result = replay([(1, 3_000_000), (2, 100), (1, -3_000_000), (3, 40 * MIB)])
    assert result.fits
    assert result.failed_at is None
    assert result.peak_reserved_bytes == (20 + 2 + 40) * MIB
    assert result.peak_allocated_bytes == 40 * MIB + 512
    assert result.retries == 0


def test_an_empty_trace_needs_nothing():
    assert replay([]).fits
    assert minimum_bytes([]) == 0
    assert peak_live_bytes([]) == 0


def test_it_stops_where_there_is_no_room():
    result = replay([(1, 20 * MIB), (2, 20 * MIB), (3, 20 * MIB)], 50 * MIB)
    assert not result.fits
    assert result.failed_at == 2


def test_the_cache_is_given_back_under_a_capacity():
    events = [(1, 30 * MIB), (1, -30 * MIB), (2, 40 * MIB)]
    assert replay(events).peak_reserved_bytes == 70 * MIB
    tight = replay(events, 40 * MIB)
    assert tight.fits
    assert tight.retries == 1
    assert minimum_bytes(events) == 40 * MIB


def test_fragments_keep_the_minimum_above_the_live_peak():
    events = [(1, 6 * MIB), (2, 6 * MIB), (3, 6 * MIB), (1, -6 * MIB), (3, -6 * MIB)]
    events += [(4, 20 * MIB)]
    assert peak_live_bytes(events) == 26 * MIB
    assert minimum_bytes(events) == 40 * MIB


@settings(max_examples=80, deadline=None)
@given(traces(), st.booleans())
def test_the_minimum_replays_and_a_little_less_does_not(events, expandable):
    least = minimum_bytes(events, expandable_segments=expandable)
    free_running = replay(events, expandable_segments=expandable)
    assert peak_live_bytes(events) <= least <= free_running.peak_reserved_bytes
    assert replay(events, least, expandable_segments=expandable).fits
    if least:
        less = least - max(SEGMENT_ROUNDING_BYTES, least // 900)
        assert not replay(events, less, expandable_segments=expandable).fits


@settings(max_examples=60, deadline=None)
@given(traces(), st.booleans())
def test_a_replay_is_deterministic(events, expandable):
    first = replay(events, 64 * MIB, expandable_segments=expandable)
    assert first == replay(events, 64 * MIB, expandable_segments=expandable)
    assert first.peak_reserved_bytes <= 64 * MIB


def test_an_optional_block_that_finds_no_room_is_left_out():
    events = [(1, 30 * MIB), (2, 20 * MIB), (2, -20 * MIB), (3, 10 * MIB)]
    assert replay(events, 40 * MIB).failed_at == 1
    found = replay(events, 40 * MIB, optional={2})
    assert found.fits and found.peak_reserved_bytes == 40 * MIB
    assert found.peak_allocated_bytes == 40 * MIB


def test_the_cache_is_given_back_before_an_optional_block_is_left_out():
    events = [(1, 30 * MIB), (1, -30 * MIB), (2, 40 * MIB), (2, -40 * MIB)]
    found = replay(events, 40 * MIB, optional={2})
    assert (found.retries, found.peak_reserved_bytes) == (1, 40 * MIB)


def test_emptying_the_cache_gives_back_what_nobody_uses():
    events = [(0, 30 * MIB), (1, 20 * MIB), (1, -20 * MIB), EMPTY_CACHE, (2, 40 * MIB)]
    assert replay(events).peak_reserved_bytes == 70 * MIB
    assert peak_live_bytes(events) == 70 * MIB


@settings(max_examples=80, deadline=None)
@given(traces(), st.integers(1, 200), st.sets(st.integers(0, 39)), st.booleans())
def test_optional_blocks_never_exceed_the_capacity_or_fail(events, capacity_mib, optional, kind):
    capacity = capacity_mib * MIB
    found = replay(events, capacity, optional=optional, expandable_segments=kind)
    assert found.peak_reserved_bytes <= capacity
    if set(block_id for block_id, _ in events) <= optional:
        assert found.fits
    assert found.fits or events[found.failed_at][0] not in optional


def test_a_device_that_grows_plays_on_where_it_had_no_room() -> None:
    events = [(1, 30 * MIB), (2, 40 * MIB), (1, -30 * MIB), (3, 50 * MIB)]
    growing = Replay(60 * MIB)
    growing.feed(events)
    assert growing.lacking_bytes(events) == 70 * MIB
    growing.go_on(events, 70 * MIB)
    assert growing.lacking_bytes(events) == 90 * MIB  # the first block went back to the device
    growing.go_on(events, 90 * MIB)
    assert growing.lacking_bytes(events) is None and growing.result().fits
    growing.close()


def test_what_a_bisection_finds_takes_few_replays(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [(n, (10 + n % 7) * MIB) for n in range(300)]
    for n in range(0, 300, 3):
        events += [(n, -events[n][1]), (n + 1000, 17 * MIB)]
    free = replay(events)
    started = []
    close = Replay.close
    monkeypatch.setattr(Replay, "close", lambda self: (started.append(1), close(self)))
    least = minimum_bytes(events, free)
    assert len(started) <= 4
    assert replay(events, least).fits
