"""Effects, carried out in virtual time. Computations run the real kernels, and cost what the
estimate says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from eth_hash.auto import keccak
from simulator.entropy import stream
from simulator.watch import Intent

from node.tasks import envelope_of, model_of, training_of
from protocol import effects, evidence, inputs, lists
from protocol.arith import kernels
from protocol.arith.lanes import SumOutOfRange
from protocol.arith.models import Model
from protocol.blobs import blob_digest
from protocol.codec import decode_tagged, encode_tagged
from protocol.effects import BlobKind
from protocol.enrolment import cohort_order, draw_blocks
from protocol.envelope import envelope_digest
from protocol.errors import InputError, Malformed, PeerError
from protocol.estimate import apply_seconds, contribute_seconds
from protocol.machine import JobContext, one_line
from protocol.messages import Contribution, Enrol
from protocol.requester_state import RequesterState
from protocol.spec import JobSpec
from protocol.typed_data import Commitment, Enrolment, commitment_digest, enrolment_digest

if TYPE_CHECKING:
    from simulator.participant import Node

_OUTCOMES = (inputs.ComputeDone, inputs.ComputeFailed)
_MOMENT_MS = 2


class Executor:
    """Carries out one node's effects."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def perform(self, job: bytes, id_: int, effect: effects.Effect) -> None:
        node, context = self._node, self._node.contexts[job]
        match effect:
            case effects.Publish():
                envelope = node.sealed(job, effect.round, effect.attempt, effect.body)
                node.keep(envelope)
                data = node.frame(envelope, effect.attachment)
                node.world.network.gossip(effect.topic, data, node)
                node.done(job, id_)
            case effects.Send():
                envelope = node.sealed(job, effect.round, effect.attempt, effect.body)
                node.keep(envelope)
                data = node.frame(envelope, effect.attachment)
                self._request(job, id_, effect.peer, data, effect.until)
            case effects.SendEnrolment():
                body = self.enrolment(job, effect.payout, effect.rows)
                envelope = node.sealed(job, 0, 0, body)
                node.keep(envelope)
                self._request(job, id_, effect.peer, node.frame(envelope, b""), effect.until)
            case effects.Fetch():
                node.fetch(job, id_, effect.digest, effect.peers, effect.until)
            case effects.Assemble():
                self._soon(job, id_, lambda: self._assemble(job, effect))
            case effects.Examine():
                self._soon(job, id_, lambda: self._examine(job, effect))
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
            case effects.Settle():
                self._soon(job, id_, lambda: self._settle(job))
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
                self._compute(job, id_, effect, context)
            case _:
                self._transact(job, effect, context)
                node.done(job, id_)

    def _soon(self, job: bytes, id_: int, make: Callable[[], inputs.Input]) -> None:
        self._node.later(_MOMENT_MS, lambda: self._node.feed(job, make(), id_))

    def _request(self, job: bytes, id_: int, peer: bytes, data: bytes, until: int) -> None:
        node = self._node

        def answered(reply: bytes) -> None:
            node.done(job, id_)
            if reply:
                node.answered(job, reply)

        node.world.network.request(node, peer, data, until, answered)

    def enrolment(self, job: bytes, payout: bytes, rows: int) -> Enrol:
        node = self._node
        statement = Enrolment(job, node.account, payout, keccak(node.peer), rows)
        digest = enrolment_digest(node.world.domain, statement)
        return Enrol(node.account, payout, rows, _account_signature(node.account_key, digest))

    # --- lists ------------------------------------------------------------------------------

    def _store(self, content: bytes) -> bytes:
        digest = blob_digest(content)
        self._node.blobs[digest] = content
        return digest

    def _assemble(self, job: bytes, effect: effects.Assemble) -> inputs.Input:
        node, context = self._node, self._node.contexts[job]
        envelopes, root = [node.messages[d] for d in effect.messages], b""
        if effect.kind is BlobKind.COHORT:
            envelopes = cohort_order(context.spec, job, envelopes)
        data = lists.encode_list(envelopes)
        if effect.kind is BlobKind.COHORT:
            node.learn_cohort(job, data)
            root = node.contexts[job].require_cohort().root
        elif effect.kind is BlobKind.CONTRIBUTIONS:
            cohort = context.require_cohort()
            root = lists.index_root([lists.contribution_leaf_of(cohort, e) for e in envelopes])
        place = effect.kind, effect.round, effect.attempt
        return inputs.Assembled(node.now, *place, self._store(data), len(data), root)

    def _examine(self, job: bytes, effect: effects.Examine) -> inputs.Input:
        node, context = self._node, self._node.contexts[job]
        place = effect.kind, effect.round, effect.attempt, effect.digest
        data, mine = node.blobs[effect.digest], b""
        try:
            if effect.kind is BlobKind.COHORT:
                node.learn_cohort(job, data)
                cohort = node.contexts[job].require_cohort()
                root, members = cohort.root, tuple(range(len(cohort.members)))
            else:
                cohort, state = context.require_cohort(), node.state(job)
                blocks = draw_blocks(cohort, context.spec.cohort, state.seed)
                where = node.place(job, effect.round, effect.attempt)
                check = (
                    lists.examine_frozen
                    if effect.kind is BlobKind.FROZEN
                    else lists.examine_contributions
                )
                listed = check(cohort, blocks, where, effect.binding, data)
                root, members = listed.root, listed.members
        except Malformed as error:
            return inputs.Rejected(node.now, *place, one_line(str(error)))
        for envelope in lists.decode_list(data):
            if envelope.sender == node.peer:
                body = envelope.body
                is_batch = isinstance(body, Contribution)
                mine = body.batch_digest if is_batch else envelope_digest(envelope)
        return inputs.Examined(node.now, *place, root, members, mine)

    def _books(self, job: bytes) -> tuple[RequesterState, list[Any]]:
        state = self._node.state(job)
        assert isinstance(state, RequesterState)
        return state, [lists.decode_list(self._node.blobs[r.list_digest]) for r in state.records]

    def _settle(self, job: bytes) -> inputs.Input:
        node, context = self._node, self._node.contexts[job]
        state, rounds = self._books(job)
        cohort, pot = context.require_cohort(), context.spec.payment.merit
        books = evidence.close_books(job, context.spec_digest, pot, state, cohort, rounds)
        data = evidence.encode_evidence(books)
        root = evidence.merit_tree(books).root.hash
        accounts = evidence.payouts(cohort, rounds)
        return inputs.Settled(node.now, self._store(data), len(data), root, accounts)

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
        signature = _account_signature(node.account_key, digest)
        said = effect.round, effect.root, effect.valid_until
        return inputs.CommitmentSigned(node.now, *said, signature)

    def _transact(self, job: bytes, effect: Any, context: JobContext) -> None:
        spec = context.spec
        account, mark = b"", "0"
        match effect:
            case effects.TransactPost():
                pay = spec.payment
                terms = (spec.training.rounds, spec.cohort.max_owners, pay.rate, pay.merit)
                args = (context.spec_digest, pay.token, *terms, spec.expires_at)
                function = "post"
            case effects.TransactEnrol():
                function, args = "enrol", (job, effect.root, effect.count)
            case effects.TransactCommit():
                function, mark = "commit", f"{effect.round}.{effect.valid_until}"
                said = effect.root, effect.count, effect.model_digest, effect.valid_until
                args = (job, effect.round, *said, effect.signature)
            case effects.TransactFinish():
                state, _ = self._books(job)
                pot = spec.payment.merit if state.records else 0
                said = effect.model_digest, effect.evidence_digest, effect.merit_root
                function, args = "finish", (job, *said, pot)
            case effects.TransactClaim():
                function, mark, account = "claim", effect.account.hex(), effect.account
                args = (job, self.proof(job, account))
            case effects.TransactCancel():
                function, args = "cancel", (job,)
            case effects.TransactWithdraw():
                function, mark, args = "withdraw", str(effect.turn), (job,)
            case _:
                raise TypeError(f"no such effect: {effect!r}")
        self._submit(job, function, mark, account, args)

    def proof(self, job: bytes, account: bytes) -> evidence.ClaimProof:
        """Everything that the requester's books prove for `account`."""
        state, rounds = self._books(job)
        numbered = [(r.number, listed) for r, listed in zip(state.records, rounds, strict=True)]
        books = evidence.decode_evidence(self._node.blobs[state.evidence_digest])
        cohort = self._node.contexts[job].require_cohort()
        finished = None if state.settling else books
        return evidence.prove_claim(cohort, numbered, finished, account)

    def _submit(
        self, job: bytes, function: str, mark: str, account: bytes, args: tuple[Any, ...]
    ) -> None:
        node = self._node
        id_ = f"{node.name}/{job.hex()[:8]}/{function}/{mark}"
        node.watch.intents.setdefault(id_, Intent(job, function, account))
        node.world.chain.submit(id_, node.account, function, args)

    # --- computations -----------------------------------------------------------------------

    def _compute(self, job: bytes, id_: int, effect: effects.Compute, context: JobContext) -> None:
        """Once: a stored outcome is given again, never computed again."""
        node = self._node
        ident = hashlib.sha256(job + encode_tagged(effect)).digest()

        def finish() -> None:
            stored = node.results.get(ident)
            if stored is None:
                node.results[ident] = encode_tagged(self._run(job, effect, context))
                stored = node.results[ident]
            node.feed(job, decode_tagged(_OUTCOMES, stored, 1 << 20), id_)

        seconds = _MOMENT_MS / 1000
        if isinstance(effect, effects.ComputeContribution):
            seconds = contribute_seconds(context.spec)
        elif isinstance(effect, effects.ComputeApply | effects.ComputeSum):
            seconds = apply_seconds(context.spec)
        node.later(1000 * seconds * node.world.slowness(node), finish)

    def _run(self, job: bytes, effect: effects.Compute, context: JobContext) -> inputs.Input:
        labels = effects.labels(effect)
        try:
            result, extra, facts = self._dispatch(job, effect, context.spec)
        except (InputError, PeerError) as error:
            return inputs.ComputeFailed(self._node.now, *labels, one_line(str(error)))
        digest = self._store(result) if result else b""
        more = self._store(extra) if extra else b""
        return inputs.ComputeDone(self._node.now, *labels, digest, len(result), more, facts)

    def _dispatch(
        self, job: bytes, effect: effects.Compute, spec: JobSpec
    ) -> tuple[bytes, bytes, effects.Facts]:
        blobs, world, n = self._node.blobs, self._node.world, spec.modulus
        model, expected = model_of(spec), spec.packing.ciphertexts(spec.parameter_count)
        match effect:
            case effects.ComputeInitialModel():
                return kernels.initial_model(model, spec.seed), b"", ()
            case effects.ComputeContribution():
                x, y = world.rows(self._node)
                name = f"{self._node.name} {effect.round}.{effect.attempt}"
                batch, facts = kernels.contribute(
                    model,
                    blobs[effect.model_digest],
                    x,
                    y,
                    training_of(spec),
                    envelope_of(spec),
                    hashlib.sha256(f"{world.settings.seed} {name}".encode()).digest(),
                    stream(f"{world.settings.seed} {name}"),
                )
                return batch, b"", (("gradient_norm", facts.gradient_norm),)
            case effects.ComputeCheck():
                kernels.check_batch(n, blobs[effect.batch_digest], expected)
                return b"", b"", ()
            case effects.ComputeSum():
                return kernels.sum_batches(n, [blobs[d] for d in effect.batches], expected), b"", ()
            case effects.ComputeApply():
                return self._apply(effect, spec, model)

    def _apply(
        self, effect: effects.ComputeApply, spec: JobSpec, model: Model
    ) -> tuple[bytes, bytes, effects.Facts]:
        blobs, world, gradients = self._node.blobs, self._node.world, []
        for digest, count in zip(effect.sums, effect.counts, strict=True):
            try:
                opened = kernels.open_sum(
                    world.paillier.to_bytes(),
                    blobs[digest],
                    envelope_of(spec),
                    count,
                    spec.parameter_count,
                )
            except SumOutOfRange:
                continue
            gradients.append((opened, count))
        weights = blobs[effect.model_digest]
        momentum = blobs[effect.momentum] if effect.momentum else None
        after = momentum or b""
        if gradients:
            weights, after, _ = kernels.apply(
                model, weights, momentum, gradients, training_of(spec)
            )
        seen = kernels.evaluate(model, weights, *world.holdout)
        world.accuracies.append(seen.accuracy)
        return weights, after, (("accuracy", seen.accuracy),)


def _account_signature(key: Any, digest: bytes) -> bytes:
    """r, s, v with v 27 or 28; deterministic (RFC 6979)."""
    raw: bytes = key.sign_msg_hash(digest).to_bytes()
    return raw[:64] + bytes([raw[64] + 27])
