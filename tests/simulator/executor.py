"""Effects, carried out in virtual time: messages, the chain, and what goes to the other files."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from eth_hash.auto import keccak
from simulator.computing import Computing
from simulator.listing import Listing
from simulator.secrecy import Secrecy
from simulator.watch import Intent

from protocol.books import evidence
from protocol.books.typed_data import Commitment, Enrolment, commitment_digest, enrolment_digest
from protocol.machines import effects, inputs
from protocol.machines.machine import JobContext
from protocol.spec.job import JobSpec
from protocol.wire.messages import Body, Enrol

if TYPE_CHECKING:
    from simulator.participant import Node

MOMENT_MS = 2


class Executor:
    """Carries out one node's effects."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.listing = Listing(node)
        self.computing = Computing(node)
        self.secrecy = Secrecy(node)

    def perform(self, job: bytes, id_: int, effect: effects.Effect) -> None:
        node = self._node
        match effect:
            case effects.Publish():
                envelope = node.sealed(job, effect.round, effect.attempt, effect.body)
                node.keep(envelope)
                data = node.frame(envelope, effect.attachment)
                node.world.network.gossip(effect.topic, data, node)
                node.done(job, id_)
            case effects.Send():
                place = job, effect.round, effect.attempt
                self._say(id_, effect.peer, place, effect.body, effect.until, effect.attachment)
            case effects.SendEnrolment():
                body = self.enrolment(job, effect.payout, effect.rows)
                self._say(id_, effect.peer, (job, 0, 0), body, effect.until)
            case effects.SendRelease():
                release = self.secrecy.release(job, effect)
                if release is None:
                    node.done(job, id_)
                    return
                place = job, effect.round, effect.attempt
                peer = node.contexts[job].requester
                self._say(id_, peer, place, release, effect.until)
            case effects.Fetch():
                node.fetch(job, id_, effect)
            case effects.Assemble():
                self._soon(job, id_, lambda: self.listing.assemble(job, effect))
            case effects.Examine():
                self._soon(job, id_, lambda: self.listing.examine(job, effect))
            case effects.Settle():
                self._soon(job, id_, lambda: self.listing.settle(job, effect))
            case effects.ReadJob():
                self._soon(job, id_, lambda: self._read_job(job))
            case effects.ReadBlockHash():
                block = node.world.chain.blocks[effect.number]
                self._soon(
                    job, id_, lambda: inputs.ChainBlockHash(node.now, effect.number, block.hash)
                )
            case effects.Consider():
                self._soon(job, id_, lambda: node.world.consider(node))
            case effects.SignCommitment():
                self._soon(job, id_, lambda: self._sign(job, effect))
            case effects.MakeSecrets():
                self._soon(job, id_, lambda: self.secrecy.make(job, effect))
            case effects.ForgetSecrets():
                self.secrecy.forget(job, effect.round, effect.attempt)
                node.done(job, id_)
            case effects.ForgetSealingKey():
                self.secrecy.forget_sealing_key(job)
                node.done(job, id_)
            case effects.ComputeUnmask():
                self._soon(job, id_, lambda: self.secrecy.unmask(job, effect))
            case effects.Blame():
                node.blamed.append((effect.peer, effect.reason))
                node.world.note(node.name, f"  blames: {effect.reason}")
                node.done(job, id_)
            case (
                effects.ComputeInitialModel()
                | effects.ComputeContribution()
                | effects.ComputeCheck()
                | effects.ComputeSum()
                | effects.ComputeApply()
            ):
                self.computing.compute(job, id_, effect)
            case _:
                self._transact(job, effect, node.contexts[job])
                node.done(job, id_)

    def _soon(self, job: bytes, id_: int, make: Callable[[], inputs.Input]) -> None:
        self._node.later(MOMENT_MS, lambda: self._node.feed(job, make(), id_))

    def _say(
        self,
        id_: int,
        peer: bytes,
        place: tuple[bytes, int, int],
        body: Body,
        until: int,
        attachment: bytes = b"",
    ) -> None:
        """Deliver until there is an answer."""
        node, job = self._node, place[0]
        envelope = node.sealed(*place, body)
        node.keep(envelope)

        def answered(reply: bytes) -> None:
            node.done(job, id_)
            if reply:
                node.answered(job, reply)

        data = node.frame(envelope, attachment)
        node.world.network.request(node, peer, data, until, answered)

    def enrolment(self, job: bytes, payout: bytes, rows: int) -> Enrol:
        node = self._node
        statement = Enrolment(job, node.account, payout, keccak(node.peer), rows)
        signature = account_signature(
            node.account_key, enrolment_digest(node.world.domain, statement)
        )
        return Enrol(node.account, payout, rows, self.secrecy.sealing_key(job), signature)

    # --- the chain --------------------------------------------------------------------------

    def _read_job(self, job: bytes) -> inputs.Input:
        node = self._node
        held = node.world.chain.state.jobs.get(job)
        if held is None:
            nobody = bytes(20)
            return inputs.ChainJob(node.now, False, nobody, bytes(32), nobody, 0, 0, 0, 0, 0)
        terms = (held.requester, held.spec_digest, held.token, held.rounds, held.cohort)
        return inputs.ChainJob(node.now, True, *terms, held.rate, held.merit, held.closes)

    def _sign(self, job: bytes, effect: effects.SignCommitment) -> inputs.Input:
        node = self._node
        terms = effect.round, effect.root, effect.count, effect.model_digest, effect.valid_until
        digest = commitment_digest(node.world.domain, Commitment(job, *terms))
        signature = account_signature(node.account_key, digest)
        said = effect.round, effect.root, effect.valid_until
        return inputs.CommitmentSigned(node.now, *said, signature)

    def _transact(self, job: bytes, effect: Any, context: JobContext) -> None:
        spec: JobSpec = context.spec
        account, mark = b"", "0"
        match effect:
            case effects.TransactPost():
                pay = spec.payment
                terms = (spec.training.rounds, spec.cohort.max_owners, pay.rate, pay.merit)
                args = (context.spec_digest, pay.token, *terms, spec.expires_at)
                function = "post"
            case effects.TransactEnrol():
                function, mark = "enrol", str(effect.index)
                args = (job, effect.root, effect.count)
            case effects.TransactCommit():
                function, mark = "commit", f"{effect.round}.{effect.valid_until}"
                said = effect.root, effect.count, effect.model_digest, effect.valid_until
                args = (job, effect.round, *said, effect.signature)
            case effects.TransactFinish():
                records = self.listing.records(job)
                pot = spec.payment.merit if records else 0
                said = effect.model_digest, effect.evidence_digest, effect.merit_root
                function, args = "finish", (job, *said, pot)
            case effects.TransactClaim():
                function, mark, account = "claim", effect.account.hex(), effect.account
                args = (job, self.proof(job, account))
            case effects.TransactPay():
                function, args = "pay", (job, *self.listing.whole(job))
            case effects.TransactCancel():
                function, args = "cancel", (job,)
            case effects.TransactWithdraw():
                function, mark, args = "withdraw", str(effect.turn), (job,)
            case _:
                raise TypeError(f"no such effect: {effect!r}")
        self._submit(job, function, mark, account, args)

    def proof(self, job: bytes, account: bytes) -> evidence.ClaimProof:
        """Everything that the requester's books prove for `account`."""
        return self.listing.proof(job, account)

    def _submit(
        self, job: bytes, function: str, mark: str, account: bytes, args: tuple[Any, ...]
    ) -> None:
        node = self._node
        id_ = f"{node.name}/{job.hex()[:8]}/{function}/{mark}"
        node.watch.intents.setdefault(id_, Intent(job, function, account))
        node.world.chain.submit(id_, node.account, function, args)


def account_signature(key: Any, digest: bytes) -> bytes:
    """r, s, v with v 27 or 28; deterministic (RFC 6979)."""
    raw: bytes = key.sign_msg_hash(digest).to_bytes()
    return raw[:64] + bytes([raw[64] + 27])
