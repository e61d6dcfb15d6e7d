"""Computations: the daemon's worker functions, at the cost that the estimate says."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from unittest.mock import patch

from simulator import sealed, workers

from node.store.blobs import BlobRef
from node.work import apply as apply_tasks
from node.work import noisy as noisy_tasks
from node.work import sealed as sealed_tasks
from node.work import secagg as secagg_tasks
from node.work import tasks
from protocol.arith.numbers.fixedpoint import Integers
from protocol.cost.estimate import apply_seconds, contribute_seconds
from protocol.errors import InputError, PeerError
from protocol.layout.noise import NoisePlan, multiplier_bound, sampling_rate
from protocol.machines import effects, inputs, outcomes
from protocol.machines.machine import one_line
from protocol.machines.outcomes import OUTCOMES
from protocol.spec.job import JobSpec
from protocol.wire.codec import decode_tagged, encode_tagged

if TYPE_CHECKING:
    from simulator.participant import Node

_MOMENT_SECONDS = 0.002

#: What a computation's randomness is drawn for: each kind has a stream of its own.
_PURPOSES: dict[type, str] = {
    effects.ComputeInitialModel: "initial",
    effects.ComputeContribution: "contribution",
    effects.ComputeCheck: "check",
    effects.ComputeSum: "sum",
    effects.ComputeApply: "apply",
}


class Computing:
    """One node's computations; a stored outcome is given again, never computed again."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def compute(self, job: bytes, id_: int, effect: effects.Compute) -> None:
        node, spec = self._node, self._node.contexts[job].spec
        ident, secret = hashlib.sha256(job + encode_tagged(effect)).digest(), b""
        if isinstance(effect, effects.ComputeContribution):
            # Whoever masks holds the secrets from the start on: they may be forgotten meanwhile.
            secret = node.executor.secrecy.of(job, effect.round, effect.attempt)

        def finish() -> None:
            stored = node.results.get(ident)
            if stored is None:
                node.results[ident] = encode_tagged(self._run(job, effect, secret))
                stored = node.results[ident]
            node.feed(job, decode_tagged(OUTCOMES, stored, 1 << 20), id_)

        seconds = _MOMENT_SECONDS
        if isinstance(effect, effects.ComputeContribution):
            seconds = contribute_seconds(spec)
        elif isinstance(effect, effects.ComputeApply | effects.ComputeSum):
            seconds = apply_seconds(spec)
        node.later(1000 * seconds * node.world.slowness(node), finish)

    def _run(self, job: bytes, effect: effects.Compute, secret: bytes) -> inputs.Input:
        node, purpose = self._node, _PURPOSES[type(effect)]
        try:
            with (
                workers.within(node, node.entropy(purpose)),
                node.world.timed(node),
            ):
                result = self._dispatch(job, effect, secret)
        except (InputError, PeerError) as error:
            return outcomes.failed(effect, node.now, one_line(str(error)))
        blob = result.blob or BlobRef(b"", 0)
        extra, worth = _digest(result.extra), _digest(result.worth)
        if isinstance(effect, effects.ComputeApply):
            node.world.accuracies.append(dict(result.facts)["accuracy"])
        return outcomes.done(effect, node.now, blob.digest, blob.size, extra, result.facts, worth)

    def ref(self, digest: bytes) -> BlobRef:
        return BlobRef(digest, len(self._node.blobs[digest]))

    def _dispatch(self, job: bytes, effect: effects.Compute, secret: bytes) -> tasks.Result:
        node, world = self._node, self._node.world
        work = workers.work_of(node.jobs[job].spec)
        match effect:
            case effects.ComputeInitialModel():
                sealed = node.contexts[job].spec.privacy.sealed
                return (sealed_tasks if sealed else tasks).initial_model(work)
            case effects.ComputeContribution():
                return self._contribution(job, effect, work, secret)
            case effects.ComputeCheck():
                place = node.place(job, effect.round, effect.attempt)
                peer = node.contexts[job].require_cohort().members[effect.member].peer
                return secagg_tasks.check(work, self.ref(effect.batch_digest), place, peer)
            case effects.ComputeSum():
                return tasks.add(work, tuple(self.ref(digest) for digest in effect.batches))
            case effects.ComputeApply():
                cohort = node.contexts[job].require_cohort().members

                def rows(members: tuple[int, ...]) -> tuple[int, ...]:
                    return tuple(cohort[member].rows for member in members)

                return apply_tasks.apply(
                    work,
                    world.paillier.to_bytes(),
                    effect.round,
                    self.ref(effect.model_digest),
                    self.ref(effect.momentum) if effect.momentum else None,
                    self.ref(effect.worth) if effect.worth else None,
                    tuple(
                        apply_tasks.Block(
                            self.ref(b.sum), self.ref(b.unmask), b.members, rows(b.members)
                        )
                        for b in effect.blocks
                    ),
                    workers.rows_of("holdout"),
                )

    def _contribution(
        self, job: bytes, effect: effects.ComputeContribution, work: tasks.Work, secret: bytes
    ) -> tasks.Result:
        """One vector a round and model, noised or not; fresh masks an attempt."""
        node = self._node
        if not secret:
            raise InputError("the attempt's secrets are forgotten", "secrets")
        rows, model = workers.rows_of(node.name), self.ref(effect.model_digest)
        noisy, context = self._noisy(job, effect, work), node.contexts[job]
        cohort = context.require_cohort()
        me = cohort.index_of(node.peer)
        assert me is not None
        attempt = secagg_tasks.Attempt(
            node.place(job, effect.round, effect.attempt),
            effect.model_digest,
            effect.roster_digest,
            node.executor.secrecy.roster(job, effect.round, effect.block, effect.roster_digest),
        )
        place = effect.round, effect.attempt
        if context.spec.privacy.sealed:
            step = sealed_tasks.Step(rows, cohort.members[me].rows, model, noisy)
            result = sealed_tasks.contribution(work, step, attempt, secret, me, node.peer)
            node.integers[place] = sealed.told(work, step, node.world.paillier)
        else:
            # Mini-batches are the same in every attempt of a round; so is a noisy draw, once
            # stored.
            seed = hashlib.sha256(f"{node.world.settings.seed} {node.name} {effect.round}".encode())
            gradient = tasks.Gradient(rows, model, seed.digest(), noisy)
            truth = tasks.integers_of

            def noted(work: tasks.Work, gradient: tasks.Gradient) -> tuple[Integers, tasks.Facts]:
                found = truth(work, gradient)
                node.integers[place] = found[0]
                return found

            with patch.object(tasks, "integers_of", noted):
                result = secagg_tasks.contribution(work, gradient, attempt, secret, me, node.peer)
        assert result.blob is not None
        content = node.tricks.batch(node.blobs[result.blob.digest])
        return tasks.Result(tasks.put(work, content), facts=result.facts)

    def _noisy(
        self, job: bytes, effect: effects.ComputeContribution, work: tasks.Work
    ) -> bytes | None:
        node, spec = self._node, self._node.contexts[job].spec
        if not spec.privacy.noisy:
            return None
        # One draw a round and model; of a sealed job, one in all, on nothing that it could change.
        key = job, effect.round, effect.model_digest
        if spec.privacy.sealed:
            key = job, 0, node.contexts[job].spec_digest
        if key not in node.gradients:
            rows = workers.rows_of(node.name)
            node.charged.append(key)
            if spec.privacy.sealed:
                draw = sealed_tasks.noised_statistics(work, rows, self._plan(spec))
            else:
                model = self.ref(effect.model_digest)
                draw, _ = noisy_tasks.noisy_gradient(work, rows, model, self._plan(spec))
            node.gradients[key] = draw
        return node.gradients[key]

    def _plan(self, spec: JobSpec) -> NoisePlan:
        """How this node samples and noises, by the bound that needs no accountant."""
        privacy, training = spec.privacy, spec.training
        assert privacy.epsilon is not None
        rate = sampling_rate(training.batch_rows, len(self._node.world.rows(self._node)[0]))
        return NoisePlan(
            1.0 if privacy.sealed else rate,
            multiplier_bound(privacy.epsilon, privacy.delta, spec.charged_rounds),
        )


def _digest(ref: BlobRef | None) -> bytes:
    return b"" if ref is None else ref.digest
