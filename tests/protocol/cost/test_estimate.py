"""Estimates: the upper floor's sizes are those of the kernels, and money is exact."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits.books import make_spec
from kits.specs import SPEC, specs

from protocol import params
from protocol.arith.encoding.lanes import Lanes
from protocol.arith.numbers.fixedpoint import FixedPoint
from protocol.arith.numbers.shape import HEADER_BYTES
from protocol.arith.numbers.vectors import Kind, encode_vector, vector_bytes
from protocol.books.lists import BlockList, ContributionList, encode_contributions, encode_roster
from protocol.cost.estimate import (
    apply_seconds,
    contribute_seconds,
    estimate,
    list_bytes,
    ready_bytes,
    release_bytes,
    roster_bytes,
    shares_layout,
)
from protocol.layout.packing import (
    BATCH_HEADER_BYTES,
    ENVELOPES,
    MASKS,
    MODEL_HEADER_BYTES,
    PAILLIER,
    Packing,
    model_bytes,
)
from protocol.spec.job import EncryptionSpec, Envelope, Family, JobSpec, ModelSpec
from protocol.wire.codec import encode
from protocol.wire.envelope import Context, Frame, seal
from protocol.wire.messages import Ready, Release


@given(
    st.integers(*params.VALUE_BITS),
    st.integers(1, params.MAX_COHORT),
    st.sampled_from(params.KEY_BITS),
    st.integers(1, 100_000),
)
def test_the_layout_is_the_kernels(bits: int, summands: int, key: int, values: int) -> None:
    packing, lanes = Packing(bits, summands, key), Lanes(bits, summands, key)
    assert packing.lane_bits == lanes.width
    assert packing.lanes == lanes.lanes_per_ciphertext
    assert packing.ciphertexts(values) == lanes.ciphertexts(values)
    assert packing.batch_bytes(values) == HEADER_BYTES + lanes.ciphertext_bytes(values)


@given(st.integers(0, 500))
def test_a_models_size_is_the_kernels(count: int) -> None:
    assert model_bytes(count) == vector_bytes(count)
    assert len(encode_vector(Kind.MODEL, np.zeros(count))) == model_bytes(count)


def test_headers_are_the_kernels() -> None:
    assert BATCH_HEADER_BYTES == HEADER_BYTES
    assert vector_bytes(0) == MODEL_HEADER_BYTES


@given(specs())
def test_every_spec_has_an_estimate_that_adds_up(spec: JobSpec) -> None:
    found = estimate(spec, 1.0)
    owners, rounds = spec.cohort.max_owners, spec.training.rounds
    assert found.contribution_bytes <= params.MAX_BLOB_BYTES
    assert found.owner_out == found.contribution_bytes + found.ready_bytes + found.release_bytes
    assert found.owner_in == found.model_bytes + found.roster_bytes + found.list_bytes
    assert found.requester_in == owners * found.owner_out
    assert found.requester_out == owners * found.owner_in
    assert found.escrow == owners * found.owner_earns + spec.payment.merit
    assert found.owner_earns == rounds * spec.payment.rate
    assert found.inline == (found.contribution_bytes <= params.MAX_INLINE_BATCH_BYTES)
    assert found.ciphertexts * found.lanes >= found.parameters > 0
    assert (found.ciphertexts - 1) * found.lanes < found.parameters
    assert found.shortest_seconds > 0
    assert found.blocks == len(spec.cohort.blocks(owners))
    own = next(e for e in found.envelopes if e.envelope == spec.encryption.envelope)
    assert (own.contribution_bytes, own.inline) == (found.contribution_bytes, found.inline)
    assert own.contribute_seconds == found.contribute_seconds
    assert own.apply_seconds == found.apply_seconds


@given(specs())
def test_thresholds_hold_both_inequalities(spec: JobSpec) -> None:
    found, privacy = estimate(spec), spec.privacy
    sizes = (
        (spec.cohort.block_size, found.threshold),
        (found.largest_block, found.largest_threshold),
    )
    for members, threshold in sizes:
        assert 2 * threshold > members + privacy.corrupt
        assert threshold <= members - privacy.dropouts - privacy.corrupt


@given(st.integers(params.MIN_BLOCK, params.MAX_BLOCK), st.integers(0, 2**63 - 1), st.binary())
def test_no_message_of_a_round_is_longer_than_its_estimate(
    members: int, chain_id: int, noise: bytes
) -> None:
    place = Context(chain_id, bytes(20), bytes(32), 7, 0)

    def framed(body: Ready | Release) -> int:
        signed = seal(place, bytes(38), body, lambda data: bytes(64))
        return len(encode(Frame(encode(signed), b"")))

    key = (noise + bytes(32))[:32]
    threshold = members // 2 + 1
    hashes, full = (key[:16],) * members, members - threshold + 1
    boxes = (b"",) * (members - full) + (bytes(64),) * full
    ready = Ready(key, key, key, key, hashes, hashes, boxes)
    release = Release(key, 3, (key,) * members)
    assert framed(ready) <= ready_bytes(members, threshold) <= framed(ready) + 16
    assert framed(release) <= release_bytes(members) <= framed(release) + 16
    roster = encode_roster([seal(place, bytes(38), ready, lambda data: bytes(64))] * members)
    assert len(roster) <= roster_bytes(members, threshold) <= len(roster) + 16 * members
    assert ready_bytes(params.MAX_BLOCK, 17) < 4 * 1024  # what a private message is expected to be


@given(specs())
def test_a_commitments_list_is_some_forty_bytes_an_owner(spec: JobSpec) -> None:
    sizes = spec.cohort.blocks(spec.cohort.max_owners)
    blocks = tuple(
        BlockList(block, b"r" * 32, tuple(range(at, at + size)), (b"b" * 32,) * size)
        for block, size in enumerate(sizes)
        for at in [sum(sizes[:block])]
    )
    assert list_bytes(spec) == len(encode_contributions(ContributionList(blocks)))
    assert list_bytes(spec) <= 16 + 45 * spec.cohort.max_owners


def test_both_envelopes_are_told_and_masks_are_cheaper() -> None:
    found = estimate(dataclasses.replace(SPEC, model=ModelSpec(Family.DENSE, 256)))
    assert tuple(each.envelope for each in found.envelopes) == (PAILLIER, MASKS)
    closed, masked = found.envelopes
    assert (masked.ciphertexts, masked.lanes) == (0, 0)
    # Twenty bits of lane are three whole bytes.
    assert masked.contribution_bytes == BATCH_HEADER_BYTES + 3 * found.parameters
    assert masked.contribution_bytes < closed.contribution_bytes
    assert masked.contribute_seconds < closed.contribute_seconds
    assert masked.apply_seconds < closed.apply_seconds


def test_a_job_with_proofs_tells_of_all_that_is_dealt_and_said() -> None:
    spec = make_spec(proven=True)
    found, layout = estimate(spec), shares_layout(spec)
    assert tuple(each.envelope for each in found.envelopes) == ENVELOPES
    assert found.contribution_bytes == found.envelopes[-1].contribution_bytes == layout.dealt_bytes
    assert not found.inline
    assert found.owner_out > layout.dealt_bytes + layout.words_bytes + layout.sum_bytes
    # Boxes go from member to member: the requester gets none of them.
    assert found.requester_in < found.contribution_bytes * spec.cohort.max_owners


@pytest.mark.parametrize(
    ("family", "hidden", "ciphertexts", "size", "inline"),
    [
        (Family.SOFTMAX, 0, 1, 813, True),
        (Family.DENSE, 256, 14, 10_797, True),
        (Family.DENSE, 4096, 215, 165_165, False),
    ],
)
def test_known_jobs_have_known_sizes(
    family: Family, hidden: int, ciphertexts: int, size: int, inline: bool
) -> None:
    found = estimate(dataclasses.replace(SPEC, model=ModelSpec(family, hidden)))
    assert found.lane_bits == 16 + 4  # nine owners make one block: four carries
    assert found.lanes == 3070 // 20
    assert (found.ciphertexts, found.contribution_bytes, found.inline) == (
        ciphertexts,
        size,
        inline,
    )


def test_the_scale_leaves_room_for_the_largest_block() -> None:
    packing = SPEC.packing
    assert packing == SPEC.packing_for(9)
    top = FixedPoint(SPEC.encryption.value_bits, SPEC.training.clip_norm).max_int
    assert 9 * top < 2 ** (packing.lane_bits - 1)
    Lanes(packing.value_bits, packing.summands, packing.key_bits).check_summands(9)


def test_longer_keys_larger_models_and_more_steps_cost_more() -> None:
    def spec(key: int, hidden: int, steps: int) -> JobSpec:
        return dataclasses.replace(
            SPEC,
            encryption=EncryptionSpec(Envelope.PAILLIER, key, 16),
            modulus=((1 << (key - 1)) + 1).to_bytes(key // 8, "big"),
            model=ModelSpec(Family.DENSE, hidden),
            training=dataclasses.replace(SPEC.training, local_steps=steps),
        )

    base = spec(3072, 64, 100)
    for dearer in (spec(4096, 64, 100), spec(3072, 4096, 100), spec(3072, 64, 1000)):
        assert contribute_seconds(dearer) > contribute_seconds(base)
    assert apply_seconds(spec(4096, 64, 100)) > apply_seconds(base)
    assert apply_seconds(spec(3072, 64, 1000)) == apply_seconds(base)
    assert estimate(base, 12.0).shortest_seconds > estimate(base, 1.0).shortest_seconds
