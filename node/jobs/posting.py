"""Posting a job: check the file, make the key, complete the spec, start its machine."""

from __future__ import annotations

import dataclasses
import secrets
from pathlib import Path

import trio

from node.control.job_results import Posted
from node.data.datasets import add_dataset
from node.engine.engine import Machine
from node.engine.services import Services
from node.jobs import paying
from node.perform import publishing
from node.perform.compute import dataset_rows, key_name, misfit
from node.perform.encoders import fetching
from node.store import catalogue, jobs, records, versions
from node.store.store import Transaction
from node.work import tasks
from protocol.books.enrolment import job_id, spec_domain
from protocol.errors import ChainError, InputError
from protocol.machines import inputs
from protocol.machines.machine import JobContext
from protocol.machines.round import Role
from protocol.requester.state import RequesterState
from protocol.spec.job import ChainRef, JobSpec, encode_spec, spec_digest
from protocol.spec.parts import Party
from protocol.spec.toml import Draft, parse_toml
from protocol.tokens import currency

#: How long a posting's transaction is waited for before the reply goes without its hash, seconds.
_PATIENCE = 5.0

#: How long a posting waits for a first look at the chain's time, seconds.
_CLOCK_SECONDS = 30.0


class Posting:
    """Posts jobs of this node."""

    def __init__(self, services: Services) -> None:
        self._services = services
        #: Two at once would count on the same money.
        self._one = trio.Lock()

    async def post(
        self,
        text: str,
        holdout: str | None,
        no_noise: bool = False,
        max_fee: int | None = None,
    ) -> Posted:
        """Post the job that a TOML file describes; `no_noise`: without the noise that it asks for.

        `max_fee` is the most that its posting offers, wei per gas, where the setting is not to
        hold. Raises InputError (the file, the hold-out set), ChainError (too little money, no
        chain).
        """
        async with self._one:
            return await self._post(text, holdout, no_noise, max_fee)

    async def _post(
        self, text: str, holdout: str | None, no_noise: bool, max_fee: int | None
    ) -> Posted:
        services = self._services
        draft = parse_toml(text, no_noise, services.tokens())
        fetching.require(services, draft.terms)
        await services.chain.check()
        paying.refuse(await paying.plan(services, draft.terms, max_fee))
        terms = draft.terms
        if holdout is None and terms.payment.measures:
            raise InputError(
                f"payment.merit_by is {terms.payment.merit_by}: worth is measured on rows that no "
                'job trains on (--holdout FILE); or say merit_by = "equal"',
                "holdout",
            )
        name = "" if holdout is None else await self._holdout(holdout, draft)
        key = await services.compute.run(
            tasks.generate_key, terms.encryption.key_bits, terms.privacy.sealed
        )
        await trio.to_thread.run_sync(services.keys.seal, key_name(key.modulus), key.private)
        domain = services.domain
        # Right after a start it may not be known yet that this machine's clock is off, and a job
        # would end that much earlier or later than was asked for.
        with trio.move_on_after(_CLOCK_SECONDS):
            await services.clock.settled.wait()
        spec = draft.complete(
            salt=secrets.token_bytes(16),
            requester=Party(services.keys.account, services.swarm.peer_id_bytes),
            chain=ChainRef(domain.chain_id, domain.contract),
            modulus=key.modulus,
            seed=secrets.token_bytes(32),
            now=services.clock.ms() // 1000,
            base=key.base,
            proof=key.proof,
            holdout=bytes(32) if terms.payment.publishes else b"",
        )
        if terms.payment.publishes:
            rows = await dataset_rows(services, name)
            named = await publishing.name(services, spec, rows, key.private)
            spec = dataclasses.replace(spec, holdout=named)
        return await self._start(spec, name, max_fee)

    async def _start(self, spec: JobSpec, holdout: str, max_fee: int | None) -> Posted:
        services = self._services
        content = encode_spec(spec)
        digest = spec_digest(content)
        job = job_id(spec_domain(spec), services.keys.account, digest)
        await trio.to_thread.run_sync(services.blobs.put, content)

        context = JobContext(
            job,
            spec,
            len(content),
            digest,
            services.swarm.peer_id_bytes,
            services.keys.account,
        )
        # Making the key took seconds: what stands on the chain may be another by now.
        made = await paying.plan(services, spec, max_fee)
        paying.refuse(made)
        insert = services.intents.prepare(*await paying.intents(services, made, context, max_fee))

        def write(tx: Transaction) -> None:
            insert(tx)
            measured = catalogue.load_dataset(tx, holdout) if holdout else None
            if measured is not None:
                versions.use(tx, job, measured)
            records.save_spec(tx, digest, content)
            jobs.save_job(tx, job, Role.REQUESTER.value, digest, holdout)

        services.engine.add(Machine(Role.REQUESTER, context, RequesterState()))
        # In one transaction: a job that is stored is posted, whatever crashes in between.
        await services.engine.feed(job, inputs.ActionPost(services.clock.ms()), also=write)
        tx_hash = b""
        with trio.move_on_after(_PATIENCE):
            while not tx_hash:
                outcome = await services.intents.get(f"{job.hex()}/post/0")
                if outcome is not None and outcome.state == "failed":
                    raise ChainError(f"the bounty is not posted: {outcome.error}")
                tx_hash = (outcome.tx_hash or b"") if outcome is not None else b""
                await trio.sleep(0.05)
        shown = "0x" + tx_hash.hex() if tx_hash else ""
        token = currency(spec.payment.token)
        return Posted(
            job="0x" + job.hex(),
            spec_digest=digest,
            escrowed=spec.escrow,
            token=token,
            merit=spec.payment.merit,
            merit_by=spec.payment.merit_by.value,
            noisy=spec.privacy.noisy,
            sealed=spec.privacy.sealed,
            transaction=shown,
        )

    async def _holdout(self, given: str, draft: Draft) -> str:
        """The data set to measure on: one by name, or a file that is imported now.

        It must fit, because otherwise it could not measure later, when owners have worked already.
        From now on it is a hold-out, which no job may train on: a data set whose owner has offered
        it to jobs is none.
        """
        services, name = self._services, given
        imported = given.startswith("/")
        if imported:
            name = f"holdout-{secrets.token_hex(4)}"
            home, store, compute = services.home, services.store, services.compute
            await add_dataset(home, store, compute, name, Path(given), holdout=True)
        else:
            await self._check_holdout(given)
        unfit = await misfit(services, name, draft.terms, owner=False)
        if unfit and imported:
            # The next start removes its copy, with all others that nothing names.
            await services.store.run(lambda tx: catalogue.delete_dataset(tx, name))
        if unfit:
            raise InputError(f"does not fit the job: {unfit}", "holdout")
        await services.store.run(lambda tx: catalogue.mark_holdout(tx, name))
        return name

    async def _check_holdout(self, name: str) -> None:
        """Raise InputError unless a data set of this home may measure."""

        def load(tx: Transaction) -> tuple[catalogue.Dataset | None, bool]:
            return catalogue.load_dataset(tx, name), name in catalogue.policies(tx)

        found, offered = await self._services.store.read(load)
        if found is None:
            text = f"{name!r} is neither a file nor a data set of this home"
            error = InputError(text, "holdout")
            error.add_note("assay data list; a file counts from where the command is given")
            raise error
        if offered:
            error = InputError(
                f"{name} has a policy, by which jobs may train on it: then it measures nothing; "
                "give a file that no job trains on",
                "holdout",
            )
            error.add_note("assay data add NAME FILE --holdout")
            raise error
