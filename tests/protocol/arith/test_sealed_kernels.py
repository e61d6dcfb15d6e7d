"""A sealed round through the functions that workers run: encrypt, reply, sum, unmask, open."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import gmpy2
import numpy as np
import pytest
from gmpy2 import mpz
from hypothesis import given
from hypothesis import strategies as st
from kits.examples import examples

from protocol.arith import kernels
from protocol.arith.encoding.envelope import Envelope
from protocol.arith.encoding.lanes import SumOutOfRange
from protocol.arith.numbers.entropy import Entropy
from protocol.arith.numbers.shape import HEADER_BYTES, NOBODY, Kind
from protocol.arith.paillier.batch import decode_batch, encode_batch
from protocol.arith.paillier.blinding import FullRange
from protocol.arith.paillier.cryptosystem import PrivateKey
from protocol.arith.paillier.pool import Pool
from protocol.arith.sealed import ciphertexts as sealed
from protocol.arith.secagg.agreement import new_key, public_of
from protocol.arith.secagg.masks import Binding, Residues, contribution_mask
from protocol.arith.secagg.sharing import Secrets
from protocol.errors import FatalError, InputError, Malformed
from protocol.layout.packing import MASKS, Packing, batch_maker
from protocol.layout.sealed import SEALED_HEADER_BYTES, SealedLayout
from protocol.params import SEALED_FRACTION_BITS

LIMIT = 64.0
ONE = 1 << SEALED_FRACTION_BITS


@dataclass(frozen=True)
class Block:
    """Owners of a sealed job, the model in the clear and encrypted, and the key to it."""

    key: PrivateKey
    envelope: Envelope
    owners: tuple[Secrets, ...]
    weights: np.ndarray
    model: bytes
    entropy: Entropy

    @property
    def layout(self) -> SealedLayout:
        assert self.envelope.sealed is not None
        return self.envelope.sealed

    @property
    def binding(self) -> Binding:
        return Binding(1, bytes(20), bytes(32), 1, 1, b"m" * 32, b"r" * 32, self.envelope.n)

    @property
    def roster(self) -> list[tuple[int, bytes]]:
        return [(at, public_of(owner.mask_private)) for at, owner in enumerate(self.owners)]

    @property
    def integers(self) -> np.ndarray:
        """The weights that were encrypted, p x C, as Python integers: nothing wraps."""
        plain, _ = sealed.quantise_weights(self.envelope, self.weights)
        return plain.reshape(self.layout.features, self.layout.outputs).astype(object)

    def maker(self, owner: int) -> bytes:
        return batch_maker(b"place", b"peer %d" % owner)

    def reply(
        self, owner: int, matrix: np.ndarray, offset: np.ndarray, pool: Pool | None = None
    ) -> bytes:
        return sealed.reply(
            self.envelope,
            self.model,
            matrix,
            offset,
            self.owners[owner],
            owner,
            self.roster,
            self.binding,
            self.maker(owner),
            self.entropy,
            pool,
        )

    def removal(self, present: Sequence[int]) -> bytes:
        seeds = [(*self.roster[at], self.owners[at].seed) for at in present]
        rest = set(range(len(self.owners))) - set(present)
        keys = [(at, self.owners[at].mask_private) for at in sorted(rest)]
        return kernels.unmask_vector(self.envelope, self.layout.values, self.binding, seeds, keys)

    def open(self, batches: Sequence[bytes], removal: bytes, summands: int) -> np.ndarray:
        values = self.layout.values
        total = kernels.sum_batches(self.envelope, batches, values)
        return kernels.open_sum(self.key, total, removal, self.envelope, summands, values)

    def zeros(self) -> tuple[np.ndarray, np.ndarray]:
        p, outputs = self.layout.features, self.layout.outputs
        return np.zeros((p, p), np.int64), np.zeros((p, outputs), np.int64)


def make_block(
    key: PrivateKey,
    entropy: Entropy,
    features: int,
    outputs: int,
    bits: int = 8,
    owners: int = 3,
    members: int = 0,
    weights: np.ndarray | None = None,
) -> Block:
    layout = SealedLayout(features, outputs, bits, key.public.bits, members or owners)
    n, base = key.public.to_bytes(), key.public.base_bytes()
    envelope = Envelope(n, bits, LIMIT, layout.members, base=base, sealed=layout)
    if weights is None:
        random = np.random.default_rng(int.from_bytes(entropy(8), "big"))
        weights = random.uniform(-LIMIT, LIMIT, layout.values)
    secrets = tuple(Secrets(new_key(entropy)[0], entropy(32)) for _ in range(owners))
    model, _ = sealed.encrypt_model(envelope, weights, entropy)
    return Block(key, envelope, secrets, weights, model, entropy)


def random_step(layout: SealedLayout, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A matrix whose rows reach row_max now and then, and an offset up to its bound."""
    random = np.random.default_rng(seed)
    p = layout.features
    rows = random.dirichlet(np.ones(p), p) * layout.row_max * random.choice([1.0, 0.3], (p, 1))
    matrix = np.floor(rows).astype(np.int64) * random.choice([-1, 1], (p, p))
    offset = random.integers(
        -layout.bound, layout.bound, (p, layout.outputs), dtype=np.int64, endpoint=True
    )
    return matrix, offset


@given(
    features=st.integers(1, 9),
    outputs=st.integers(1, 12),
    bits=st.sampled_from((4, 16, 32)),
    owners=st.integers(2, 5),
    seed=st.integers(0, 2**32),
    data=st.data(),
)
@examples(0.4)
def test_what_opens_is_the_exact_sum_of_the_owners_steps(
    small_key: PrivateKey,
    entropy_from: Callable[[int], Entropy],
    features: int,
    outputs: int,
    bits: int,
    owners: int,
    seed: int,
    data: st.DataObject,
) -> None:
    block = make_block(small_key, entropy_from(seed), features, outputs, bits, owners)
    present = sorted(data.draw(st.sets(st.integers(0, owners - 1), min_size=1)))
    batches, truth = [], np.zeros((features, outputs), dtype=object)
    for owner in present:
        matrix, offset = random_step(block.layout, seed + owner)
        batch = block.reply(owner, matrix, offset)
        kernels.check_batch(block.envelope, batch, block.layout.values, block.maker(owner))
        batches.append(batch)
        truth += matrix.astype(object) @ block.integers + offset
    packing = Packing(bits, owners, 256, sealed=block.layout)
    assert {len(batch) for batch in batches} == {packing.batch_bytes(block.layout.values)}
    sums = block.open(batches, block.removal(present), len(present))
    assert sums.dtype == np.int64
    assert sums.tolist() == truth.reshape(-1).tolist()
    unit = LIMIT / block.layout.weight_max / ONE
    np.testing.assert_allclose(
        sealed.restore(block.envelope, sums), truth.reshape(-1).astype(float) * unit
    )


@pytest.mark.parametrize(("features", "outputs"), [(2, 24), (5, 2), (11, 1)])
def test_groups_and_rows_that_do_not_fill_a_ciphertext(
    small_key: PrivateKey, entropy_from: Callable[[int], Entropy], features: int, outputs: int
) -> None:
    block = make_block(small_key, entropy_from(features), features, outputs)
    layout = block.layout
    assert layout.outputs % layout.per_group or layout.features % layout.rows_per_reply
    steps = [random_step(layout, seed) for seed in range(3)]
    batches = [block.reply(owner, *step) for owner, step in enumerate(steps)]
    sums = block.open(batches, block.removal([0, 1, 2]), 3)
    truth = sum(matrix.astype(object) @ block.integers + offset for matrix, offset in steps)
    assert sums.tolist() == truth.reshape(-1).tolist()


@pytest.mark.parametrize("sign", [1, -1])
def test_extremes_fill_their_lanes_and_no_more(
    small_key: PrivateKey, entropy_from: Callable[[int], Entropy], sign: int
) -> None:
    """Every weight at the limit, every row at row_max, every offset at the bound, a full block."""
    weights = np.full(6 * 2, 1e9)  # far beyond the limit: encrypted as the limit
    block = make_block(small_key, entropy_from(1), 6, 2, 8, owners=4, weights=weights)
    layout = block.layout
    matrix, offset = block.zeros()
    matrix[:, 0] = sign * layout.row_max
    offset[:] = sign * layout.bound
    batches = [block.reply(owner, matrix, offset) for owner in range(4)]
    sums = block.open(batches, block.removal(range(4)), 4)
    assert sums.tolist() == [sign * 4 * layout.max_int] * layout.values
    # the same replies said to be of one owner less: one past what three could add up to, and more
    with pytest.raises(SumOutOfRange, match=r"lane 0 holds .* 3 values"):
        block.open(batches, block.removal(range(4)), 3)


@pytest.mark.parametrize("lane", [0, 3])
def test_one_past_the_bound_is_refused(
    small_key: PrivateKey, entropy_from: Callable[[int], Entropy], lane: int
) -> None:
    """A requester's own plaintext, or an owner's, that no honest block gives."""
    block = make_block(small_key, entropy_from(1), 2, 2, 8, owners=2)
    layout, public = block.layout, block.key.public
    weights = np.full(4, 1e9)
    full = dataclasses.replace(
        block,
        weights=weights,
        model=sealed.encrypt_model(block.envelope, weights, block.entropy)[0],
    )
    matrix, offset = block.zeros()
    matrix[:, 0] = layout.row_max
    offset[:] = layout.bound
    batches = [full.reply(owner, matrix, offset) for owner in range(2)]
    removal = full.removal([0, 1])
    assert full.open(batches, removal, 2).tolist() == [2 * layout.max_int] * 4
    (number,) = decode_batch(batches[1], public, 1, None)
    more = number * (1 + (1 << layout.width * lane) * public.n) % public.n_squared
    hostile = encode_batch(public, [mpz(more)], full.maker(1))
    with pytest.raises(SumOutOfRange, match=f"lane {lane} holds {2 * layout.max_int + 1}"):
        full.open([batches[0], hostile], removal, 2)


def test_a_weight_is_rounded_to_the_nearest_and_clipped_with_notice(
    small_key: PrivateKey, entropy_from: Callable[[int], Entropy]
) -> None:
    block = make_block(small_key, entropy_from(1), 4, 2, 8)
    unit = LIMIT / 127
    weights = np.array([0.0, LIMIT, -LIMIT, LIMIT + unit, -1e300, 2.49 * unit, -2.51 * unit, 1e-9])
    integers, clipped = sealed.quantise_weights(block.envelope, weights)
    assert integers.tolist() == [0, 127, -127, 127, -127, 2, -3, 0]
    assert clipped == 2
    model, facts = sealed.encrypt_model(block.envelope, weights, block.entropy)
    assert facts.clipped == 2
    found = sealed.decrypt_model(small_key, block.envelope, model)
    assert found.tolist() == integers.tolist()
    again, _ = sealed.encrypt_model(block.envelope, weights, block.entropy)
    assert again[:SEALED_HEADER_BYTES] == model[:SEALED_HEADER_BYTES]
    assert again != model
    for wrong in (weights[:-1], np.zeros(8, np.float32), np.full(8, np.nan)):
        with pytest.raises(FatalError, match="to seal"):
            sealed.encrypt_model(block.envelope, wrong, block.entropy)


def test_models_encrypt_under_short_order_keys(
    short_key: PrivateKey, small_key: PrivateKey, entropy_from: Callable[[int], Entropy]
) -> None:
    block = make_block(short_key, entropy_from(2), 5, 3)
    found = sealed.decrypt_model(short_key, block.envelope, block.model)
    assert found.tolist() == block.integers.reshape(-1).tolist()
    with pytest.raises(FatalError, match="not the envelope's"):
        sealed.decrypt_model(small_key, block.envelope, block.model)


def cut(model: bytes, size: int) -> list[bytes]:
    body = model[SEALED_HEADER_BYTES:]
    return [body[start : start + size] for start in range(0, len(body), size)]


def test_a_bad_model_is_refused_and_what_is_wrong_is_named(
    small_key: PrivateKey, entropy_from: Callable[[int], Entropy]
) -> None:
    block = make_block(small_key, entropy_from(3), 4, 2)
    public, model = small_key.public, block.model
    size, p = public.ciphertext_bytes, small_key.factors()[0]
    header, parts = model[:SEALED_HEADER_BYTES], cut(model, public.ciphertext_bytes)

    def told(at: int, what: bytes) -> bytes:
        return header[:at] + what + header[at + len(what) :]

    def with_number(index: int, number: int) -> bytes:
        changed = [*parts]
        changed[index] = number.to_bytes(size, "big")
        return header + b"".join(changed)

    layout = block.layout
    other = SealedLayout(2, 4, layout.value_bits, layout.key_bits, layout.members)
    wide = dataclasses.replace(layout, members=9)
    for bad, says in (
        (header + b"".join(parts[:-1]), "has 237 bytes"),
        (header + b"".join([*parts, parts[0]]), "has 365 bytes"),
        (model + b"\0", "has 302 bytes"),
        (b"", "has 0 bytes"),
        (told(0, b"Assay") + b"".join(parts), "does not begin"),
        (told(5, b"\2") + b"".join(parts), "of version 2"),
        (told(6, b"\0") + b"".join(parts), "says kind 0"),
        (told(7, b"\2\0") + b"".join(parts), "512 bits"),
        (told(12, b"\3") + b"".join(parts), "3 numbers"),
        (told(13, other.field) + b"".join(parts), "says features 2, the spec's is 4"),
        (told(13, wide.field) + b"".join(parts), "says width 30, the spec's is 28"),
        (told(44, b"\1") + b"".join(parts), "does not end in zeros"),
        (header + b"".join([*parts[:3], parts[1]]), "ciphertexts 1 and 3 are the same"),
        (with_number(2, 0), "ciphertext 2 lies outside"),
        (with_number(1, public.n**2), "ciphertext 1 lies outside"),
        (with_number(3, public.n), "ciphertext 3 is no unit"),
        (with_number(0, 5 * p), "ciphertext 0 is no unit"),
    ):
        with pytest.raises(Malformed, match=rf"^sealed model.*{says}"):
            sealed.check_model(block.envelope, bad)
        with pytest.raises(Malformed, match=says):
            dataclasses.replace(block, model=bad).reply(0, *block.zeros())
    sealed.check_model(block.envelope, model)


def test_a_model_is_no_contribution_and_a_contribution_no_model(
    small_key: PrivateKey, entropy_from: Callable[[int], Entropy]
) -> None:
    """One row a ciphertext, so that both have as many: the kind tells them apart."""
    block = make_block(small_key, entropy_from(3), 3, 9)
    layout = block.layout
    assert layout.model_ciphertexts == layout.reply_ciphertexts
    batch = block.reply(0, *block.zeros())
    assert len(batch) == len(block.model)
    with pytest.raises(Malformed, match="says kind 0"):
        sealed.check_model(block.envelope, batch)
    with pytest.raises(Malformed, match="says kind 4"):
        kernels.check_batch(block.envelope, block.model, layout.values, block.maker(0))
    echo = encode_batch(
        small_key.public, sealed.read_model(block.envelope, block.model), block.maker(0)
    )
    with pytest.raises(Malformed, match="says kind 0"):
        sealed.check_model(block.envelope, echo)


def test_phe_reads_what_is_sent(
    medium_key: PrivateKey, entropy_from: Callable[[int], Entropy]
) -> None:
    """Both ways: a model, and a reply less its masks; and an owner may reply to phe's model."""
    block = make_block(medium_key, entropy_from(4), 3, 2)
    layout, theirs = block.layout, medium_key.to_phe()
    n, w = medium_key.public.n, layout.width
    first = int.from_bytes(cut(block.model, medium_key.public.ciphertext_bytes)[0], "big")
    weights = block.integers.tolist()
    assert theirs.raw_decrypt(first) == (weights[0][0] + (weights[0][1] << w)) % n
    made = [theirs.public_key.raw_encrypt((row[0] + (row[1] << w)) % n) for row in weights]
    blob = encode_batch(medium_key.public, made, layout.field, Kind.SEALED_MODEL)
    step = random_step(layout, 5)
    reply = dataclasses.replace(block, model=blob).reply(0, *step)
    owner = block.owners[0]
    keys = (owner.mask_private, owner.seed, 0, block.roster, block.binding)
    (mask,) = contribution_mask(Residues(n), 1, *keys)
    (number,) = decode_batch(reply, medium_key.public, 1, block.maker(0))
    told = (theirs.raw_decrypt(number) - mask) % n
    truth = (step[0].astype(object) @ block.integers + step[1]).reshape(-1).tolist()
    assert told == sum(value << (w * lane) for lane, value in enumerate(truth)) % n


def test_every_reply_is_masked_and_blinded_afresh(
    small_key: PrivateKey, entropy_from: Callable[[int], Entropy]
) -> None:
    """The same step under the same masks: equal plaintexts, unrelated residues; and what the
    product's residue was is gone, even of a model whose ciphertexts have the residue 1."""
    block = make_block(small_key, entropy_from(6), 3, 9)
    public, n = small_key.public, mpz(small_key.public.n)
    bare = [1 + plain * n for plain in range(1, 4)]
    model = encode_batch(public, bare, block.layout.field, Kind.SEALED_MODEL)
    block = dataclasses.replace(block, model=model)
    step = random_step(block.layout, 1)
    assert {number % n for number in sealed.product(block.envelope, model, step[0])} == {1}
    first, second = (
        decode_batch(block.reply(0, *step), public, 3, block.maker(0)) for _ in range(2)
    )
    assert small_key.decrypt(first) == small_key.decrypt(second)
    residues = [number % n for number in (*first, *second)]
    assert len(set(residues)) == 6
    assert all(residue > 1 for residue in residues)


def test_blinders_come_from_the_pool_while_it_has_any(
    small_key: PrivateKey, entropy_from: Callable[[int], Entropy]
) -> None:
    block = make_block(small_key, entropy_from(6), 3, 9)
    public = small_key.public
    pool = Pool(public, block.entropy, lambda: 1, source=FullRange)
    pool.fill(4)
    steps = [random_step(block.layout, seed) for seed in range(3)]
    batches = [block.reply(owner, *step, pool) for owner, step in enumerate(steps)]
    assert len(pool) == 0
    sums = block.open(batches, block.removal([0, 1, 2]), 3)
    truth = sum(matrix.astype(object) @ block.integers + offset for matrix, offset in steps)
    assert sums.tolist() == truth.reshape(-1).tolist()


def test_a_pool_of_the_requesters_powers_is_refused(
    short_key: PrivateKey, small_key: PrivateKey, entropy_from: Callable[[int], Entropy]
) -> None:
    """Powers of its own base are what a crafted key reads the matrix from."""
    block = make_block(short_key, entropy_from(6), 2, 2)
    powers = Pool(short_key.public, block.entropy, lambda: 1)
    with pytest.raises(FatalError, match="no full-range blinders"):
        block.reply(0, *block.zeros(), powers)
    other = Pool(small_key.public, block.entropy, lambda: 1, source=FullRange)
    with pytest.raises(FatalError, match="of another key"):
        block.reply(0, *block.zeros(), other)


def test_steps_beyond_their_bounds_are_our_own_fault(
    small_key: PrivateKey, entropy_from: Callable[[int], Entropy]
) -> None:
    block = make_block(small_key, entropy_from(7), 3, 2)
    layout = block.layout
    matrix, offset = block.zeros()
    for wrong in (matrix[:2], matrix.astype(np.float64), np.zeros((3, 2), np.int64)):
        with pytest.raises(FatalError, match="step's matrix is"):
            block.reply(0, wrong, offset)
    for value in (layout.row_max + 1, -layout.row_max - 1, np.iinfo(np.int64).min):
        matrix[1, 1] = value
        with pytest.raises(FatalError, match="an entry of a step's matrix"):
            block.reply(0, matrix, offset)
    matrix[1] = layout.row_max // 3, -layout.row_max // 3, layout.row_max // 3 + 3
    with pytest.raises(FatalError, match="row 1 of a step's matrix sums"):
        block.reply(0, matrix, offset)
    matrix[:] = 0
    for wrong in (offset[:2], offset.astype(np.int32), offset.reshape(-1)):
        with pytest.raises(FatalError, match="step's offset is"):
            block.reply(0, matrix, wrong)
    for value in (layout.bound + 1, -layout.bound - 1):
        offset[2, 1] = value
        with pytest.raises(FatalError, match="offset is beyond"):
            block.reply(0, matrix, offset)
    binding = dataclasses.replace(block.binding, n=b"\xff" * 32)
    with pytest.raises(FatalError, match="another modulus"):
        sealed.reply(
            block.envelope,
            block.model,
            *block.zeros(),
            block.owners[0],
            0,
            block.roster,
            binding,
            NOBODY,
            block.entropy,
        )


def test_envelopes_and_layouts_belong_together(
    small_key: PrivateKey, entropy_from: Callable[[int], Entropy]
) -> None:
    block = make_block(small_key, entropy_from(8), 3, 2)
    envelope, sums = block.envelope, np.zeros(6, np.int64)
    with pytest.raises(InputError, match=r"encryption\.envelope.*Paillier"):
        dataclasses.replace(envelope, kind=MASKS)
    for change in ({"value_bits": 9}, {"summands": 2}, {"n": envelope.n * 2}):
        with pytest.raises(FatalError, match="of another envelope"):
            dataclasses.replace(envelope, **change)
    plain = dataclasses.replace(envelope, sealed=None)
    with pytest.raises(FatalError, match="no sealed model"):
        sealed.check_model(plain, block.model)
    with pytest.raises(FatalError, match="no gradients"):
        kernels.mean_gradient(envelope, sums, 1)
    with pytest.raises(FatalError, match="a reply has 6"):
        kernels.check_batch(envelope, block.model, 7, NOBODY)


def test_a_product_is_what_plain_powers_give(
    small_key: PrivateKey, entropy_from: Callable[[int], Entropy]
) -> None:
    """Ciphertext for ciphertext, packed again by plain shifts."""
    block = make_block(small_key, entropy_from(9), 5, 2)
    layout, n_squared = block.layout, small_key.public.n_squared
    matrix, _ = random_step(layout, 9)
    numbers = sealed.read_model(block.envelope, block.model)
    wanted = []
    for index in range(layout.replies_per_group):
        total = mpz(1)
        for row in layout.rows_of(index):
            for number, entry in zip(numbers, matrix[row].tolist(), strict=True):
                shift = layout.width * layout.per_group * (row % layout.rows_per_reply)
                total = total * gmpy2.powmod(number, entry << shift, n_squared) % n_squared
        wanted.append(total)
    assert sealed.product(block.envelope, block.model, matrix) == wanted
    assert HEADER_BYTES == SEALED_HEADER_BYTES
