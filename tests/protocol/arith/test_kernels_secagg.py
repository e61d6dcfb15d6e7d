"""A block's round of secure aggregation through the functions that workers run, both envelopes."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits.examples import examples

from protocol.arith import kernels
from protocol.arith.encoding.envelope import Envelope
from protocol.arith.encoding.lanes import SumOutOfRange
from protocol.arith.learning.models import Family, Model
from protocol.arith.numbers.entropy import Entropy
from protocol.arith.numbers.fixedpoint import Integers
from protocol.arith.numbers.shape import HEADER_BYTES
from protocol.arith.paillier.batch import encode_batch
from protocol.arith.paillier.cryptosystem import PrivateKey, encrypt
from protocol.arith.paillier.pool import Pool
from protocol.arith.secagg.agreement import new_key
from protocol.arith.secagg.masks import Binding
from protocol.arith.secagg.sharing import ReadyParts, Secrets, check_box, make_ready, reconstruct
from protocol.errors import FatalError, InputError, Malformed
from protocol.layout.packing import MASKS, PAILLIER, Packing, batch_maker

OPENING, PLACE = hashlib.sha256(b"opening").digest(), b"place"
COUNT = 40
ENVELOPES = pytest.mark.parametrize("kind", [PAILLIER, MASKS])


@dataclass(frozen=True)
class Member:
    position: int
    peer: bytes
    sealing: bytes
    secrets: Secrets
    parts: ReadyParts
    values: Integers

    @property
    def maker(self) -> bytes:
        return batch_maker(PLACE, self.peer)


@dataclass(frozen=True)
class Block:
    """Members that are ready, in one envelope, with a key that opens its sums."""

    envelope: Envelope
    key: PrivateKey
    members: tuple[Member, ...]
    threshold: int
    entropy: Entropy
    pool: Pool | None = None

    @property
    def binding(self) -> Binding:
        return Binding(
            1, bytes(20), bytes(32), 1, 1, b"m" * 32, b"r" * 32, self.key.public.to_bytes()
        )

    def roster(self) -> list[tuple[int, bytes]]:
        return [(member.position, member.parts.mask_key) for member in self.members]

    def batch(self, member: Member, **changes: object) -> bytes:
        binding = dataclasses.replace(self.binding, **changes)
        return kernels.close(
            self.envelope,
            member.values,
            member.secrets,
            member.position,
            self.roster(),
            binding,
            member.maker,
            self.entropy,
            self.pool,
        )

    def removal(self, present: Sequence[Member]) -> bytes:
        """Rebuilds what is needed from the present members' shares alone, as the requester does."""
        seeds, keys = [], []
        for member in self.members:
            here = member in present
            shares = {
                other.position: self.shares(member, other)[0 if here else 1] for other in present
            }
            kind = "seed" if here else "key"
            outcome = reconstruct(kind, shares, member.parts, self.threshold, member.peer, OPENING)
            assert outcome.secret is not None
            assert not outcome.bad
            if here:
                seeds.append((member.position, member.parts.mask_key, outcome.secret))
            else:
                keys.append((member.position, outcome.secret))
        return kernels.unmask_vector(self.envelope, COUNT, self.binding, seeds, keys)

    def shares(self, sender: Member, to: Member) -> tuple[bytes, bytes]:
        return check_box(
            to.sealing, sender.parts, to.position, OPENING, PLACE, sender.peer, to.peer
        )

    def open(self, batches: Sequence[bytes], unmask: bytes) -> Integers:
        total = kernels.sum_batches(self.envelope, batches, COUNT)
        return kernels.open_sum(self.key, total, unmask, self.envelope, len(batches), COUNT)


def make_block(
    kind: str, key: PrivateKey, count: int, threshold: int, entropy: Entropy, bits: int = 16
) -> Block:
    base = key.public.base_bytes()
    envelope = Envelope(key.public.to_bytes(), bits, 1.5, count, kind, base)
    sealing = [new_key(entropy) for _ in range(count)]
    listed = [(b"peer %d" % position, public) for position, (_, public) in enumerate(sealing)]
    top = envelope.lanes.max_int
    random = np.random.default_rng(int.from_bytes(entropy(8), "big"))
    members = []
    for position, (peer, _) in enumerate(listed):
        made = make_ready(entropy, OPENING, PLACE, peer, listed, threshold)
        values = random.integers(-top, top, COUNT, endpoint=True)
        members.append(Member(position, peer, sealing[position][0], *made, values))
    return Block(envelope, key, tuple(members), threshold, entropy)


@pytest.fixture(scope="module")
def block_of(
    small_key: PrivateKey, entropy_from: Callable[[int], Entropy]
) -> Callable[[str], Block]:
    made = {kind: make_block(kind, small_key, 5, 3, entropy_from(5)) for kind in (PAILLIER, MASKS)}
    return made.__getitem__


@given(
    kind=st.sampled_from((PAILLIER, MASKS)),
    count=st.integers(2, 7),
    bits=st.sampled_from((4, 13, 16, 32)),
    seed=st.integers(0, 2**32),
    data=st.data(),
)
@examples(0.25)
def test_whoever_drops_out_the_sum_of_the_rest_opens(
    small_key: PrivateKey,
    entropy_from: Callable[[int], Entropy],
    kind: str,
    count: int,
    bits: int,
    seed: int,
    data: st.DataObject,
) -> None:
    threshold = data.draw(st.integers(count // 2 + 1, count))
    block = make_block(kind, small_key, count, threshold, entropy_from(seed), bits)
    dropped = data.draw(st.sets(st.integers(0, count - 1), max_size=count - threshold))
    present = [member for member in block.members if member.position not in dropped]
    batches = [block.batch(member) for member in present]
    for member, batch in zip(present, batches, strict=True):
        kernels.check_batch(block.envelope, batch, COUNT, member.maker)
    sums = block.open(batches, block.removal(present))
    assert sums.dtype == np.int64
    np.testing.assert_array_equal(sums, sum(member.values for member in present))


def test_a_round_under_a_short_order_key_with_obfuscators_made_ahead(
    short_key: PrivateKey, small_key: PrivateKey, entropy_from: Callable[[int], Entropy]
) -> None:
    block = make_block(PAILLIER, short_key, 4, 3, entropy_from(4))
    assert block.envelope.public == short_key.public
    pool = Pool(short_key.public, entropy_from(1), lambda: 1)
    pool.fill(3)  # the first batches find some, later ones make their own
    block = dataclasses.replace(block, pool=pool)
    batches = [block.batch(member) for member in block.members]
    sums = block.open(batches, block.removal(block.members))
    np.testing.assert_array_equal(sums, sum(member.values for member in block.members))
    assert len(pool) == 0
    other = dataclasses.replace(block, pool=Pool(small_key.public, entropy_from(1), lambda: 1))
    with pytest.raises(FatalError, match="of another key"):
        other.batch(block.members[0])


@ENVELOPES
@pytest.mark.parametrize(
    "change",
    [
        {"model_digest": b"M" * 32},
        {"roster_digest": b"R" * 32},
        {"attempt": 2},
        {"round": 2},
        {"job": b"j" * 32},
        {"chain_id": 2},
        {"contract": b"c" * 20},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_sum_over_contributions_that_disagree_does_not_open(
    block_of: Callable[[str], Block], kind: str, change: dict[str, object]
) -> None:
    """One member was told another model, roster or place: its masks meet nobody's."""
    block = block_of(kind)
    batches = [block.batch(member) for member in block.members[:4]]
    odd = block.batch(block.members[4], **change)
    unmask = block.removal(block.members)
    with pytest.raises(SumOutOfRange):
        block.open([*batches, odd], unmask)
    good = block.batch(block.members[4])
    np.testing.assert_array_equal(
        block.open([*batches, good], unmask), sum(member.values for member in block.members)
    )


@ENVELOPES
def test_nothing_but_the_whole_sum_opens(block_of: Callable[[str], Block], kind: str) -> None:
    """With all seeds in hand: neither one contribution, nor the sum without one."""
    block = block_of(kind)
    unmask = block.removal(block.members)
    batches = [block.batch(member) for member in block.members]
    for some in (batches[:1], batches[1:], [*batches[1:], batches[1]]):
        with pytest.raises(SumOutOfRange):
            block.open(some, unmask)
    # shares of the seeds of four and of the key of the fifth open four, if nobody gave the other
    # kind: what members do not release is what protects
    np.testing.assert_array_equal(
        block.open(batches[1:], block.removal(block.members[1:])),
        sum(member.values for member in block.members[1:]),
    )


@ENVELOPES
def test_a_batch_without_its_masks_off_is_uniform(
    block_of: Callable[[str], Block], kind: str
) -> None:
    """What the requester decrypts of one member is spread over all residues."""
    block = block_of(kind)
    one = dataclasses.replace(block.members[0], values=np.zeros(COUNT, dtype=np.int64))
    batch = block.batch(one)
    if kind == MASKS:
        numbers = np.frombuffer(batch, np.uint8, offset=HEADER_BYTES) / 256
    else:
        public = block.key.public
        body, size = batch[HEADER_BYTES:], public.ciphertext_bytes
        cut = [int.from_bytes(body[i : i + size], "big") for i in range(0, len(body), size)]
        numbers = np.array([plain % public.n / public.n for plain in block.key.decrypt(cut)])
    assert numbers.min() < 0.5 < numbers.max()
    assert len(set(numbers.tolist())) > len(numbers) // 2


@ENVELOPES
def test_another_members_batch_is_refused_by_name(
    block_of: Callable[[str], Block], kind: str
) -> None:
    block = block_of(kind)
    mine, theirs = block.members[:2]
    batch = block.batch(theirs)
    with pytest.raises(Malformed, match="made by another member"):
        kernels.check_batch(block.envelope, batch, COUNT, mine.maker)
    with pytest.raises(Malformed, match="or for another attempt"):
        kernels.check_batch(block.envelope, batch, COUNT, batch_maker(b"later", theirs.peer))
    total = kernels.sum_batches(block.envelope, [batch], COUNT)
    with pytest.raises(Malformed, match="maker"):
        kernels.check_batch(block.envelope, total, COUNT, theirs.maker)
    unmask = block.removal(block.members)
    arguments = (unmask, block.envelope, 1, COUNT)
    with pytest.raises(Malformed, match="sum has the maker"):
        kernels.open_sum(block.key, batch, *arguments)


@ENVELOPES
def test_batches_are_as_large_as_they_are_said_to_be(
    block_of: Callable[[str], Block], kind: str
) -> None:
    block = block_of(kind)
    envelope, batch = block.envelope, block.batch(block.members[0])
    packing = Packing(16, 5, 256, kind)
    model = Model(Family.SOFTMAX, 7, 5)
    assert model.parameter_count == COUNT
    assert len(batch) == packing.batch_bytes(COUNT) == envelope.batch_bytes(model)
    if kind == MASKS:
        assert envelope.words.bits == packing.word_bits == 24
    for wrong in (batch[:-1], batch + b"0", b"", batch[:HEADER_BYTES]):
        with pytest.raises(Malformed, match="bytes"):
            kernels.check_batch(envelope, wrong, COUNT, block.members[0].maker)
        with pytest.raises(Malformed, match="batch 1 has"):
            kernels.sum_batches(envelope, [batch, wrong], COUNT)
    with pytest.raises(Malformed, match="bytes"):
        kernels.check_batch(envelope, batch, COUNT + 99, block.members[0].maker)
    with pytest.raises(FatalError, match="no batch"):
        kernels.sum_batches(envelope, [], COUNT)


def test_one_envelopes_bytes_are_not_the_others(block_of: Callable[[str], Block]) -> None:
    batches = {kind: block_of(kind).batch(block_of(kind).members[0]) for kind in (PAILLIER, MASKS)}
    for kind, other in ((PAILLIER, MASKS), (MASKS, PAILLIER)):
        block = block_of(kind)
        with pytest.raises(Malformed, match="batch"):
            kernels.check_batch(block.envelope, batches[other], COUNT, block.members[0].maker)
        unmask = block_of(other).removal(block_of(other).members)
        sound = [block.batch(member) for member in block.members]
        with pytest.raises(Malformed, match="removal"):
            block.open(sound, unmask)


@ENVELOPES
def test_what_unmasks_is_read_strictly(block_of: Callable[[str], Block], kind: str) -> None:
    block = block_of(kind)
    batches = [block.batch(member) for member in block.members]
    unmask = block.removal(block.members)
    for wrong in (unmask[:-1], unmask + b"0", b"", batches[0]):
        with pytest.raises(Malformed, match="removal"):
            block.open(batches, wrong)


@ENVELOPES
def test_two_batches_of_one_member_differ_only_where_they_may(
    block_of: Callable[[str], Block], kind: str
) -> None:
    """Masks depend on nothing random: the same integers give the same plaintexts again."""
    block = block_of(kind)
    one, two = (block.batch(block.members[0]) for _ in range(2))
    assert (one == two) is (kind == MASKS)
    other = block.batch(block.members[0], attempt=2)
    assert one[HEADER_BYTES:] != other[HEADER_BYTES:]


@ENVELOPES
def test_values_beyond_the_clip_and_other_moduli_are_ours_to_blame(
    block_of: Callable[[str], Block], kind: str
) -> None:
    block = block_of(kind)
    top = block.envelope.lanes.max_int
    for wrong in (np.full(COUNT, top + 1), np.full(COUNT, -top - 1), np.zeros(COUNT)):
        with pytest.raises(FatalError, match="value"):
            block.batch(dataclasses.replace(block.members[0], values=wrong))
    with pytest.raises(FatalError, match="another modulus"):
        block.batch(block.members[0], n=b"\xff" * 32)
    binding = dataclasses.replace(block.binding, n=b"\xff" * 32)
    with pytest.raises(FatalError, match="another modulus"):
        kernels.unmask_vector(block.envelope, COUNT, binding, [], [])


@ENVELOPES
def test_no_more_batches_are_opened_than_lanes_hold(
    block_of: Callable[[str], Block], kind: str
) -> None:
    block = block_of(kind)
    room = block.envelope.lanes.headroom
    total = kernels.sum_batches(
        block.envelope, [block.batch(member) for member in block.members], COUNT
    )
    unmask = block.removal(block.members)
    with pytest.raises(FatalError, match=f"{room + 1} batches to add"):
        kernels.open_sum(block.key, total, unmask, block.envelope, room + 1, COUNT)


def test_another_key_opens_nothing(
    block_of: Callable[[str], Block], medium_key: PrivateKey
) -> None:
    block = block_of(PAILLIER)
    total = kernels.sum_batches(block.envelope, [block.batch(block.members[0])], COUNT)
    unmask = block.removal(block.members)
    for key in (medium_key, None):
        with pytest.raises(FatalError, match="not the envelope's"):
            kernels.open_sum(key, total, unmask, block.envelope, 1, COUNT)


def test_masks_alone_open_without_a_key(block_of: Callable[[str], Block]) -> None:
    block = block_of(MASKS)
    batches = [block.batch(member) for member in block.members]
    total = kernels.sum_batches(block.envelope, batches, COUNT)
    unmask = block.removal(block.members)
    sums = kernels.open_sum(None, total, unmask, block.envelope, len(batches), COUNT)
    assert np.array_equal(sums, sum(member.values for member in block.members))


def test_an_unknown_envelope_is_refused() -> None:
    with pytest.raises(InputError, match=r"encryption\.envelope: is 'plain'"):
        Envelope(bytes(32), 16, 1.5, 5, "plain")


def test_a_modulus_that_is_none_is_refused(block_of: Callable[[str], Block]) -> None:
    block = block_of(PAILLIER)
    wrong = dataclasses.replace(block.envelope, n=b"\xff" * 32)
    binding = dataclasses.replace(block.binding, n=b"\xff" * 32)
    one = block.members[0]
    with pytest.raises(InputError, match=r"key\.n"):
        kernels.close(
            wrong, one.values, one.secrets, 0, block.roster(), binding, one.maker, block.entropy
        )


def test_hostile_numbers_drop_the_block(block_of: Callable[[str], Block]) -> None:
    """A contribution of any number modulo n, under the right masks."""
    block = block_of(PAILLIER)
    lanes, public, last = block.envelope.lanes, block.key.public, block.members[4]
    batches = [block.batch(member) for member in block.members]
    unmask = block.removal(block.members)
    top = lanes.width * lanes.lanes_per_ciphertext
    rest = [0] * (lanes.ciphertexts(COUNT) - 1)
    for number, says in (
        (1 << top, "remainder"),
        (public.n // 2, "remainder"),
        (lanes.max_int * 6, "lane 0 holds"),
        (-lanes.max_int * 6 << lanes.width, "lane 1 holds"),
    ):
        zeros = dataclasses.replace(last, values=np.zeros(COUNT, dtype=np.int64))
        extra = encode_batch(public, encrypt(public, [number, *rest], block.entropy), last.maker)
        added = kernels.sum_batches(block.envelope, [block.batch(zeros), extra], COUNT)
        hostile = added[:13] + last.maker + added[HEADER_BYTES:]
        kernels.check_batch(block.envelope, hostile, COUNT, last.maker)
        calm = [
            block.batch(dataclasses.replace(each, values=np.zeros(COUNT, dtype=np.int64)))
            for each in block.members[:4]
        ]
        with pytest.raises(SumOutOfRange, match=says):
            block.open([*calm, hostile], unmask)
    np.testing.assert_array_equal(
        block.open(batches, unmask), sum(member.values for member in block.members)
    )


def test_a_huge_word_drops_the_block(block_of: Callable[[str], Block]) -> None:
    block = block_of(MASKS)
    unmask = block.removal(block.members)
    bound = 5 * block.envelope.lanes.max_int
    calm = [
        bytearray(block.batch(dataclasses.replace(member, values=np.zeros(COUNT, dtype=np.int64))))
        for member in block.members
    ]

    def opened(number: int) -> Integers:
        """The first member adds `number` to its value 7, whatever its mask is."""
        changed = bytearray(calm[0])
        at = slice(HEADER_BYTES + 21, HEADER_BYTES + 24)
        word = (int.from_bytes(changed[at], "little") + number) % 2**24
        changed[at] = word.to_bytes(3, "little")
        return block.open([bytes(changed), *map(bytes, calm[1:])], unmask)

    assert opened(bound)[7] == bound
    assert opened(-bound)[7] == -bound
    for number in (bound + 1, -bound - 1, 1 << 23):
        with pytest.raises(SumOutOfRange, match="lane 7 holds"):
            opened(number)


def test_a_batch_from_a_peer_is_checked_before_use(block_of: Callable[[str], Block]) -> None:
    block = block_of(PAILLIER)
    public, envelope = block.key.public, block.envelope
    batches = [block.batch(member) for member in block.members]
    expected, size = envelope.lanes.ciphertexts(COUNT), public.ciphertext_bytes
    maker = block.members[1].maker
    zero = bytearray(batches[1])
    zero[HEADER_BYTES : HEADER_BYTES + size] = bytes(size)
    with pytest.raises(Malformed, match=r"batch 1: ciphertext 0 lies outside"):
        kernels.sum_batches(envelope, [batches[0], bytes(zero)], COUNT)
    with pytest.raises(Malformed, match=r"ciphertext 0 lies outside"):
        kernels.check_batch(envelope, bytes(zero), COUNT, maker)
    bad = bytearray(batches[1])
    bad[-size:] = public.n.to_bytes(size, "big")
    with pytest.raises(Malformed, match=rf"batch 0: ciphertext {expected - 1} is no unit"):
        kernels.sum_batches(envelope, [bytes(bad), batches[0]], COUNT)
    with pytest.raises(Malformed, match="no unit"):
        kernels.check_batch(envelope, bytes(bad), COUNT, maker)


@ENVELOPES
def test_a_full_key_and_a_full_block(
    full_key: PrivateKey, entropy_from: Callable[[int], Entropy], kind: str
) -> None:
    """32 members of whom 9 drop out, t = 19, at 3072 bits."""
    block = make_block(kind, full_key, 32, 19, entropy_from(32))
    present = block.members[4:27]
    batches = [block.batch(member) for member in present]
    np.testing.assert_array_equal(
        block.open(batches, block.removal(present)), sum(member.values for member in present)
    )
