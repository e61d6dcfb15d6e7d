"""Estimates of sealed jobs: sizes are those of the kernels, counts those of the product."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits.paths import ROOT

from protocol import params
from protocol.arith.encoding.envelope import Envelope
from protocol.arith.encoding.sealed import SealedLanes
from protocol.arith.sealed import matvec
from protocol.cost.estimate import (
    apply_seconds,
    contribute_seconds,
    estimate,
    rebuilding_seconds,
    secrets_seconds,
)
from protocol.cost.sealed import (
    Pace,
    layout_of,
    owner_seconds,
    packing_shifts,
    product_steps,
    reference_pace,
    requester_seconds,
    statistics_seconds,
)
from protocol.errors import InputError
from protocol.layout.sealed import SEALED_HEADER_BYTES, SealedLayout
from protocol.spec.job import Terms
from protocol.spec.toml import parse_toml

_SPEC = """
title = "Sealed"
purpose = "research"
[[features]]
names = "c_{{1..{inputs}}}"
low = 0
high = 1
[target]
name = "label"
classes = "{{1..{classes}}}"
[model]
family = "softmax"
{map}
[training]
rounds = 4
[privacy]
sealed = true
{privacy}
[encryption]
key_bits = {key_bits}
value_bits = {value_bits}
[cohort]
min_owners = 6
max_owners = {owners}
block_size = 6
[payment]
rate = 1
"""


def terms(
    inputs: int = 8,
    classes: int = 3,
    map: str = "",
    privacy: str = "",
    key_bits: int = 3072,
    value_bits: int = 16,
    owners: int = 6,
) -> Terms:
    given = dict(locals())
    return parse_toml(_SPEC.format(**given)).terms


shapes = st.builds(
    terms,
    inputs=st.integers(2, 60),
    classes=st.integers(2, 60),
    key_bits=st.sampled_from(params.KEY_BITS),
    value_bits=st.integers(8, 24),
    owners=st.integers(6, 40),
)


@given(shapes)
def test_bytes_are_the_kernels(job: Terms) -> None:
    found, layout = estimate(job), layout_of(job)
    n = ((1 << job.encryption.key_bits) - 1).to_bytes(job.encryption.key_bits // 8, "big")
    envelope = Envelope(
        n, job.encryption.value_bits, 64.0, layout.members, "paillier", sealed=layout
    )
    shape = envelope.shape(job.parameter_count)
    assert (found.contribution_bytes, found.ciphertexts) == (shape.size, shape.count)
    assert found.model_bytes == layout.model_bytes
    ciphertexts = (found.model_bytes - SEALED_HEADER_BYTES) // (job.encryption.key_bits // 4)
    assert found.model_ciphertexts == ciphertexts == layout.features * layout.groups
    assert (found.features, found.outputs) == (layout.features, layout.outputs)
    assert found.lane_bits == SealedLanes(layout).width
    assert found.headroom == SealedLanes(layout).headroom >= found.largest_block


@given(shapes)
def test_traffic_and_seconds_add_up(job: Terms) -> None:
    found, owners = estimate(job), job.cohort.max_owners
    assert found.owner_in == found.model_bytes + found.roster_bytes + found.list_bytes
    assert found.owner_out == found.contribution_bytes + found.ready_bytes + found.release_bytes
    assert found.requester_in == owners * found.owner_out
    assert found.requester_out == owners * found.owner_in
    assert [each.envelope for each in found.envelopes] == ["paillier"]
    (own,) = found.envelopes
    assert (own.contribution_bytes, own.ciphertexts, own.contribute_seconds) == (
        found.contribution_bytes,
        found.ciphertexts,
        found.contribute_seconds,
    )
    pace = reference_pace(job.encryption.key_bits)
    owner, requester = owner_seconds(job, pace), requester_seconds(job, pace)
    assert found.contribute_seconds == secrets_seconds(job) + owner.pool_empty
    assert found.apply_seconds == rebuilding_seconds(job) + requester.total
    assert owner.pool_empty - owner.pool_full == pytest.approx(owner.blinders)


@given(st.integers(1, params.MAX_SEALED_FEATURES), st.integers(2, 24))
def test_a_products_steps_are_its_plans_within_some_percent(side: int, bits: int) -> None:
    planned = matvec.cost(side, side, bits)
    assert product_steps(side, side, bits) == pytest.approx(planned, rel=0.07 if side > 16 else 0.3)


@pytest.mark.parametrize(("classes", "groups"), [(10, 1), (200, 3)])
def test_counts_times_paces(classes: int, groups: int) -> None:
    """Every count, one by one: all paces but one are 0."""
    job = terms(inputs=40, classes=classes, owners=13)
    layout = layout_of(job)
    assert layout.groups == groups
    still = Pace(*(0.0 for _ in dataclasses.fields(Pace)))

    def only(**paces: float) -> tuple[float, float]:
        pace = dataclasses.replace(still, **paces)
        return owner_seconds(job, pace).pool_empty, requester_seconds(job, pace).total

    replies = layout.reply_ciphertexts
    assert only(blinder=1.0) == (replies, 0)
    assert only(read=1.0) == (40 * groups, 13 * replies)
    assert only(mask=1.0) == (layout.members * replies, 13 * replies)
    assert only(table=1.0) == (0, 1)
    assert only(encrypt=1.0) == (0, 40 * groups)
    assert only(decrypt=1.0) == (0, 2 * replies)  # 13 owners make two blocks
    steps, none = only(step=1.0)
    assert none == 0
    least = groups * product_steps(40, 40) + packing_shifts(layout)
    assert least < steps < 2 * least


def test_rows_that_share_a_ciphertext_are_shifted_together() -> None:
    layout = SealedLayout(features=7, outputs=10, value_bits=16, key_bits=2048, members=6)
    assert layout.rows_per_reply == 5
    # Horner: of five rows four are shifted, of the two that are left one is.
    assert packing_shifts(layout) == (4 + 1) * layout.row_bits


def test_steps_and_rows_cost_nothing_a_round() -> None:
    job = terms()
    more = dataclasses.replace(
        job, training=dataclasses.replace(job.training, local_steps=10_000, batch_rows=65_536)
    )
    assert contribute_seconds(more) == contribute_seconds(job)
    assert statistics_seconds(job, 2000) > statistics_seconds(job, 1000)


def test_longer_keys_more_features_and_more_outputs_cost_more() -> None:
    base = terms()
    for dearer in (terms(key_bits=4096), terms(inputs=80), terms(classes=300)):
        assert contribute_seconds(dearer) > contribute_seconds(base)
        assert apply_seconds(dearer) > apply_seconds(base)


def test_without_noise_there_are_no_draws_to_make() -> None:
    assert statistics_seconds(terms(privacy='epsilon = "none"'), 100) < statistics_seconds(
        terms(), 100
    )


def test_a_map_is_what_counts() -> None:
    found = estimate(terms(map='map = "fourier"\nmap_width = 32\nmap_scale = 0.5\nbias = 0.3'))
    assert (found.inputs, found.features, found.parameters) == (8, 33, 99)


def test_an_open_job_has_no_layout() -> None:
    example = ROOT / "docs" / "examples" / "digits.toml"
    with pytest.raises(InputError, match=r"privacy\.sealed"):
        layout_of(parse_toml(example.read_text()).terms)
    assert estimate(parse_toml(example.read_text()).terms).model_ciphertexts == 0
