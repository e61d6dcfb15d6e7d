"""A job's books as people see them: summaries, rounds, members, money; claims and the audit.

Everything comes from this node's store: its machines, the contract's events, the transactions that
it sent, the lists and the evidence that it holds. Nothing here changes a machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from node.chain import events
from node.chain.cursor import load_cursor
from node.chain.intents import rows as intent_rows
from node.chain.intents.intents import Intent
from node.control import job_results as j
from node.engine.engine import Machine
from node.engine.services import Services
from node.jobs import standing
from node.jobs.audits import audit_job, claims, held_evidence, known_lists
from node.jobs.standing import Known
from node.jobs.timeline import phase_seconds, round_views
from node.perform.chain import TAKEN_BACK, claim_args, claim_mark
from node.perform.compute import key_name
from node.privacy import budgets
from node.store import jobs, records
from node.store.blobs import BlobRef
from node.store.jobs import StoredEvent
from node.store.records import Event
from node.store.store import Transaction
from node.work import exporting, tasks
from protocol.addresses import parse_address, to_checksum
from protocol.books.audit import Check
from protocol.books.evidence import ClaimProof, split_claim
from protocol.errors import InputError, StateError
from protocol.machines.job import JobPhase
from protocol.machines.round import Phase
from protocol.owner.state import OwnerState
from protocol.params import MAX_ROUNDS
from protocol.requester.pay import WINDING_UP
from protocol.requester.state import RequesterState
from protocol.spec.render import render_toml
from protocol.tokens import currency
from protocol.wire.messages import Release

#: The machine's phases in the words of the control socket.
_STATES: Final[dict[JobPhase, j.JobState]] = {
    JobPhase.POSTING: "posted",
    JobPhase.ENROLLING: "enrolling",
    JobPhase.ROOTING: "enrolling",
    JobPhase.SEEN: "waiting",
    JobPhase.CONSIDERING: "waiting",
    JobPhase.WAITING: "waiting",
    JobPhase.ENROLMENT_SENT: "enrolling",
    JobPhase.ENROLLED: "enrolling",
    JobPhase.TRAINING: "running",
    JobPhase.FINISHING: "settling",
    JobPhase.PAYING: "settling",
    JobPhase.CLOSED: "finished",
    JobPhase.DECLINED: "declined",
    JobPhase.CANCELLED: "cancelled",
    JobPhase.FAILED: "failed",
}


class Books:
    """The books of every job that this node knows."""

    def __init__(self, services: Services) -> None:
        self._services = services

    # --- views ------------------------------------------------------------------------------

    async def summaries(self) -> tuple[j.JobSummary, ...]:
        rows = await self._services.store.read(jobs.jobs)
        machines = self._services.engine.machines
        known = [machines[row.job] for row in rows if row.job in machines]
        return tuple([await self.summary(machine) for machine in known])

    async def summary(self, machine: Machine) -> j.JobSummary:
        known = await self._services.store.read(partial(standing.look, machine=machine))
        return _summary(machine, known)

    async def detail(self, machine: Machine) -> j.JobDetail:
        services, job = self._services, machine.key

        def load(
            tx: Transaction,
        ) -> tuple[Known, list[Event], dict[tuple[records.Direction, str], int]]:
            known = standing.look(tx, machine)
            return known, records.events(tx, job=job, limit=100_000), records.traffic(tx, job)

        known, history, traffic = await services.store.read(load)
        told = known.told
        refused = await services.store.read(partial(standing.refusals, machine=machine))
        gas = await services.store.read(partial(_gas, job=job))
        count = partial(records.count_messages, job=job, kind=Release.__name__)
        lists = await trio.to_thread.run_sync(known_lists, services, machine)
        books = await trio.to_thread.run_sync(held_evidence, services, machine)
        spec = machine.context.spec
        newest = machine.state.model_digest
        return j.JobDetail(
            summary=_summary(machine, known),
            spec=render_toml(spec),
            spec_digest=machine.context.spec_digest,
            rounds=round_views(machine, told, history, gas.used, lists),
            members=standing.members(machine, told, lists, books, refused),
            decliners=standing.decliners(machine.state),
            declined=standing.declined(machine.state),
            money=money(machine, told, gas),
            bytes_in=sum(n for (way, _), n in traffic.items() if way == "in"),
            bytes_out=sum(n for (way, _), n in traffic.items() if way == "out"),
            releases=await services.store.read(count),
            epsilon_spent=await budgets.job_spent(services, machine),
            seconds=phase_seconds(history),
            model=newest or None,
        )

    # --- the model --------------------------------------------------------------------------

    async def model(self, machine: Machine, round_: int | None) -> j.ModelFile:
        """A model as a file in the home. `round_` counts the rounds that went into it."""
        state, services = machine.state, self._services
        spec = machine.context.spec
        if spec.privacy.sealed and not isinstance(state, RequesterState):
            raise StateError(
                "the model is sealed: what owners hold of it are ciphertexts, and only its "
                f"requester {to_checksum(spec.requester.account)} has the key; ask there"
            )
        known = await services.store.read(partial(standing.look, machine=machine))
        digest, rounds = state.model_digest, _rounds_done(machine, known)
        if round_ is not None and isinstance(state, RequesterState):
            if not 0 <= round_ <= len(state.records):
                raise InputError(f"rounds 0 to {len(state.records)} are done", "round")
            rounds = round_
            done = state.records.at(round_)
            digest = digest if done is None else done.model_digest
        elif round_ is not None and round_ != rounds:
            raise InputError(f"an owner keeps the newest model, of round {rounds}", "round")
        size = services.blobs.size(digest) if digest else None
        if size is None:
            raise StateError("no model of the job is here yet")
        folder = services.home.path / "models"
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / f"{machine.key.hex()[:16]}-{rounds}.npz"
        work = tasks.Work(services.home.blobs, await services.spec_bytes(machine.context))
        key = b""
        if spec.privacy.sealed:
            key = await trio.to_thread.run_sync(
                services.keys.unseal, key_name(machine.context.spec.modulus)
            )
        await services.compute.run(exporting.export_model, work, key, BlobRef(digest, size), path)
        final = state.phase in (JobPhase.PAYING, JobPhase.CLOSED, JobPhase.FINISHING)
        return j.ModelFile(
            job="0x" + machine.key.hex(),
            round=rounds,
            rounds=spec.training.rounds,
            final=final and rounds == _rounds_done(machine, known),
            digest=digest,
            path=str(path),
            bytes=path.stat().st_size,
        )

    # --- claims -----------------------------------------------------------------------------

    async def claim(self, machine: Machine, account: str | None) -> tuple[j.Claim, ...]:
        """Send claims for one account, or for all accounts that have something to claim."""
        services, context = self._services, machine.context
        wanted = None if account is None else parse_address(account)
        told = await services.store.read(partial(jobs.contract_events, job=machine.key))
        ends = (e.event for e in told if isinstance(e.event, events.Finished))
        root = next((each.merit_root for each in ends), b"")
        proofs = await trio.to_thread.run_sync(claims, services, machine, wanted, root)
        sent, token = [], currency(context.spec.payment.token)
        for proof in (part for whole in proofs for part in split_claim(whole)):
            if not await self._due(machine, proof):
                owner, of = to_checksum(proof.account), "0x" + machine.key.hex()
                sent.append(j.Claim(of, owner, token, 0, 0, 0, "", 0))
                continue
            args = (machine.key, proof.account, *claim_args(proof))
            ident = await self._claim_id(machine, proof)
            await services.intents.submit(Intent(ident, "claim", args))
            done = await services.intents.settled(ident)
            tx = "0x" + done.tx_hash.hex() if done.tx_hash else ""
            paid = done.state == "final"
            sent.append(
                j.Claim(
                    "0x" + machine.key.hex(),
                    to_checksum(proof.account),
                    token,
                    len(proof.rounds) if paid else 0,
                    len(proof.rounds) * context.spec.payment.rate if paid else 0,
                    proof.merit if paid else 0,
                    tx,
                    done.gas_used or 0,
                )
            )
        return tuple(sent)

    async def _claim_id(self, machine: Machine, proof: ClaimProof) -> str:
        """The intent of this claim: the one that is under way, or a new one."""
        turn = 0
        while True:
            ident = f"{machine.key.hex()}/claim/{claim_mark(proof, turn)}"
            before = await self._services.intents.get(ident)
            if before is None or not before.settled:
                return ident
            turn += 1

    async def _due(self, machine: Machine, proof: ClaimProof) -> bool:
        """Whether the contract still owes anything of a proof, or may: only the contract knows of
        equal shares."""
        if machine.state.phase in WINDING_UP:
            return True
        paid = await self._services.chain.paid(machine.key, proof.account)
        rounds = any(not paid >> each.round & 1 for each in proof.rounds)
        return rounds or (proof.merit > 0 and not paid >> MAX_ROUNDS & 1)  # its top bit

    # --- audit ------------------------------------------------------------------------------

    async def audit(self, machine: Machine) -> j.Audit:
        """Check the books against the chain. Faults are results."""
        services = self._services

        def read(tx: Transaction) -> tuple[list[StoredEvent], int]:
            return jobs.contract_events(tx, machine.key), load_cursor(tx, 0).number

        told, read_to = await services.store.read(read)
        gas = await services.store.read(partial(_gas, job=machine.key))
        checks = await audit_job(services, machine, told, read_to)
        lost = await services.store.read(partial(taken_back, job=machine.key))
        checks = (*checks, *lost)
        return j.Audit(
            job="0x" + machine.key.hex(),
            ok=all(check.ok for check in checks),
            checks=tuple(j.Check(c.name, c.ok, c.detail) for c in checks),
            money=money(machine, told, gas),
        )


def money(machine: Machine, told: list[StoredEvent], gas: Gas) -> j.Money:
    """Where the bounty is, by the contract's own words."""
    said = [stored.event for stored in told]
    posted = [e for e in said if isinstance(e, events.Posted)]
    committed = sum(e.count for e in said if isinstance(e, events.Committed))
    rate = machine.context.spec.payment.rate
    paid = sum(claim.amount for e in said for claim in events.claims_of(e, rate))
    finished = [e for e in said if isinstance(e, events.Finished)]
    escrowed = sum(e.rounds * e.cohort * e.rate + e.merit for e in posted)
    earned = committed * machine.context.spec.payment.rate
    earned += sum(e.merit_total for e in finished)
    returned = sum(e.amount for e in said if isinstance(e, events.Withdrawn))
    awaited = escrowed - earned - returned if posted and finished else 0
    return j.Money(
        escrowed=escrowed,
        earned=earned,
        paid=paid,
        returned=returned,
        awaited=awaited,
        returns_at=float(finished[-1].effective) if awaited else None,
        gas=sum(gas.used.values()),
        gas_cost=gas.cost,
    )


def _summary(machine: Machine, known: Known) -> j.JobSummary:
    spec, state = machine.context.spec, machine.state
    role: j.Role = "requester"
    if isinstance(state, OwnerState):
        role = "owner" if state.dataset else "bystander"
    said = [stored.event for stored in known.told]
    return j.JobSummary(
        job="0x" + machine.key.hex(),
        title=spec.title,
        role=role,
        state="failed" if machine.broken else _STATES[state.phase],
        reason=standing.reason(machine, known),
        early=standing.ended_early(machine, known),
        requester=to_checksum(spec.requester.account),
        sealed=spec.privacy.sealed,
        noisy=spec.privacy.epsilon is not None,
        round=known.committed,
        rounds=spec.training.rounds,
        enrolled=_enrolled(machine, said),
        token=currency(spec.payment.token),
        rate=spec.payment.rate,
        merit=spec.payment.merit,
        merit_by=spec.payment.merit_by.value,
        expires_at=float(spec.expires_at),
        dataset=state.dataset if isinstance(state, OwnerState) else "",
        fits=standing.fits(machine, known),
    )


def _enrolled(machine: Machine, said: list[events.ContractEvent]) -> int:
    if isinstance(machine.state, RequesterState):
        return len(machine.state.enrolments)
    return sum(e.count for e in said if isinstance(e, events.Enrolled))


def _rounds_done(machine: Machine, known: Known) -> int:
    """Rounds that went into the newest model here; for an owner, the last model that it was told
    of."""
    state = machine.state
    if isinstance(state, RequesterState):
        return len(state.records)
    if state.phase is not JobPhase.TRAINING:
        return known.committed
    if state.round is None:
        return 0
    return state.round.number + (state.round.phase is Phase.DONE)


@dataclass(frozen=True, slots=True)
class Gas:
    """This node's mined transactions for a job: gas by intent, and what all of it cost, wei."""

    used: dict[str, int]
    cost: int


def _gas(tx: Transaction, job: bytes) -> Gas:
    """Intents go by their name after the job's."""
    rows = tx.execute(
        "SELECT id, gas_used, gas_price FROM intents WHERE id LIKE ? AND gas_used IS NOT NULL",
        (f"{job.hex()}/%",),
    ).fetchall()
    used = {ident.split("/", 1)[1]: gas for ident, gas, _ in rows}
    return Gas(used, sum(gas * int(price or 0) for _, gas, price in rows))


def taken_back(tx: Transaction, job: bytes) -> list[Check]:
    """A check for each transaction that a reorganisation took back after its end was told."""
    found = {
        str(each.facts.get("intent")): each
        for each in records.events(tx, job=job, limit=100_000)
        if each.kind == TAKEN_BACK
    }
    checks = []
    for ident, event in found.items():
        row = intent_rows.get(tx, ident)
        state = "unknown" if row is None else row.state
        was = str(event.facts.get("was", "final"))
        detail = f"{was} once, then reorganised away; sent again, and {state} now"
        found_again = state in ("final", was)
        checks.append(Check(f"transaction {ident.partition('/')[2]}", found_again, detail))
    return checks
