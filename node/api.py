"""The running node's answers to the control socket; about jobs it asks node.jobs.

`status` reads what is in memory and waits for nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from functools import partial

import trio

from node.cards.offers import CardCalls
from node.cards.shelf import Shelf
from node.chain.watch import Watcher
from node.control import results as r
from node.control.data_results import DatasetChanged, DatasetRemoved, DatasetView
from node.control.events import EventBus
from node.control.job_results import (
    Audit,
    Cancelled,
    Claim,
    Consent,
    JobDetail,
    JobSummary,
    ModelFile,
    Posted,
)
from node.control.network.results import AskedPeer, Reach
from node.engine.engine import Machine
from node.engine.services import Services
from node.feeds.chain import ChainFollower
from node.home import joining
from node.jobs import standing
from node.jobs.books import Books
from node.jobs.cancelling import Cancelling
from node.jobs.datasets.answers import Datasets, offered
from node.jobs.datasets.keeping import find
from node.jobs.encoders.calls import EncoderCalls
from node.jobs.explaining import explain
from node.jobs.held.calls import HoldingCalls
from node.jobs.posting import Posting
from node.jobs.purse import MoneyCalls
from node.jobs.standing import runs
from node.perform import considering
from node.perform.compute import owner_fit
from node.privacy import budgets, past
from node.privacy import reserving as privacy
from node.sale.calls import SaleCalls
from node.sale.sale import Sale
from node.store import catalogue
from node.store.store import Transaction
from node.version import VERSION
from node.workers.memory import resident_bytes
from protocol.addresses import parse_address, to_checksum
from protocol.errors import InputError, StateError
from protocol.machines import inputs
from protocol.machines.job import OVER, JobPhase
from protocol.owner.state import OwnerState
from protocol.policy.policy import Policy
from protocol.policy.rules import impossible, obstacles
from protocol.policy.terms import describe, with_changes

_CONSIDERED = (JobPhase.WAITING, JobPhase.CONSIDERING)


class Api(CardCalls, EncoderCalls, HoldingCalls, MoneyCalls, SaleCalls):
    """Implements node.control.api.NodeApi. `join_line` is set once the node's address is known."""

    def __init__(
        self,
        services: Services,
        watcher: Watcher,
        follower: ChainFollower,
        bus: EventBus,
        stop: trio.Event,
        shelf: Shelf,
        sale: Sale,
    ) -> None:
        CardCalls.__init__(self, services, shelf)
        MoneyCalls.__init__(self, services, self._find)
        SaleCalls.__init__(self, services, sale, self._find)
        EncoderCalls.__init__(self, services)
        self._services = services
        self._watcher = watcher
        self._follower = follower
        self._bus = bus
        self._stop = stop
        self._started = time.time()
        self._datasets = 0
        self.join_line = ""
        self._data = Datasets(services, bus, self._data_changed)
        self._books = Books(services)
        HoldingCalls.__init__(self, services, bus, self._books, self._find, self._consider_again)
        self._posting = Posting(services)
        self._cancelling = Cancelling(services, self._books, lambda: follower.head_time)

    # --- the node ---------------------------------------------------------------------------

    def reachable_address(self) -> str:
        """The address to tell others: one of this machine's own, loopback only as a last resort."""
        addresses = self._services.swarm.addresses()
        outer = [a for a in addresses if not a.startswith(("/ip4/127.", "/ip6/::1"))]
        return (outer or addresses)[0]

    def status(self) -> r.Status:
        services, chain = self._services, self._watcher.status()
        account = to_checksum(services.keys.account)
        machines = services.engine.machines.values()
        statistics = services.swarm.statistics()
        problems = [] if chain.reachable else [chain.last_error or "the chain was not reached yet"]
        problems += [problem for problem in chain.left if problem != chain.last_error]
        clock = services.clock.problem(), chain.doubt(services.clock.ms() / 1000)
        problems += [each for each in (*clock, services.store.waits) if each]
        problems += [f"job {m.key.hex()[:12]} is stopped: {m.broken}" for m in machines if m.broken]
        compute = services.compute.statistics()
        return r.Status(
            version=VERSION,
            pid=os.getpid(),
            started_at=self._started,
            home=str(services.home.path),
            peer_id=services.swarm.peer_id,
            addresses=tuple(services.swarm.addresses()),
            join_line=self.join_line,
            account=account,
            payout=to_checksum(services.config.payout or services.keys.account),
            chain=r.ChainStatus(
                url=chain.url,
                chain_id=services.chain.chain_id,
                contract=to_checksum(services.domain.contract),
                head=chain.head or 0,
                head_time=float(self._follower.head_time),
                reachable=chain.reachable,
                problem=chain.last_error,
            ),
            peers=len(services.swarm.connected()),
            datasets=self._datasets,
            jobs_running=sum(runs(m) for m in machines),
            jobs_waiting=sum(m.state.phase is JobPhase.WAITING for m in machines),
            tasks_queued=compute.waiting + compute.running,
            bytes_in=sum(n for name, n in statistics.items() if name.endswith("bytes.in")),
            bytes_out=sum(n for name, n in statistics.items() if name.endswith("bytes.out")),
            resident_bytes=resident_bytes(),
            problems=tuple(problems),
            closed=self.closed(),
            paused=self._paused is not None,
        )

    async def refresh(self) -> None:
        """Count what `status` shows from memory."""
        await self.look_at_pause()
        self._datasets = len(await self._services.store.read(catalogue.datasets))

    async def peers(self) -> tuple[r.Peer, ...]:
        return tuple(
            r.Peer(
                peer_id=p.peer_id,
                addresses=p.addresses,
                direction="in" if p.direction == "in" else "out",
                relayed=any("/p2p-circuit" in a for a in p.addresses),
                agent=p.agent,
                score=-p.points,
                connected_at=p.connected_since,
                rejected=sum(p.offences.values()),
            )
            for p in self._services.swarm.peers()
        )

    async def reach(self) -> Reach:
        found = await self._services.swarm.reach()
        asked = tuple(
            AskedPeer(e.peer_id, e.line, e.outcome.value, e.port, e.told, e.came_from, e.why)
            for e in found.asked
        )
        return Reach(found.verdict.value, asked)

    async def join(self, address: str, channels: str | None) -> r.Joined:
        services = self._services
        contract = None if channels is None else parse_address(channels, "channels")
        await trio.to_thread.run_sync(joining.check_channels, services.home, contract)
        await services.swarm.join(address)
        await trio.to_thread.run_sync(joining.remember, services.home, address, contract)
        peer = address.rpartition("/p2p/")[2]
        restart = contract is not None and services.config.channel_contract is None
        return r.Joined(peer, address, len(services.swarm.connected()), restart)

    async def stop(self) -> r.Stopping:
        self._stop.set()
        running = sum(runs(m) for m in self._services.engine.machines.values())
        return r.Stopping(os.getpid(), running)

    # --- data and consent -------------------------------------------------------------------

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
        return await self._data.add(
            name,
            path,
            separator,
            decimal,
            encoding,
            other_people,
            columns,
            holdout,
            header,
            names,
            images,
        )

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
        return await self._data.add_sql(name, sql, url, password, other_people, columns, holdout)

    async def data_list(self) -> tuple[r.Dataset, ...]:
        return await self._data.list()

    async def data_show(self, name: str, job: str | None) -> DatasetView:
        return await self._data.show(name, None if job is None else self._find(job))

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
    ) -> DatasetChanged:
        given = (separator, decimal, encoding, header, names, images)
        return await self._data.replace(name, path, *given)

    async def data_replace_sql(
        self, name: str, sql: str, url: str, password: str | None
    ) -> DatasetChanged:
        return await self._data.replace_sql(name, sql, url, password)

    async def data_map(self, name: str, columns: str | None) -> DatasetChanged:
        return await self._data.map(name, columns)

    async def data_remove(self, name: str) -> DatasetRemoved:
        return await self._data.remove(name)

    async def _data_changed(self) -> None:
        await self.refresh()
        await self._consider_again()

    async def policy_show(self, dataset: str) -> r.Policy:
        policy = await self._policy(dataset)
        terms = tuple(r.PolicyTerm(t.name, t.value, t.allowed, t.meaning) for t in describe(policy))
        running = [m.key for m in self._services.engine.machines.values() if _trains(m, dataset)]

        def halted(tx: Transaction) -> list[bytes]:
            return [job for job in running if standing.is_halted(tx, job)]

        stopped = await self._services.store.read(halted)
        return r.Policy(dataset, policy.decided, terms, _ids(running), _ids(stopped))

    async def policy_set(self, dataset: str, changes: Mapping[str, r.PolicyValue]) -> r.Policy:
        policy = with_changes(await self._policy(dataset), changes, self._services.tokens())
        await privacy.set_policy(self._services, dataset, policy)
        self._bus.publish("policy.set", f"{dataset}: {', '.join(changes)}")
        await self._consider_again()
        return await self.policy_show(dataset)

    async def policy_explain(self, job: str, dataset: str | None) -> tuple[r.Explained, ...]:
        return await explain(self._services, self._find(job), dataset)

    async def privacy(self, dataset: str | None, history: bool) -> tuple[r.Privacy, ...]:
        found = await budgets.privacy(self._services, dataset)
        return await past.with_history(self._services, found) if history else found

    async def _policy(self, dataset: str) -> Policy:
        offered(await find(self._services, dataset))
        return await self._services.store.read(partial(catalogue.policy_of, name=dataset))

    async def _consider_again(self) -> None:
        """Jobs that waited may fit the new policy."""
        engine = self._services.engine
        for machine in list(engine.machines.values()):
            if machine.state.phase is JobPhase.WAITING:
                await engine.feed(machine.key, inputs.ActionReconsider(self._services.clock.ms()))

    # --- jobs -------------------------------------------------------------------------------

    async def jobs(self) -> tuple[JobSummary, ...]:
        return await self._books.summaries()

    async def job_post(
        self,
        spec: str,
        holdout: str | None,
        no_noise: bool = False,
        max_fee: int | None = None,
    ) -> Posted:
        posted = await self._posting.post(spec, holdout, no_noise, max_fee)
        await self.refresh()
        return posted

    async def job_show(self, job: str) -> JobDetail:
        return await self._books.detail(self._find(job))

    async def job_consent(self, job: str, dataset: str) -> Consent:
        machine = self._find(job)
        if why := self.closed():
            shut = StateError(why)
            if self._paused is not None:
                shut.add_note("assay resume")
            raise shut
        if not isinstance(machine.state, OwnerState) or machine.state.phase not in _CONSIDERED:
            raise StateError(
                f"the job is {machine.state.phase.value}: it does not wait for consent"
            )
        policy = await self._policy(dataset)
        found = await find(self._services, dataset)
        facts = considering.facts_of(found)
        known = await considering.standing(self._services, machine, found)
        never = impossible(machine.context.spec, facts, known)
        if never:
            raise InputError("; ".join(never), "dataset")
        wrong = obstacles(policy, machine.context.spec, facts, known)
        if wrong:
            refused = StateError("; ".join(wrong))
            refused.add_note(f"assay policy show {dataset}")
            raise refused
        fit = await owner_fit(self._services, dataset, machine.key, machine.context.spec)
        if fit.refused:
            raise InputError(f"{dataset} does not fit the job: {fit.refused}", "dataset")
        costs = await considering.set_aside(self._services, machine, found)
        if costs:
            over = StateError(costs)
            over.add_note(f"assay privacy {dataset}")
            raise over
        given = considering.consent(self._services, found, policy)
        await self._services.engine.feed(machine.key, given)
        summary = await self._books.summary(machine)
        return Consent(
            summary.job, dataset, summary.state, summary.noisy, summary.sealed, summary.fits
        )

    async def job_decline(self, job: str) -> JobSummary:
        machine = self._find(job)
        if machine.state.phase is not JobPhase.WAITING:
            raise StateError(
                f"the job is {machine.state.phase.value}: it does not wait for consent"
            )
        text = "kept out by its owner's hand"
        await self._services.engine.feed(
            machine.key, inputs.ActionWithhold(self._services.clock.ms(), True, text)
        )
        return await self._books.summary(machine)

    async def job_cancel(self, job: str) -> Cancelled:
        cancelled = await self._cancelling.cancel(self._find(job))
        if not cancelled.already and cancelled.effective is None:
            text = cancelled.problem or "the cancellation is on its way to the chain"
            self._bus.publish("cancelling", text, job=cancelled.job)
        return cancelled

    async def model_get(self, job: str, round_: int | None) -> ModelFile:
        return await self._books.model(self._find(job), round_)

    async def claim(self, job: str, account: str | None, everybody: bool) -> tuple[Claim, ...]:
        machine = self._find(job)
        if everybody and account is not None:
            raise InputError("is for one account; everybody is wanted as well", "account")
        state = machine.state
        if account is None and isinstance(state, OwnerState) and not everybody:
            account = to_checksum(state.payout or self._services.keys.account)
        return await self._books.claim(machine, account)

    async def audit(self, job: str) -> Audit:
        return await self._books.audit(self._find(job))

    def _find(self, job: str) -> Machine:
        """A job by its id or a prefix of it."""
        prefix = job.lower().removeprefix("0x")
        machines = self._services.engine.machines
        found = [m for key, m in machines.items() if key.hex().startswith(prefix)] if prefix else []
        if len(found) != 1:
            known = "no job" if not found else f"{len(found)} jobs"
            error = InputError(f"{known} here begins with {job!r}", "job")
            error.add_note("assay jobs")
            raise error
        return found[0]


def _trains(machine: Machine, dataset: str) -> bool:
    """Whether a job with rounds to come was taken with a data set."""
    state = machine.state
    taken = isinstance(state, OwnerState) and state.dataset == dataset
    return taken and state.phase not in (*OVER, JobPhase.FINISHING) and not machine.broken


def _ids(jobs: list[bytes]) -> tuple[str, ...]:
    return tuple("0x" + job.hex() for job in jobs)
