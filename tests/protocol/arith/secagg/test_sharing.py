"""An attempt's secrets: shared, sealed, checked, put together, and whose fault it is when not."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits.examples import examples

from protocol.arith.numbers.entropy import Entropy
from protocol.arith.secagg.agreement import new_key
from protocol.arith.secagg.sharing import (
    ReadyParts,
    Secrets,
    box_context,
    check_box,
    join,
    make_ready,
    open_box,
    reconstruct,
    seal,
    seed_hash,
    share_hash,
    split,
)
from protocol.errors import FatalError, Malformed

OPENING, PLACE = b"o" * 32, b"chain, contract, job, round 3, attempt 1"
PEERS = [b"peer %d" % number for number in range(6)]
SENDER, THRESHOLD = 2, 4
KEYS = [new_key(lambda count, number=number: bytes([number + 1]) * count) for number in range(6)]
LOW_ORDER = bytes(32)


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8 % len(data)] ^= 1 << bit % 8
    return bytes(changed)


def replaced(values: tuple[bytes, ...], index: int, value: bytes) -> tuple[bytes, ...]:
    return (*values[:index], value, *values[index + 1 :])


@pytest.fixture(scope="module")
def ready(entropy_from: Callable[[int], Entropy]) -> tuple[Secrets, ReadyParts]:
    members = [(peer, public) for peer, (_, public) in zip(PEERS, KEYS, strict=True)]
    return make_ready(entropy_from(1), OPENING, PLACE, PEERS[SENDER], members, THRESHOLD)


def shares_of(secret: bytes, threshold: int, count: int) -> tuple[bytes, ...]:
    return split(secret, [os.urandom(32) for _ in range(threshold - 1)], count)


def opened(parts: ReadyParts, index: int) -> tuple[bytes, bytes]:
    return check_box(KEYS[index][0], parts, index, OPENING, PLACE, PEERS[SENDER], PEERS[index])


def put_together(kind, shares: dict[int, bytes], parts: ReadyParts):
    return reconstruct(kind, shares, parts, THRESHOLD, PEERS[SENDER], OPENING)


@given(secret=st.binary(min_size=32, max_size=32), data=st.data())
@examples(0.4)
def test_any_threshold_of_shares_gives_the_secret(secret: bytes, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 32))
    threshold = data.draw(st.integers(1, count))
    shares = dict(enumerate(shares_of(secret, threshold, count)))
    assert {len(share) for share in shares.values()} == {32}
    chosen = data.draw(
        st.lists(st.sampled_from(range(count)), min_size=threshold, unique=True, max_size=count)
    )
    assert join({position: shares[position] for position in chosen}, threshold) == secret


def test_every_threshold_of_every_block() -> None:
    secret = bytes(range(32))
    for count in (1, 2, 5, 8, 32):
        for threshold in range(1, count + 1):
            shares = shares_of(secret, threshold, count)
            last = {position: shares[position] for position in range(count - threshold, count)}
            assert join(last, threshold) == secret


def test_one_share_too_few_gives_another_secret() -> None:
    secret = bytes(range(32))
    shares = shares_of(secret, 4, 6)
    for chosen in itertools.combinations(range(6), 3):
        # interpolated as if three were enough: no half of it comes out
        guess = join({position: shares[position] for position in chosen}, 3)
        assert guess[:16] != secret[:16]
        assert guess[16:] != secret[16:]


def test_shares_that_are_given_stay() -> None:
    """And fix all others: nothing else is left to chance."""
    given_ = [os.urandom(32) for _ in range(3)]
    shares = split(bytes(32), given_, 6)
    assert list(shares[:3]) == given_
    assert split(bytes(32), given_, 6) == shares
    assert split(bytes(31) + b"1", given_, 6)[3:] != shares[3:]


@pytest.mark.parametrize(("threshold", "count"), [(6, 5), (1, 0), (20, 33)])
def test_a_threshold_that_makes_no_sense_is_fatal(threshold: int, count: int) -> None:
    with pytest.raises(FatalError, match="shares"):
        shares_of(bytes(32), threshold, count)


def test_joining_refuses_what_are_no_shares() -> None:
    shares = dict(enumerate(shares_of(bytes(32), 2, 3)))
    for wrong, says in (
        ({0: shares[0]}, "1 shares where 2"),
        ({0: shares[0], 1: shares[1][:31]}, "31 bytes"),
        ({-1: shares[0], 1: shares[1]}, "for position -1"),
        ({1: shares[0], 32: shares[1]}, "position 32"),
    ):
        with pytest.raises(FatalError, match=says):
            join(wrong, 2)
    for secret, share in ((31, 32), (32, 31)):
        with pytest.raises(FatalError, match="32 bytes"):
            split(bytes(secret), [bytes(share)], 3)


def test_the_whole_way(ready: tuple[Secrets, ReadyParts]) -> None:
    secrets, parts = ready
    shares = [opened(parts, index) for index in range(6)]  # the sender's own box among them
    for chosen in itertools.combinations(range(6), THRESHOLD):
        for kind, which, secret in (("seed", 0, secrets.seed), ("key", 1, secrets.mask_private)):
            given_away = {index: shares[index][which] for index in chosen}
            outcome = put_together(kind, given_away, parts)
            assert outcome.secret == secret
            assert (outcome.bad, outcome.liar) == (frozenset(), False)


def test_two_attempts_have_nothing_in_common(ready: tuple[Secrets, ReadyParts]) -> None:
    members = [(peer, public) for peer, (_, public) in zip(PEERS, KEYS, strict=True)]
    counter = itertools.count(7)
    other, parts = make_ready(
        lambda count: bytes([next(counter)]) * count,
        OPENING,
        PLACE,
        PEERS[SENDER],
        members,
        THRESHOLD,
    )
    keys = {other.mask_private, other.seed, parts.mask_key, parts.share_key}
    assert len(keys) == 4  # the key that seals is none that dropping out reveals
    first = dataclasses.asdict(ready[1])
    for name, value in dataclasses.asdict(parts).items():
        assert value != first[name], name


@pytest.mark.parametrize("member", [1, 4])
def test_a_box_opens_for_its_recipient_here_and_now_only(
    ready: tuple[Secrets, ReadyParts], member: int
) -> None:
    """Whether it holds shares, or says that they are what both agree on."""
    parts, box = ready[1], ready[1].boxes[member]
    context = box_context(PLACE, OPENING, PEERS[SENDER], PEERS[member])
    assert len(box) == (0 if member < THRESHOLD - 1 else 64)
    inside = opened(parts, member)
    assert open_box(KEYS[member][0], parts.share_key, context, box) == inside
    found = [
        open_box(KEYS[member][0], parts.share_key, other, box)
        for other in (
            box_context(PLACE + b"0", OPENING, PEERS[SENDER], PEERS[member]),
            box_context(PLACE, b"p" * 32, PEERS[SENDER], PEERS[member]),
            box_context(PLACE, OPENING, PEERS[0], PEERS[member]),
            box_context(PLACE, OPENING, PEERS[SENDER], PEERS[5]),
            box_context(PLACE + OPENING, b"", PEERS[SENDER], PEERS[member]),
        )
    ]
    found.append(open_box(KEYS[3][0], parts.share_key, context, box))
    found.append(open_box(KEYS[member][0], parts.mask_key, context, box))
    for seed, key in found:
        assert seed != inside[0]
        assert key != inside[1]
    with pytest.raises(Malformed, match="low order"):
        open_box(KEYS[member][0], LOW_ORDER, context, box)
    for wrong in (bytes(63), bytes(65), bytes(80)):
        with pytest.raises(Malformed, match="64 bytes or none"):
            open_box(KEYS[member][0], parts.share_key, context, wrong)


def test_no_pad_is_used_twice(ready: tuple[Secrets, ReadyParts]) -> None:
    """Of members without a box they are the shares; no other share hides behind one of these."""
    shares = [share for index in range(6) for share in opened(ready[1], index)]
    assert len(set(shares)) == 12
    assert [len(box) for box in ready[1].boxes] == [0, 0, 0, 64, 64, 64]


@given(bit=st.integers(0, 511))
def test_any_change_to_a_box_is_noticed(ready: tuple[Secrets, ReadyParts], bit: int) -> None:
    parts = ready[1]
    forged = dataclasses.replace(
        parts, boxes=replaced(parts.boxes, 4, flipped(parts.boxes[4], bit))
    )
    with pytest.raises(Malformed, match="for member 4: not what its hash covers"):
        opened(forged, 4)
    opened(forged, 3)


def test_a_box_where_none_belongs_and_none_where_one_does(
    ready: tuple[Secrets, ReadyParts],
) -> None:
    parts = ready[1]
    for index, box in ((1, bytes(64)), (1, bytes(range(64))), (4, b"")):
        forged = dataclasses.replace(parts, boxes=replaced(parts.boxes, index, box))
        if box == bytes(64):
            assert opened(forged, index) == opened(parts, index)  # a pad and nothing: the same
            continue
        with pytest.raises(Malformed, match=f"for member {index}: not what its hash covers"):
            opened(forged, index)


@given(kind=st.sampled_from(("seed", "key")), bit=st.integers(0, 127))
def test_a_share_that_its_hash_does_not_cover_is_noticed_at_freeze(
    ready: tuple[Secrets, ReadyParts], kind: str, bit: int
) -> None:
    parts, name = ready[1], f"{kind}_hashes"
    hashes = getattr(parts, name)
    forged = dataclasses.replace(parts, **{name: replaced(hashes, 4, flipped(hashes[4], bit))})
    with pytest.raises(Malformed, match=f"share of the {kind} for member 4"):
        opened(forged, 4)


def test_keys_and_lengths_are_checked_at_freeze(ready: tuple[Secrets, ReadyParts]) -> None:
    parts = ready[1]
    with pytest.raises(Malformed, match=r"mask key: .* low order"):
        opened(dataclasses.replace(parts, mask_key=LOW_ORDER), 4)
    with pytest.raises(Malformed, match=r"box of member 4: .* low order"):
        opened(dataclasses.replace(parts, share_key=LOW_ORDER), 4)
    short = dataclasses.replace(
        parts,
        boxes=parts.boxes[:4],
        seed_hashes=parts.seed_hashes[:4],
        key_hashes=parts.key_hashes[:4],
    )
    for index in (4, -1):
        with pytest.raises(Malformed, match=f"none for member {index}"):
            opened(short, index)
    with pytest.raises(Malformed, match="one of each"):
        dataclasses.replace(parts, boxes=parts.boxes[:4])


@given(
    kind=st.sampled_from(("seed", "key")),
    forged=st.dictionaries(st.integers(0, 5), st.integers(0, 255), max_size=6),
    absent=st.sets(st.integers(0, 5)),
)
def test_who_releases_another_share_is_named(
    ready: tuple[Secrets, ReadyParts], kind, forged: dict[int, int], absent: set[int]
) -> None:
    secrets, parts = ready
    shares = {}
    for index in set(range(6)) - absent:
        share = opened(parts, index)[0 if kind == "seed" else 1]
        shares[index] = flipped(share, forged[index]) if index in forged else share
    outcome = put_together(kind, shares, parts)
    assert outcome.bad == set(forged) - absent
    assert not outcome.liar
    enough = len(shares) - len(outcome.bad) >= THRESHOLD
    secret = secrets.seed if kind == "seed" else secrets.mask_private
    assert outcome.secret == (secret if enough else None)


def test_the_other_kind_of_share_and_other_members_are_bad(
    ready: tuple[Secrets, ReadyParts],
) -> None:
    parts = ready[1]
    shares = [opened(parts, index) for index in range(6)]
    outcome = put_together("key", {index: shares[index][0] for index in range(6)}, parts)
    assert outcome.bad == frozenset(range(6))
    swapped = {index: shares[(index + 1) % 6][0] for index in range(6)}
    assert put_together("seed", swapped, parts).bad == frozenset(range(6))
    strange = {-1: shares[0][0], 6: shares[0][0], 99: b"", 5: shares[5][0][:31]}
    assert put_together("seed", strange, parts).bad == frozenset(strange)


@pytest.mark.parametrize("kind", ["seed", "key"])
def test_a_sender_whose_shares_make_another_secret_is_named(kind) -> None:
    """Every share matches its hash, and yet what they make is not what was committed to."""
    mask_key = new_key(lambda count: b"k" * count)[1]
    shares = dict(enumerate(shares_of(b"x" * 32, THRESHOLD, 6)))
    hashes = tuple(
        share_hash(kind, shares[index], index, PEERS[SENDER], OPENING) for index in range(6)
    )
    parts = ReadyParts(
        mask_key=mask_key,
        share_key=mask_key,
        seed_hash=seed_hash(b"s" * 32, OPENING, PEERS[SENDER]),
        seed_hashes=hashes,
        key_hashes=hashes,
        boxes=(bytes(64),) * 6,
    )
    outcome = put_together(kind, shares, parts)
    assert (outcome.secret, outcome.bad, outcome.liar) == (None, frozenset(), True)


def test_hashes_are_bound_to_all_that_they_are_for() -> None:
    share = bytes(range(32))
    base = share_hash("seed", share, 1, b"sender", OPENING)
    others = [
        share_hash("key", share, 1, b"sender", OPENING),
        share_hash("seed", share[::-1], 1, b"sender", OPENING),
        share_hash("seed", share, 2, b"sender", OPENING),
        share_hash("seed", share, 1, b"sende", OPENING),
        share_hash("seed", share, 1, b"sender", OPENING[::-1] + b"1"),
        seed_hash(share, OPENING, b"sender")[:16],
    ]
    assert len({base, *others}) == 7
    assert len(base) == 16
    assert len({seed_hash(share, *pair) for pair in ((b"a", b"bc"), (b"ab", b"c"))}) == 2


def test_a_bad_sealing_key_is_named(entropy_from: Callable[[int], Entropy]) -> None:
    members = [(peer, public) for peer, (_, public) in zip(PEERS, KEYS, strict=True)]
    for bad in (LOW_ORDER, b"short"):
        wrong = [*members[:3], (PEERS[3], bad), *members[4:]]
        with pytest.raises(Malformed, match="sealing key of member 3"):
            make_ready(entropy_from(1), OPENING, PLACE, PEERS[0], wrong, THRESHOLD)
    for block, says in (
        (members[1:], "this node among them"),
        ([*members, members[0]], "each of its members once"),
    ):
        with pytest.raises(FatalError, match=says):
            make_ready(entropy_from(1), OPENING, PLACE, PEERS[0], block, THRESHOLD)
    with pytest.raises(FatalError, match="7 of 6 shares"):
        make_ready(entropy_from(1), OPENING, PLACE, PEERS[0], members, 7)
    with pytest.raises(FatalError, match="shares to seal"):
        seal((bytes(32), bytes(32)), bytes(32), bytes(31))


def test_secrets_travel_as_bytes_and_never_in_words(ready: tuple[Secrets, ReadyParts]) -> None:
    secrets, parts = ready
    assert Secrets.from_bytes(secrets.to_bytes()) == secrets
    assert len(secrets.to_bytes()) == 72
    outcome = put_together("seed", {i: opened(parts, i)[0] for i in range(6)}, parts)
    for value in (secrets, outcome):
        for secret in (secrets.seed, secrets.mask_private):
            assert secret.hex() not in repr(value)
            assert repr(secret)[2:-1] not in repr(value)
    good = secrets.to_bytes()
    for wrong in (b"", good[:-1], good + b"0", flipped(good, 3), good[8:], good[8:] + bytes(8)):
        with pytest.raises(FatalError, match="no attempt's secrets"):
            Secrets.from_bytes(wrong)
    with pytest.raises(FatalError, match="32 bytes"):
        Secrets(bytes(31), bytes(32))
