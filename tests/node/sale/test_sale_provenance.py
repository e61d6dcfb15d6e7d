"""What an offer's origin is: the chain's job, its spec, and whether its requester sells."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest
from kits.books import CHAIN_ID, CONTRACT, REQUESTER, Person, make_spec
from kits.offers import offer_with

from node.sale.market import OnSale
from node.sale.provenance import provenance
from protocol.books.enrolment import job_id
from protocol.books.typed_data import Domain
from protocol.errors import PeerError
from protocol.sale.offers import Offer
from protocol.spec.job import encode_spec
from protocol.wire.blobs import blob_digest

DOMAIN = Domain(CHAIN_ID, CONTRACT)
SPEC = encode_spec(make_spec())
OFFER = offer_with(
    job=job_id(DOMAIN, REQUESTER.account, blob_digest(SPEC)),
    spec_digest=blob_digest(SPEC),
    chain_id=CHAIN_ID,
    contract=CONTRACT,
    account=REQUESTER.account,
    until=1,
)


async def origin(peer: bytes, offer: Offer = OFFER, told: bool = True) -> Any:
    view = SimpleNamespace(
        requester=REQUESTER.account, finished=True, enrolled=5, next_round=2, contributions=10
    )

    async def job(key: bytes) -> Any:
        return view if key == OFFER.job else None

    async def spec(on: OnSale) -> bytes:
        if not told:
            raise PeerError("nobody there")
        return SPEC

    services: Any = SimpleNamespace(chain=SimpleNamespace(job=job), domain=DOMAIN)
    market: Any = SimpleNamespace(spec=spec)
    return await provenance(services, market, OnSale(peer, offer))


async def test_a_jobs_requester_sells_from_its_own_account_and_peer() -> None:
    found = await origin(REQUESTER.peer)
    assert (found.posted, found.sold_by_requester, found.problem) == (True, True, "")
    assert (found.owners, found.rounds, found.contributions) == (5, 2, 10)
    assert found.spec is not None


@pytest.mark.parametrize(
    ("peer", "changes"),
    [(Person(9).peer, {}), (REQUESTER.peer, {"account": Person(9).account})],
    ids=["a copy of its offer", "another account"],
)
async def test_another_peer_or_account_is_not_its_requester(
    peer: bytes, changes: dict[str, Any]
) -> None:
    found = await origin(peer, dataclasses.replace(OFFER, **changes))
    assert found.posted
    assert not found.sold_by_requester


async def test_without_the_spec_or_the_job_it_is_said_what_is_missing() -> None:
    found = await origin(REQUESTER.peer, told=False)
    assert "the job's spec: nobody there" in found.problem
    assert (found.posted, found.spec) == (True, None)
    unknown = await origin(REQUESTER.peer, dataclasses.replace(OFFER, job=bytes(32)))
    assert "knows no such job" in unknown.problem
    assert not unknown.posted
