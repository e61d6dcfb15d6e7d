"""Where a model on sale comes from: what the chain says of its job, and what nobody can check."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from node.engine.services import Services
from node.sale.market import Market, OnSale
from protocol.books.enrolment import job_id
from protocol.errors import AssayError
from protocol.spec.job import JobSpec, decode_spec


@dataclass(frozen=True, slots=True)
class Provenance:
    """What is known of an offer's job. `problem`: what could not be looked at, or does not hold;
    empty if all does. `posted`: the chain has the job, for this spec and this requester.
    `sold_by_requester`: the offer pays the account that posted, and comes from the peer that the
    spec names."""

    problem: str
    posted: bool
    sold_by_requester: bool
    finished: bool
    requester: bytes
    owners: int
    rounds: int
    contributions: int
    spec: JobSpec | None


async def provenance(services: Services, market: Market, on: OnSale) -> Provenance:
    """Look at an offer's job, on the chain and in its spec, whose digest the job's id covers."""
    offer, problem, spec = on.offer, "", None
    try:
        content = await market.spec(on)
        spec = await trio.to_thread.run_sync(decode_spec, content)
    except AssayError as error:
        problem = f"the job's spec: {error}"
    try:
        view = await services.chain.job(offer.job)
    except AssayError as error:
        return Provenance(f"the chain: {error}", False, False, False, b"", 0, 0, 0, spec)
    if view is None:
        told = "the bounty contract of this home knows no such job"
        return Provenance(told, False, False, False, b"", 0, 0, 0, spec)
    posted = job_id(services.domain, view.requester, offer.spec_digest) == offer.job
    if not posted:
        problem = "the offer names a spec that is not its job's"
    return Provenance(
        problem,
        posted,
        view.requester == offer.account and (spec is None or spec.requester.peer_id == on.peer),
        view.finished,
        view.requester,
        view.enrolled,
        view.next_round,
        view.contributions,
        spec if posted else None,
    )
