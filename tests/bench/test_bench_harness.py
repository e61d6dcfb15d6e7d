"""The harness: runs take turns, medians are medians, bars compare as they say."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.benchmarks.figures import Bar, Figure, Measurement, On, Reply, Result, rounded
from scripts.benchmarks.harness import (
    beside,
    interleave,
    median_count,
    median_parts,
    median_seconds,
)


def recorder(log: list[str], name: str, seconds: list[float]) -> Callable[[], Reply]:
    """A side whose runs take the seconds given, one after another."""
    left = iter(seconds)

    def run() -> Reply:
        log.append(name)
        value = next(left)
        return Reply(value, {"half": value / 2})

    return run


def test_sides_take_turns_and_the_first_turns_do_not_count() -> None:
    log: list[str] = []
    replies = interleave(
        {
            "ours": recorder(log, "ours", [9.0, 1.0, 2.0, 3.0]),
            "peer": recorder(log, "peer", [90.0, 10.0, 20.0, 30.0]),
        },
        3,
    )
    assert log == ["ours", "peer"] * 4
    assert [reply.seconds for reply in replies["ours"]] == [1.0, 2.0, 3.0]
    assert [reply.seconds for reply in replies["peer"]] == [10.0, 20.0, 30.0]


@pytest.mark.parametrize("times", [0, -1])
def test_no_runs_are_no_measurement(times: int) -> None:
    with pytest.raises(ValueError, match="measure nothing"):
        interleave({"ours": lambda: Reply(1.0)}, times)
    with pytest.raises(ValueError, match="measure nothing"):
        interleave({}, 1)


def test_medians_are_each_their_own() -> None:
    replies = [
        Reply(3.0, {"a": 1.0, "b": 2.0}),
        Reply(100.0, {"a": 99.0, "b": 1.0}),
        Reply(5.0, {"a": 2.0, "b": 3.0}),
    ]
    assert median_seconds(replies) == 5.0
    assert median_parts(replies) == {"a": 2.0, "b": 2.0}


def test_runs_with_other_parts_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in their parts"):
        median_parts([Reply(1.0, {"a": 1.0}), Reply(1.0, {"b": 1.0})])


def test_what_sides_counted_has_a_median_if_all_counted_it() -> None:
    replies = [Reply(1.0, {}, {"bytes": count}) for count in (7, 900, 8)]
    assert median_count(replies, "bytes") == 8
    with pytest.raises(ValueError, match="did not count 'bytes'"):
        median_count([*replies, Reply(1.0)], "bytes")


def test_beside_gives_medians_in_the_unit_and_how_many_times_faster() -> None:
    log: list[str] = []
    found = beside(
        recorder(log, "ours", [7.0, 0.001, 0.003, 0.002]),
        recorder(log, "peer", [7.0, 0.010, 0.500, 0.012]),
        3,
        scale=1000.0,
        notes=["said"],
    )
    assert found.ours == pytest.approx(2.0)
    assert found.peer == pytest.approx(12.0)
    assert found.ratio == pytest.approx(6.0)
    assert found.parts["half"] == pytest.approx((1.0, 6.0))
    assert found.notes == [
        "said",
        "ours 1 to 3, peer 10 to 500 (least to most of 3 runs each)",
    ]


def test_parts_that_one_side_lacks_are_shown_as_lacking() -> None:
    found = beside(lambda: Reply(1.0, {"check": 1.0}), lambda: Reply(2.0, {"open": 2.0}), 1)
    assert found.parts == {"check": (1.0, None), "open": (None, 2.0)}


def test_a_ratio_needs_something_measured() -> None:
    assert Measurement(ours=2.0).ratio is None
    assert Measurement(ours=2.0, peer=3.0, own_ratio=9.0).ratio == 9.0
    with pytest.raises(ValueError, match="no ratio"):
        Measurement(ours=0.0, peer=3.0).ratio  # noqa: B018  (what the property does is the test)


@pytest.mark.parametrize(
    ("bar", "ours", "ratio", "met"),
    [
        (Bar(On.RATIO, 5), 1.0, 5.0, True),
        (Bar(On.RATIO, 5), 1.0, 4.999, False),
        (Bar(On.RATIO, 1.15, at_most=True), 1.0, 1.15, True),
        (Bar(On.RATIO, 1.15, at_most=True), 1.0, 1.16, False),
        (Bar(On.OURS, 200, at_most=True), 200, None, True),
        (Bar(On.OURS, 200, at_most=True), 201, None, False),
        (Bar(On.OURS, 1.8), 1.8, 100.0, True),
        (Bar(On.OURS, 1.8), 1.7, 100.0, False),
    ],
)
def test_a_bar_is_met_at_its_value_and_not_past_it(
    bar: Bar, ours: float, ratio: float | None, met: bool
) -> None:
    assert bar.met(ours, ratio) is met


def test_a_bar_on_a_ratio_needs_a_peer() -> None:
    with pytest.raises(ValueError, match="needs a peer"):
        Bar(On.RATIO, 5).met(1.0, None)


def figure(bar: Bar | None) -> Figure:
    return Figure("masks", "a mask", "ms", bar, lambda _: Measurement(1.0), ("flower", "flwr"))


def test_the_object_that_is_printed() -> None:
    found = Measurement(ours=0.12345678, peer=1.0, parts={"a": (1, 2)}, notes=["x"])
    assert Result(figure(Bar(On.RATIO, 5)), found, "flwr 1.0").as_json() == {
        "figure": "masks",
        "ours": 0.123457,
        "peer": 1.0,
        "peer_name": "flwr 1.0",
        "ratio": 8.1,
        "unit": "ms",
        "bar": 5,
        "met": True,
    }


def test_a_figure_that_is_only_told_has_no_bar_and_no_verdict() -> None:
    printed = Result(figure(None), Measurement(ours=7), None).as_json()
    assert printed == {
        "figure": "masks",
        "ours": 7,
        "peer": None,
        "peer_name": None,
        "ratio": None,
        "unit": "ms",
        "bar": None,
        "met": None,
    }


@given(st.floats(1e-9, 1e12))
def test_rounding_keeps_six_digits(value: float) -> None:
    assert rounded(value) == pytest.approx(value, rel=1e-5)


def test_rounding_leaves_whole_numbers() -> None:
    assert rounded(123_456_789) == 123_456_789
