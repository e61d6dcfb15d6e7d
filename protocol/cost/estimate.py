"""A job's cost before anybody runs it: sizes and money exactly, seconds roughly.

`assay job check` prints it, and the simulator takes its virtual time from it. Bytes count batches,
models, lists and the private messages of a round. Headers of gossip and of the transport add a few
percent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocol import params
from protocol.books.lists import (
    BlockList,
    ContributionList,
    encode_contributions,
    encode_proven_roster,
    encode_roster,
)
from protocol.cost.encryption import add_seconds, decrypt_seconds, encrypt_seconds
from protocol.cost.sealed import owner_seconds, reference_pace, requester_seconds
from protocol.layout.packing import ENVELOPES, MASKS, PAILLIER, SHARES, Packing
from protocol.layout.shares import SharesLayout
from protocol.spec.job import Terms
from protocol.wire.codec import encode
from protocol.wire.envelope import Context, Envelope, Frame, seal
from protocol.wire.messages import Body, Ready, Release

# Measured on one shared core at 2.5 GHz; encryption.py has Paillier's.
_STEP_SECONDS: Final = 0.000_2  # a local step's fixed part
_FLOPS: Final = 1e9  # of float64 matrix products, one thread
_RESIDUE_SECONDS: Final = 6e-6  # one ciphertext's mask for one mate
_WORD_SECONDS: Final = 1e-9  # one value's, in the masks envelope
_WORD_ADD_SECONDS: Final = 4e-9  # one value of one batch
_PROOF_SECONDS: Final = 3.5e-7  # one value, dealt to one member, and one of its checked
_OPEN_SECONDS: Final = 1e-7  # one value of one member's sum, interpolated
_AGREE_SECONDS: Final = 0.000_05  # X25519
_SPLIT_SECONDS: Final = 1e-5  # one share that is not given, for each share of the threshold
_JOIN_SECONDS: Final = 9.5e-5  # a secret, for each pair of shares of the threshold

# The longest that the fields of a message's context can be, so that no message is longer.
_PLACE: Final = Context(
    2**63 - 1, bytes(20), bytes(32), params.MAX_ROUNDS - 1, params.MAX_ATTEMPTS - 1
)
_PEER: Final = bytes(38)


@dataclass(frozen=True, slots=True)
class EnvelopeCost:
    """What a contribution costs in one of the two envelopes; bytes and seconds of a round.

    `ciphertexts` and `lanes` are 0 for `masks`, which has none. `inline` and the seconds as in
    Estimate.
    """

    envelope: str
    ciphertexts: int
    lanes: int
    contribution_bytes: int
    inline: bool
    contribute_seconds: float
    apply_seconds: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """One job in numbers. Bytes and seconds are per round, money over the whole job.

    `inputs`, `outputs`, `parameters`: of the model, categories one-hot
    `features`: what a sealed model is linear in; of an open one, its inputs
    `lane_bits`, `lanes`: bits of a packed value, and values in a ciphertext
    `headroom`: how many batches a lane holds the sum of; at least `largest_block`
    `ciphertexts`: of one contribution
    `contribution_bytes`, `bytes_per_parameter`: one contribution on the wire, header included
    `inline`: it travels inside its gossip message; otherwise by digest over a stream
    `model_bytes`: the weights that every owner fetches
    `model_ciphertexts`: of a sealed model; 0 of an open one
    `ready_bytes`, `roster_bytes`, `release_bytes`: an owner's secrets shared out, a block's list of
    these, an owner's word that opens the sum; each in the largest block
    `list_bytes`: the commitment's list of the largest cohort, which every owner fetches
    `blocks`, `largest_block`: at most so many blocks, of at most so many owners
    `threshold`, `largest_threshold`: shares that rebuild a secret, in the least and largest block
    `owner_in`, `owner_out`: bytes of one owner: model, roster and list; contribution, Ready and
    Release
    `requester_in`, `requester_out`: bytes of the requester with the largest cohort, if each owner
    fetches all that from it (owners that hold it serve others too)
    `contribute_seconds`: an owner's computing on one core, nothing made ahead; `apply_seconds`: the
    requester's
    `shortest_seconds`, `longest_seconds`: the whole job if only computing and finality took time,
    and if every deadline were used up
    `owner_earns`: pay of an owner that contributes to every round, merit aside
    `escrow`: what the requester locks up
    `ciphertext_expansion`: contribution_bytes by the bytes of the same values as float64
    `envelopes`: the same contribution in each envelope that the job could have, its own among them
    """

    inputs: int
    features: int
    outputs: int
    parameters: int
    lane_bits: int
    lanes: int
    headroom: int
    ciphertexts: int
    contribution_bytes: int
    bytes_per_parameter: float
    inline: bool
    model_bytes: int
    model_ciphertexts: int
    ready_bytes: int
    roster_bytes: int
    release_bytes: int
    list_bytes: int
    blocks: int
    largest_block: int
    threshold: int
    largest_threshold: int
    owner_in: int
    owner_out: int
    requester_in: int
    requester_out: int
    contribute_seconds: float
    apply_seconds: float
    shortest_seconds: float
    longest_seconds: int
    owner_earns: int
    escrow: int
    ciphertext_expansion: float
    envelopes: tuple[EnvelopeCost, ...]


def estimate(terms: Terms, block_seconds: float = 12.0) -> Estimate:
    """The estimate of a job with its largest cohort; `block_seconds` is the chain's pace."""
    packing, parameters, owners = terms.packing, terms.parameter_count, terms.cohort.max_owners
    weights, sealed = terms.model_bytes, packing.sealed
    size = _contribution_bytes(terms, packing)
    largest = terms.cohort.largest_block
    threshold = terms.threshold(largest)
    ready, release = ready_bytes(largest, threshold), release_bytes(largest)
    roster, listed = roster_bytes(largest, threshold), list_bytes(terms)
    shares = shares_layout(terms) if terms.proves else None
    more_in = more_out = comes = goes = 0
    if shares is not None:
        # Its mates' boxes and the verdict come in, its words and its sum go out; the requester
        # gets no box, and passes on the verdict.
        ready, release = _framed(_bare_ready()), release_bytes(1)
        roster = len(encode_proven_roster((_sealed(_bare_ready()),) * largest, ()))
        boxes = shares.dealt_bytes * (largest - 1) // largest
        more_in, goes = boxes + shares.verdict_bytes, shares.verdict_bytes
        more_out = shares.words_bytes + shares.sum_bytes
        comes = more_out + packing.batch_bytes(parameters) - size
    contribute, apply_ = contribute_seconds(terms), apply_seconds(terms)
    final = (1 + terms.timing.finality_blocks) * block_seconds
    return Estimate(
        inputs=terms.inputs,
        features=terms.inputs if sealed is None else sealed.features,
        outputs=terms.outputs,
        parameters=parameters,
        lane_bits=packing.lane_bits,
        lanes=packing.lanes,
        headroom=packing.headroom,
        ciphertexts=packing.ciphertexts(parameters),
        contribution_bytes=size,
        bytes_per_parameter=size / parameters,
        inline=not terms.proves and size <= params.MAX_INLINE_BATCH_BYTES,
        model_bytes=weights,
        model_ciphertexts=0 if sealed is None else sealed.model_ciphertexts,
        ready_bytes=ready,
        roster_bytes=roster,
        release_bytes=release,
        list_bytes=listed,
        blocks=terms.block_count,
        largest_block=largest,
        threshold=terms.threshold(terms.cohort.block_size),
        largest_threshold=threshold,
        owner_in=weights + roster + listed + more_in,
        owner_out=size + ready + release + more_out,
        requester_in=owners * (size + ready + release + comes),
        requester_out=owners * (weights + roster + listed + goes),
        contribute_seconds=contribute,
        apply_seconds=apply_,
        shortest_seconds=terms.training.rounds * (contribute + apply_ + final) + final,
        longest_seconds=terms.least_lifetime,
        owner_earns=terms.training.rounds * terms.payment.rate,
        escrow=terms.escrow,
        ciphertext_expansion=size / (8 * parameters),
        envelopes=tuple(_cost(terms, each) for each in _envelopes(terms)),
    )


def _envelopes(terms: Terms) -> tuple[str, ...]:
    """Those that the job could have: sealed weights are ciphertexts, and so are replies to them.
    Shares are told of where the job has them."""
    if terms.privacy.sealed:
        return (PAILLIER,)
    return ENVELOPES if terms.proves else (PAILLIER, MASKS)


def shares_layout(terms: Terms) -> SharesLayout:
    """The sizes of pieces and words in the largest block of a job with proofs."""
    members = terms.cohort.largest_block
    return SharesLayout(terms.parameter_count, terms.norm_bound, members, terms.threshold(members))


def _contribution_bytes(terms: Terms, packing: Packing) -> int:
    if packing.envelope == SHARES:
        return shares_layout(terms).dealt_bytes
    return packing.batch_bytes(terms.parameter_count)


def _cost(terms: Terms, envelope: str) -> EnvelopeCost:
    packing, values = _packing(terms, envelope), terms.parameter_count
    size, closed = _contribution_bytes(terms, packing), envelope == PAILLIER
    return EnvelopeCost(
        envelope=envelope,
        ciphertexts=packing.ciphertexts(values) if closed else 0,
        lanes=packing.lanes if closed else 0,
        contribution_bytes=size,
        inline=envelope != SHARES and size <= params.MAX_INLINE_BATCH_BYTES,
        contribute_seconds=contribute_seconds(terms, envelope),
        apply_seconds=apply_seconds(terms, envelope),
    )


def _packing(terms: Terms, envelope: str) -> Packing:
    encryption = terms.encryption
    members = terms.cohort.largest_block
    layout = terms.layout
    return Packing(encryption.value_bits, members, encryption.key_bits, envelope, layout)


# --- messages and lists, at their longest


def ready_bytes(members: int, threshold: int) -> int:
    """A Ready of a block of `members`, as it is sent."""
    return _framed(_ready(members, threshold))


def roster_bytes(members: int, threshold: int) -> int:
    """A block's frozen roster: every member's Ready."""
    return len(encode_roster((_sealed(_ready(members, threshold)),) * members))


def release_bytes(members: int) -> int:
    """A Release of a block of `members`, as it is sent."""
    shares = (bytes(params.SHARE_BYTES),) * members
    return _framed(Release(bytes(32), params.MAX_BLOCKS, shares))


def list_bytes(terms: Terms) -> int:
    """The list of a commitment that counts the largest cohort whole."""
    start, blocks = 0, []
    for number, size in enumerate(terms.cohort.blocks(terms.cohort.max_owners)):
        members = tuple(range(start, start + size))
        blocks.append(BlockList(number, bytes(32), members, (bytes(32),) * size))
        start += size
    return len(encode_contributions(ContributionList(tuple(blocks))))


def _ready(members: int, threshold: int) -> Ready:
    hashes = (bytes(params.SHARE_HASH_BYTES),) * members
    full = members - threshold + 1
    boxes = (b"",) * (members - full) + (bytes(params.SHARE_BOX_BYTES),) * full
    return Ready(bytes(32), bytes(32), bytes(32), bytes(32), hashes, hashes, boxes)


def _bare_ready() -> Ready:
    """Where contributions prove their norm, nothing is shared yet."""
    return Ready(bytes(32), bytes(32), b"", b"", (), (), ())


def _sealed(body: Body) -> Envelope:
    return seal(_PLACE, _PEER, body, lambda data: bytes(64))


def _framed(body: Body) -> int:
    return len(encode(Frame(encode(_sealed(body)), b"")))


# --- seconds


def contribute_seconds(terms: Terms, envelope: str = "") -> float:
    """An owner's part of a round on one core: its secrets, local steps, masks, encryption; of a
    sealed model's, the encrypted product, with blinders that were not made ahead.

    `envelope` is one of ENVELOPES; empty: the job's own. So below.
    """
    secrets = secrets_seconds(terms)
    if terms.privacy.sealed:
        return secrets + owner_seconds(terms, reference_pace(terms.encryption.key_bits)).pool_empty
    training, parameters = terms.training, terms.parameter_count
    # forward, backward and per-record norms: about six operations a weight and row
    flops = 6 * parameters * training.batch_rows * training.local_steps
    train = training.local_steps * _STEP_SECONDS + flops / _FLOPS
    members = terms.cohort.largest_block
    before = train + secrets
    if (envelope or terms.encryption.envelope.kind) == SHARES:
        return train + members * parameters * _PROOF_SECONDS
    if (envelope or terms.encryption.envelope.kind) != PAILLIER:
        return before + members * parameters * _WORD_SECONDS
    ciphertexts = _packing(terms, PAILLIER).ciphertexts(parameters)
    masks = members * ciphertexts * _RESIDUE_SECONDS
    return before + masks + encrypt_seconds(terms.encryption.key_bits, ciphertexts)


def apply_seconds(terms: Terms, envelope: str = "") -> float:
    """The requester's part of a round on one core: sums of the largest cohort, every secret
    rebuilt, every mask made again and taken off, then decryption of each block's sum; for a sealed
    model, encryption of its new weights."""
    owners, parameters = terms.cohort.max_owners, terms.parameter_count
    if terms.privacy.sealed:
        pace = reference_pace(terms.encryption.key_bits)
        return rebuilding_seconds(terms) + requester_seconds(terms, pace).total
    if (envelope or terms.encryption.envelope.kind) == SHARES:
        return owners * parameters * _OPEN_SECONDS
    join = rebuilding_seconds(terms) / owners
    if (envelope or terms.encryption.envelope.kind) != PAILLIER:
        return owners * (join + parameters * (_WORD_SECONDS + _WORD_ADD_SECONDS))
    ciphertexts = _packing(terms, PAILLIER).ciphertexts(parameters)
    masks = owners * (join + ciphertexts * _RESIDUE_SECONDS)
    key_bits = terms.encryption.key_bits
    sums = add_seconds(key_bits, owners * ciphertexts)
    return masks + sums + decrypt_seconds(key_bits, terms.block_count * ciphertexts)


def secrets_seconds(terms: Terms) -> float:
    """An owner's secrets of one attempt on one core: shared out, and agreed on with its mates."""
    members = terms.cohort.largest_block
    shares = 2 * members * terms.threshold(members) * _SPLIT_SECONDS  # of two secrets
    return shares + 3 * members * _AGREE_SECONDS  # masks; boxes sealed, and opened


def rebuilding_seconds(terms: Terms) -> float:
    """One secret of each member of the largest cohort, rebuilt from its shares."""
    join = terms.threshold(terms.cohort.largest_block) ** 2 * _JOIN_SECONDS
    return terms.cohort.max_owners * join
