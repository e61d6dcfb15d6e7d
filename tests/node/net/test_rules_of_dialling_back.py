"""Dialling back: to whom, how often, whom to ask, and what the answers come to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.net.rules.callback import Limits, Outcome, Verdict, outside, target, verdict, whom


@pytest.mark.parametrize(
    ("remote", "dialled"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("127.0.0.1", "127.0.0.1"),
        ("10.1.2.3", "10.1.2.3"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:DB8::0:1", "2001:db8::1"),
        ("::1", "::1"),
        ("fe80::1%eth0", None),
        ("fe80::1", None),
        ("0.0.0.0", None),  # noqa: S104 -- read, not bound
        ("::", None),
        ("::ffff:0.0.0.0", None),
        ("224.0.0.1", None),
        ("ff02::1", None),
        ("255.255.255.255", None),
        ("localhost", None),
        ("203.0.113.7:22", None),
        ("203.0.113.7/8", None),
        ("", None),
    ],
)
def test_a_target_is_a_machines_address_in_numbers(remote: str, dialled: str | None) -> None:
    assert target(remote) == dialled


@pytest.mark.parametrize(
    ("host", "is_outside"),
    [
        ("8.8.8.8", True),
        ("2a00:1450::1", True),
        ("::ffff:8.8.8.8", True),
        ("::ffff:10.0.0.1", False),
        ("192.168.1.4", False),
        ("100.64.0.1", False),  # a provider's own, behind its NAT
        ("127.0.0.1", False),
        ("fd00::1", False),
        ("fe80::1%eth0", False),
        ("somewhere", False),
        ("", False),
    ],
)
def test_outside_is_the_whole_internet(host: str, is_outside: bool) -> None:
    assert outside(host) is is_outside


def test_one_peer_and_one_address_are_dialled_once_in_a_while() -> None:
    limits = Limits(at_once=9, a_minute=9, pause=30)
    assert limits.begin("a", "203.0.113.7", 0) == ""
    limits.end()
    assert "less than 30 seconds" in limits.begin("a", "203.0.113.8", 29.9)
    assert "less than 30 seconds" in limits.begin("b", "203.0.113.7", 29.9)
    assert limits.begin("b", "2001:db8::1", 1) == ""
    limits.end()
    # A machine has the whole /64: another address of it is no other one.
    assert "less than 30 seconds" in limits.begin("c", "2001:db8::2", 2)
    assert limits.begin("c", "2001:db8:0:1::2", 2) == ""
    limits.end()
    assert limits.begin("a", "203.0.113.7", 30) == ""


def test_few_are_dialled_at_once_and_in_a_minute() -> None:
    limits = Limits(at_once=2, a_minute=3, pause=0)
    assert [limits.begin(f"p{n}", f"203.0.113.{n}", 0) for n in range(2)] == ["", ""]
    assert "enough" in limits.begin("c", "203.0.113.9", 1)
    limits.end()
    assert limits.begin("c", "203.0.113.9", 1) == ""
    limits.end()
    limits.end()
    assert "enough" in limits.begin("d", "203.0.113.10", 59)
    assert limits.begin("d", "203.0.113.10", 60) == ""


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 6), st.floats(0, 20), st.booleans()),
        max_size=120,
    )
)
def test_no_order_of_askers_gets_more_out_of_a_node(
    asked: list[tuple[str, int, float, bool]],
) -> None:
    """Whoever asks, from wherever, however often: the limits hold in every window."""
    limits = Limits(at_once=3, a_minute=5, pause=30)
    now, running = 0.0, 0
    begun: list[tuple[float, str, int]] = []
    for peer, place, wait, ends in asked:
        now += wait
        if limits.begin(peer, f"203.0.113.{place}", now) == "":
            running += 1
            assert not [at for at, who, where in begun if now - at < 30 and who == peer]
            assert not [at for at, who, where in begun if now - at < 30 and where == place]
            begun.append((now, peer, place))
            assert len([at for at, *_ in begun if now - at < 60]) <= 5
        assert running <= 3
        if ends and running:
            limits.end()
            running -= 1


def test_who_is_asked_comes_from_elsewhere_and_was_not_asked_lately() -> None:
    lines = [
        ("near", "10.0.0.1"),
        ("first", "8.8.8.8"),
        ("same", "8.8.8.8"),
        ("other", "9.9.9.9"),
        ("lately", "1.1.1.1"),
    ]
    assert [peer for peer, _ in whom(lines, {"lately"}, 3)] == ["first", "other", "near"]
    assert [peer for peer, _ in whom(lines, {"lately"}, 9)][3:] == ["same", "lately"]
    assert whom(lines[2:], {"lately", "other", "same"}, 1) != []
    assert whom([], (), 3) == []


D, N, C = Outcome.DIALLED, Outcome.NO_ANSWER, Outcome.CLAIMED
R, U, S = Outcome.REFUSED, Outcome.UNABLE, Outcome.SILENT


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ([], Verdict.UNKNOWN),
        ([(R, ""), (U, ""), (S, ""), (C, "")], Verdict.UNKNOWN),
        ([(N, ""), (C, "")], Verdict.UNREACHED),
        ([(N, ""), (N, ""), (D, "8.8.8.8")], Verdict.OUTSIDE),
        ([(D, "10.0.0.1"), (D, "8.8.8.8")], Verdict.OUTSIDE),
        ([(D, "10.0.0.1"), (N, "")], Verdict.NEAR),
        # What is claimed from anywhere is a word.
        ([(C, "8.8.8.8")], Verdict.UNKNOWN),
    ],
)
def test_only_a_dial_that_arrived_says_yes(told: list[tuple[Outcome, str]], says: Verdict) -> None:
    assert verdict(told) is says
