"""A node in memory behind the real control server, for tests of the server and of the CLI."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import trio

from node.control import data_results as d
from node.control import examples as ex
from node.control import job_results as j
from node.control import results as r
from node.control.cards import examples as cx
from node.control.cards import results as cr
from node.control.encoders import examples as ee
from node.control.encoders import results as er
from node.control.events import EventBus
from node.control.holding import results as h
from node.control.holding.examples import LEFT, PAUSED, RESUMED
from node.control.money import examples as mx
from node.control.money import results as mr
from node.control.network import examples as nx
from node.control.network import results as n
from node.control.sale import examples as sx
from node.control.sale import results as sr
from node.control.server import ControlServer
from protocol.errors import ChainError, FatalError, InputError, PeerError, StateError


class FakeNode:
    """Keeps datasets, policies and jobs; raises what a daemon would."""

    def __init__(self) -> None:
        self.datasets: dict[str, r.Dataset] = {"ward-3": ex.DATASET}
        self.policy = {term.name: term for term in ex.POLICY.terms}
        self.shown_policy = ex.POLICY
        self.same: tuple[str, ...] = ()
        self.jobs_known = {ex.JOB: ex.DETAIL}
        self.stopped = trio.Event()
        self.joined: list[str] = []
        self.channels: list[str | None] = []
        self.posted: list[tuple[str, str | None]] = []
        self.claimed: list[str | None] = []
        self.cancelled: j.Cancelled | None = None
        self.model_path = ""
        self.model = ex.MODEL
        self.budgets: tuple[r.Privacy, ...] = (ex.PRIVACY,)
        self.explained = ex.EXPLAINED
        self.view = ex.DATASET_VIEW
        self.maps: dict[str, str | None] = {}
        self.needed: set[str] = set()
        self.shows = 0
        self.cards: list[tuple[str, str, bool]] = []
        self.searched: list[tuple[object, ...]] = []
        self.matches = cx.MATCHES
        self.audit_ok = True
        self.quote = mx.QUOTE
        self.earned = mx.EARNINGS
        self.receipts = ""
        self.receipts_asked: list[tuple[str | None, bool]] = []
        self.sent_state = "mined"
        self.fees: list[int | None] = []
        self.sent: list[tuple[object, ...]] = []
        self.offers_shown = cx.OFFERS
        self.claim_shown = ex.CLAIM
        self.sold: list[tuple[object, ...]] = []
        self.prepared = sx.PREPARED
        self.buying = sx.BUYING
        self.budgets_given: list[int] = []
        self.bought_path = ""
        self.account_shown = mx.ACCOUNT
        self.passwords: list[str | None] = []
        self.state: r.Status = ex.STATUS
        self.blocked = trio.Event()
        self.enter_blocked = trio.Event()

    def status(self) -> r.Status:
        return dataclasses.replace(self.state, datasets=len(self.datasets))

    async def peers(self) -> tuple[r.Peer, ...]:
        return (ex.PEER,)

    async def reach(self) -> n.Reach:
        return nx.REACH

    async def join(self, address: str, channels: str | None) -> r.Joined:
        if "203.0.113.9" in address:
            raise PeerError(f"nobody answers at {address}")
        self.joined.append(address)
        self.channels.append(channels)
        return r.Joined(ex.PEER_ID, address, len(self.joined), channels is not None)

    async def stop(self) -> r.Stopping:
        self.stopped.set()
        return r.Stopping(self.state.pid, 1)

    async def data_add(
        self,
        name: str,
        path: str,
        separator: str | None,
        decimal: str | None,
        encoding: str | None,
        other_people: tuple[str, ...] = (),
        columns: str | None = None,
        holdout: bool = False,
        header: bool | None = None,
        names: tuple[str, ...] = (),
        images: tuple[str, ...] = (),
    ) -> r.Dataset:
        if name == "blocks":
            self.enter_blocked.set()
            await self.blocked.wait()
        if name == "defect":
            raise ZeroDivisionError("a defect")
        if name == "fatal":
            raise FatalError("an invariant is broken")
        if name in self.datasets:
            error = InputError(f"{name!r} is taken", "name")
            error.add_note("assay data list")
            raise error
        self.datasets[name] = dataclasses.replace(
            ex.DATASET,
            name=name,
            path=path,
            decided=False,
            same=tuple(each for each in self.same if each not in other_people),
            notes=tuple(
                f"read with {each}"
                for each in (
                    separator,
                    decimal,
                    encoding,
                    columns,
                    header is False,
                    *names,
                    *images,
                )
                if each
            ),
            holdout=holdout,
        )
        return self.datasets[name]

    async def data_add_sql(
        self,
        name: str,
        sql: str,
        url: str,
        password: str | None,
        other_people: tuple[str, ...] = (),
        columns: str | None = None,
        holdout: bool = False,
    ) -> r.Dataset:
        self.passwords.append(password)
        notes = (f"read with {columns}",) if columns else ()
        return dataclasses.replace(
            ex.DATASET, name=name, path=f"{url}: {sql}", holdout=holdout, notes=notes
        )

    async def data_show(self, name: str, job: str | None) -> d.DatasetView:
        self._dataset(name)
        view = dataclasses.replace(self.view, name=name)
        return dataclasses.replace(view, fit=None) if job is None else view

    async def data_replace(
        self,
        name: str,
        path: str,
        separator: str | None,
        decimal: str | None,
        encoding: str | None,
        header: bool | None = None,
        names: tuple[str, ...] = (),
        images: tuple[str, ...] = (),
    ) -> d.DatasetChanged:
        self.datasets[name] = dataclasses.replace(self._dataset(name), path=path)
        given = (separator, decimal, encoding, header is False, *names, *images)
        notes = tuple(f"read with {each}" for each in given if each)
        return dataclasses.replace(ex.DATASET_CHANGED, name=name, notes=notes)

    async def data_replace_sql(
        self, name: str, sql: str, url: str, password: str | None
    ) -> d.DatasetChanged:
        self.passwords.append(password)
        self.datasets[name] = dataclasses.replace(self._dataset(name), path=f"{url}: {sql}")
        return dataclasses.replace(ex.DATASET_CHANGED, name=name)

    async def data_map(self, name: str, columns: str | None) -> d.DatasetChanged:
        self._dataset(name)
        self.maps[name] = columns
        return dataclasses.replace(ex.DATASET_CHANGED, name=name, kept=())

    async def data_remove(self, name: str) -> d.DatasetRemoved:
        self._dataset(name)
        if name in self.needed:
            raise StateError(f"a job uses {name} until it is over: 0x5a5a5a5a; nothing was removed")
        del self.datasets[name]
        return d.DatasetRemoved(name, 1, True)

    async def data_list(self) -> tuple[r.Dataset, ...]:
        return tuple(self.datasets[name] for name in sorted(self.datasets))

    async def policy_show(self, dataset: str) -> r.Policy:
        self._dataset(dataset)
        return dataclasses.replace(
            self.shown_policy,
            dataset=dataset,
            decided=self.datasets[dataset].decided,
            terms=tuple(self.policy.values()),
        )

    async def policy_set(self, dataset: str, changes: Mapping[str, r.PolicyValue]) -> r.Policy:
        self._dataset(dataset)
        for name in changes:
            if name not in self.policy:
                raise InputError(f"no such term; the terms are {', '.join(self.policy)}", name)
        for name, value in changes.items():
            self.policy[name] = dataclasses.replace(self.policy[name], value=value)
        return await self.policy_show(dataset)

    async def policy_explain(self, job: str, dataset: str | None) -> tuple[r.Explained, ...]:
        summary = (await self.job_show(job)).summary
        if summary.role == "requester":
            raise StateError("this home posted the job itself")
        names = tuple(self.datasets) if dataset is None else (dataset,)
        for name in names:
            self._dataset(name)
        return tuple(
            dataclasses.replace(self.explained, job=summary.job, dataset=name) for name in names
        )

    async def privacy(self, dataset: str | None, history: bool = False) -> tuple[r.Privacy, ...]:
        if dataset is not None:
            self._dataset(dataset)
        if history:
            past = (ex.PRIVACY_POINT,)
            return tuple(dataclasses.replace(each, history=past) for each in self.budgets)
        return self.budgets

    async def card_publish(self, dataset: str, card: str, dry_run: bool) -> cr.OwnCard:
        self._dataset(dataset)
        self.cards.append((dataset, card, dry_run))
        return dataclasses.replace(cx.OWN, dataset=dataset, published=not dry_run)

    async def card_list(self) -> tuple[cr.OwnCard, ...]:
        return (cx.OWN,)

    async def card_withdraw(self, dataset: str) -> cr.WithdrawnCard:
        self._dataset(dataset)
        return cr.WithdrawnCard(dataset)

    async def offers(
        self,
        columns: tuple[str, ...],
        kind: Literal["number", "category"] | None,
        purpose: str | None,
        max_rate: int | None,
        token: str | None,
        limit: int,
    ) -> cr.Offers:
        self.searched.append((columns, kind, purpose, max_rate, token, limit))
        return self.offers_shown

    async def offer_show(self, card: str) -> cr.OfferDetail:
        if not cx.OFFER.card.hex().startswith(card.removeprefix("0x")):
            raise InputError(f"no card here begins with {card!r}", "card")
        return cx.DETAIL

    async def offers_match(self, spec: str, no_noise: bool) -> cr.Matches:
        return self.matches

    async def sale_offer(
        self,
        job: str,
        price: int,
        token: str | None,
        scores: bool,
        batch: int,
        minute: int,
        days: int,
        accuracy: float | None,
        dry_run: bool,
    ) -> sr.Sold:
        self.sold.append((job, price, token, scores, batch, minute, days, accuracy, dry_run))
        return sr.Sold(sx.OFFER, not dry_run)

    async def sale_withdraw(self, offer: str) -> sr.TakenOff:
        self._on_sale(offer)
        return sr.TakenOff(sx.OFFER.offer)

    async def sale_offers(self, ask: bool) -> sr.SaleOffers:
        return sr.SaleOffers((sx.OFFER,))

    async def sale_show(self, offer: str) -> sr.SaleOfferDetail:
        self._on_sale(offer)
        return sx.DETAIL

    async def sale_prepare(
        self,
        offer: str,
        path: str,
        separator: str | None,
        decimal: str | None,
        encoding: str | None,
        header: bool | None,
        names: tuple[str, ...],
        images: tuple[str, ...] = (),
    ) -> sr.Prepared:
        self._on_sale(offer)
        return self.prepared

    async def sale_buy(self, purchase: str, budget: int) -> sr.Buying:
        self.budgets_given.append(budget)
        return self.buying

    async def sale_write(self, purchase: str) -> sr.BoughtFile:
        return dataclasses.replace(sx.FILE, path=self.bought_path or sx.FILE.path)

    async def sale_channels(self) -> sr.SaleChannels:
        return sx.CHANNELS

    async def sale_redeem(self, channel: str | None) -> sr.SaleChannels:
        return sx.CHANNELS

    async def encoder_fetch(self, offer: str, digest: str | None) -> sr.FetchedEncoder:
        self._on_sale(offer)
        return sx.FETCHED

    async def sale_reclaim(self, channel: str) -> sr.SaleChannels:
        return sx.RECLAIMED

    def _on_sale(self, offer: str) -> None:
        if not sx.OFFER.offer.hex().startswith(offer.lower().removeprefix("0x")):
            raise InputError(f"no offer known here begins with {offer!r}", "offer")

    async def jobs(self) -> tuple[j.JobSummary, ...]:
        return tuple(detail.summary for detail in self.jobs_known.values())

    async def job_quote(self, spec: str, no_noise: bool = False) -> mr.Quote:
        return self.quote

    async def send(
        self,
        id: str,
        to: str,
        amount: int,
        token: str | None = None,
        max_fee: int | None = None,
        dry_run: bool = False,
    ) -> mr.Sent:
        self.sent.append((id, to, amount, token, max_fee, dry_run))
        state = "" if dry_run else self.sent_state
        return dataclasses.replace(mx.SENT, id=id, to=to, amount=amount, token=token, state=state)

    async def token_revoke(self, id: str, token: str) -> mr.Sent:
        self.sent.append((id, "", 0, token, None, False))
        return dataclasses.replace(mx.REVOKED, id=id, token=token)

    async def job_post(
        self,
        spec: str,
        holdout: str | None,
        no_noise: bool = False,
        max_fee: int | None = None,
    ) -> j.Posted:
        if "poor" in spec:
            raise ChainError("the account holds 0 wei, the bounty is 200000000000000000 wei")
        self.posted.append((spec, holdout))
        self.fees.append(max_fee)
        return dataclasses.replace(ex.POSTED, noisy=False, sealed=True) if no_noise else ex.POSTED

    async def job_show(self, job: str) -> j.JobDetail:
        self.shows += 1
        found = [detail for known, detail in self.jobs_known.items() if known.startswith(job)]
        if len(found) != 1:
            raise InputError(f"no job {job!r} is known here", "job")
        return found[0]

    async def job_consent(self, job: str, dataset: str) -> j.Consent:
        self._dataset(dataset)
        summary = (await self.job_show(job)).summary
        if summary.state != "waiting":
            raise StateError(f"the job is {summary.state}, not waiting")
        return j.Consent(
            summary.job, dataset, "enrolling", summary.noisy, summary.sealed, summary.fits
        )

    async def job_decline(self, job: str) -> j.JobSummary:
        summary = (await self.job_show(job)).summary
        if summary.state != "waiting":
            raise StateError(f"the job is {summary.state}: it does not wait for consent")
        return ex.DECLINED

    async def pause(self) -> h.Held:
        self.state = dataclasses.replace(self.state, closed=PAUSED.closed, paused=True)
        return PAUSED

    async def resume(self) -> h.Held:
        self.state = dataclasses.replace(self.state, closed="", paused=False)
        return RESUMED

    async def job_leave(self, job: str) -> j.JobSummary:
        summary = (await self.job_show(job)).summary
        if summary.state != "running":
            raise StateError(f"the job is {summary.state}: it was not taken")
        return LEFT

    async def job_cancel(self, job: str) -> j.Cancelled:
        summary = (await self.job_show(job)).summary
        if summary.role != "requester":
            raise InputError("only its requester can cancel a job", "job")
        if self.cancelled is None and summary.state != "running":
            raise StateError(f"the job cannot be cancelled: it is {summary.state}")
        answer = self.cancelled or ex.CANCELLED
        self.cancelled = dataclasses.replace(answer, already=True)
        return answer

    async def model_get(self, job: str, round_: int | None) -> j.ModelFile:
        await self.job_show(job)
        return dataclasses.replace(
            self.model,
            round=self.model.round if round_ is None else round_,
            path=self.model_path or ex.MODEL.path,
        )

    async def claim(self, job: str, account: str | None, everybody: bool) -> tuple[j.Claim, ...]:
        await self.job_show(job)
        self.claimed.append("everybody" if everybody else account)
        return (self.claim_shown,)

    async def audit(self, job: str) -> j.Audit:
        await self.job_show(job)
        checks = (*ex.AUDIT.checks, j.Check("roots", self.audit_ok, "round 3"))
        return dataclasses.replace(ex.AUDIT, ok=self.audit_ok, checks=checks)

    async def earnings(self, job: str | None = None, signed: bool = False) -> mr.Earnings:
        self.receipts_asked.append((job, signed))
        return dataclasses.replace(self.earned, receipts=self.receipts if signed else "")

    async def encoder_add(self, path: str, name: str | None, origin: str | None) -> er.Encoder:
        return dataclasses.replace(ee.ENCODER, origin=origin or path, name=name or ee.ENCODER.title)

    async def encoder_list(self) -> tuple[er.Encoder, ...]:
        return (ee.ENCODER,)

    async def encoder_show(self, encoder: str) -> er.EncoderDetail:
        self._encoder(encoder)
        return ee.DETAIL

    async def encoder_remove(self, encoder: str) -> er.EncoderRemoved:
        self._encoder(encoder)
        if encoder in self.needed:
            raise StateError("1 running jobs need it; it can be removed once they are over")
        return ee.REMOVED

    def _encoder(self, encoder: str) -> None:
        if encoder not in (ee.ENCODER.name, ee.ENCODER.digest):
            error = InputError(f"{encoder!r} is no encoder of this home", "encoder")
            error.add_note("assay encoder list")
            raise error

    async def account(self) -> mr.Account:
        return self.account_shown

    def _dataset(self, name: str) -> r.Dataset:
        if name not in self.datasets:
            error = InputError(f"no dataset {name!r}", "dataset")
            error.add_note("assay data list")
            raise error
        return self.datasets[name]


@dataclasses.dataclass
class Running:
    """A served fake."""

    node: FakeNode
    bus: EventBus
    server: ControlServer
    path: Path
    scope: trio.CancelScope


@asynccontextmanager
async def serving(path: Path, backlog: int = 1024) -> AsyncIterator[Running]:
    """The real server on a real socket at `path`, until the block ends."""
    node, bus = FakeNode(), EventBus(backlog)
    server, scope = ControlServer(node, bus), trio.CancelScope()

    async def serve(*, task_status: Any) -> None:
        with scope:
            await server.serve(path, task_status=task_status)

    async with trio.open_nursery() as nursery:
        await nursery.start(serve)
        yield Running(node, bus, server, path, scope)
        scope.cancel()
