"""The cursor's trail: it ends where reading ended, stays small, and always leads back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.chain.cursor import DENSE, Cursor, load_cursor, save_cursor
from node.store.store import Store

BOUND = 1000


def block_hash(number: int) -> bytes:
    return number.to_bytes(32, "big")


def walk(steps: list[int]) -> Cursor:
    cursor = Cursor(-1)
    for step in steps:
        number = cursor.number + step
        cursor = cursor.advance({number: block_hash(number)}, BOUND)
    return cursor


@given(st.lists(st.integers(1, 300), min_size=1, max_size=150))
def test_it_ends_where_reading_ended_and_stays_small(steps: list[int]) -> None:
    cursor = walk(steps)
    assert cursor.number == sum(steps) - 1
    assert cursor.hash == block_hash(cursor.number)
    assert len(cursor.trail) <= DENSE + 8 * 10
    assert all(cursor.number - number <= BOUND for number, _ in cursor.trail)


@pytest.mark.parametrize("count", [1, 16, 17, 18, 40, 129, 1000, 2600])
def test_block_by_block_it_leads_back_at_every_distance(count: int) -> None:
    cursor = walk([1] * count)
    reachable = min(count, BOUND * 3 // 4)
    for distance in range(reachable):
        target = cursor.number - distance
        reached = cursor.back_to(target)
        # No further back than needed, by more than half of the distance: the rest is read again.
        assert target - reached.number <= distance // 2
        assert reached.trail or target == -1


@given(st.integers(0, 60), st.integers(-1, 80))
def test_back_to_forgets_what_is_above(count: int, to: int) -> None:
    back = walk([1] * count).back_to(to)
    assert back.number <= max(to, -1)
    assert back.trail == walk([1] * count).trail[: len(back.trail)]
    assert all(number <= to for number, _ in back.trail)


@pytest.mark.parametrize(
    "trail",
    [((5, b"short"),), ((5, bytes(32)), (5, bytes(32))), ((6, bytes(32)), (5, bytes(32)))],
)
def test_a_trail_that_cannot_be(trail: tuple[tuple[int, bytes], ...]) -> None:
    with pytest.raises(ValueError, match=r"trail|hash"):
        Cursor(0, trail)
    with pytest.raises(ValueError, match="root"):
        Cursor(5, ((5, bytes(32)),))


def test_it_is_stored_whole(store: Store) -> None:
    with store.transaction() as tx:
        assert load_cursor(tx, 3) == Cursor(3)
        for cursor in (walk([1] * 40), walk([1] * 40).back_to(20)):
            save_cursor(tx, cursor)
            assert load_cursor(tx, -1) == cursor
        above = tuple(point for point in cursor.trail if point[0] > 10)
        assert load_cursor(tx, 10) == Cursor(10, above)
        assert len(above) < len(cursor.trail)
