"""A sealed round through the workers' functions: statistics, replies, the requester's step."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from kits.books import make_spec

from node.data.matrix import KeptRows, OwnedRows
from node.store.blobs import BlobRef, Blobs
from node.work import apply as apply_tasks
from node.work import sealed as sealed_tasks
from node.work import secagg as secagg_tasks
from node.work import tasks
from protocol.arith import kernels
from protocol.arith.learning.worth_record import decode as decode_record
from protocol.arith.numbers.vectors import Kind, decode_vector
from protocol.arith.paillier.cryptosystem import PrivateKey
from protocol.arith.sealed import affine, statistics
from protocol.arith.sealed import ciphertexts as sealed
from protocol.arith.secagg.sharing import Secrets
from protocol.books.lists import RosterEntry
from protocol.errors import FatalError, InputError, Malformed
from protocol.layout.noise import NoisePlan
from protocol.layout.packing import batch_maker
from protocol.spec.job import (
    ClassTarget,
    Family,
    FeatureMap,
    JobSpec,
    MeritBy,
    ModelSpec,
    encode_spec,
)
from protocol.wire.codec import encode
from protocol.wire.envelope import Context

OWNERS, ROWS, CAP = 5, (40, 30, 20, 60, 50), 50
JOB = b"\x0b" * 32


@dataclasses.dataclass
class Job:
    """A sealed job of five owners and its key; blobs of everybody in one folder."""

    work: tasks.Work
    spec: JobSpec
    key: PrivateKey
    data: dict[str, tuple[np.ndarray, np.ndarray]]

    def rows(self, owner: int) -> tasks.Rows:
        return tasks.Rows(self.work.blobs, bytes(32), f"owner-{owner}")

    def place(self, round_: int) -> Context:
        return Context(31_337, b"\xc0" * 20, JOB, round_, 0)

    def block(
        self, round_: int, model: BlobRef, kept: list[bytes | None]
    ) -> tuple[apply_tasks.Block, list[BlobRef]]:
        """Every owner's reply to a model, summed, with what takes the masks off."""
        place, names = self.place(round_), [bytes([i]) * 32 for i in range(OWNERS)]
        members = tuple((name, secagg_tasks.new_sealing_key()[1]) for name in names)
        made = [secagg_tasks.make_secrets(place, bytes(32), name, members, 4) for name in names]
        roster = tuple(RosterEntry(i, i, m.ready) for i, m in enumerate(made))
        attempt = secagg_tasks.Attempt(place, model.digest, bytes(32), roster)
        batches = []
        for i, name in enumerate(names):
            step = sealed_tasks.Step(self.rows(i), ROWS[i], model, kept[i])
            found = sealed_tasks.contribution(self.work, step, attempt, made[i].secret, i, name)
            assert found.blob is not None
            secagg_tasks.check(self.work, found.blob, place, name)
            batches.append(found.blob)
        total = tasks.add(self.work, tuple(batches)).blob
        envelope = tasks.envelope_of(self.spec)
        removal = kernels.unmask_vector(
            envelope,
            self.spec.parameter_count,
            secagg_tasks.binding_of(self.spec, attempt),
            [(i, m.ready.mask_key, Secrets.from_bytes(m.secret).seed) for i, m in enumerate(made)],
            [],
        )
        assert total is not None
        unmask = tasks.put(self.work, removal)
        return apply_tasks.Block(total, unmask, tuple(range(OWNERS)), ROWS), batches

    def clear_round(self, weights: np.ndarray) -> np.ndarray:
        """The same round in the clear, in floats."""
        spec, training = self.spec, self.spec.training
        moves = np.zeros_like(weights)
        counted = [min(n, CAP) for n in ROWS]
        for i, n in enumerate(counted):
            u, y = tasks.matrix_of(self.work.spec, self.rows(i))
            model = tasks.model_of(spec)
            step = affine.local_map(
                model,
                statistics.exact(model, u, y),
                training.local_steps,
                training.rate,
                training.ridge,
            )
            moves += n / sum(counted) * (step.matrix @ weights + step.offset)
        return weights + moves


@pytest.fixture(scope="module")
def key() -> tasks.JobKey:
    return tasks.generate_key(2048, True)


@pytest.fixture(params=["none", "fourier"])
def job(
    request: pytest.FixtureRequest,
    key: tasks.JobKey,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Job]:
    base = make_spec(min_owners=15, merit_by=MeritBy.DISCRETION)
    mapped = request.param == "fourier"
    shape = ModelSpec(
        Family.SOFTMAX,
        0,
        FeatureMap(request.param),
        6 if mapped else 0,
        1.0 if mapped else 0.0,
        0.5,
        0.25,
        16.0,
    )
    spec = dataclasses.replace(
        base,
        model=shape,
        target=ClassTarget("class", ("a", "b", "c")),
        training=dataclasses.replace(
            base.training, batch_rows=CAP, clip_norm=1.0, rate=1e3, momentum=0.0
        ),
        privacy=dataclasses.replace(base.privacy, sealed=True),
        encryption=dataclasses.replace(base.encryption, key_bits=2048),
        modulus=key.modulus,
        base=key.base,
        proof=key.proof,
    )
    random = np.random.default_rng(1)
    data = {}
    for owner, count in enumerate((*ROWS, 200)):
        y = random.integers(0, 3, count).astype(float)
        x = random.random((count, spec.inputs))
        x[:, 0] = (x[:, 0] + y) / 3
        data[f"owner-{owner}"] = x, y

    def load(directory: Path, digest: bytes, name: str, terms: object, renames: str) -> object:
        return data[name]

    def load_owned(
        directory: Path, digest: bytes, name: str, terms: object, renames: str
    ) -> OwnedRows:
        x, y = data[name]
        return OwnedRows(x, y, np.zeros(len(x), dtype=np.bool_), "")

    def load_kept(
        directory: Path, digest: bytes, name: str, terms: object, renames: str
    ) -> KeptRows:
        x, y = data[name]
        return KeptRows(x, y, np.zeros(len(x), dtype=np.bool_), "")

    monkeypatch.setattr("node.work.tasks.load_matrix", load)
    monkeypatch.setattr("node.work.tasks.load_kept_rows", load_kept)
    monkeypatch.setattr("node.work.tasks.load_owned_rows", load_owned)
    clear_caches()
    yield Job(
        tasks.Work(tmp_path, encode_spec(spec)), spec, PrivateKey.from_bytes(key.private), data
    )
    clear_caches()


def clear_caches() -> None:
    """What workers keep of data sets, by names that the next test uses again."""
    for kept in (tasks.matrix_of, tasks.noised_rows, sealed_tasks._quantised):
        kept.cache_clear()


def weights_of(job: Job, model: BlobRef) -> np.ndarray:
    found = sealed_tasks.exported(job.work, job.key.to_bytes(), model)["weights"]
    return np.asarray(found)


def test_rounds_move_the_model_as_they_would_in_the_clear(job: Job) -> None:
    model = sealed_tasks.initial_model(job.work).blob
    assert model is not None
    assert model.size == job.spec.model_bytes
    expected, state = np.zeros((job.spec.feature_count, 3)), None
    holdout = job.rows(OWNERS)
    for round_ in range(3):
        block, _ = job.block(round_, model, [None] * OWNERS)
        done = apply_tasks.apply(
            job.work, job.key.to_bytes(), round_, model, state, None, (block,), holdout
        )
        expected = job.clear_round(expected)
        assert done.blob is not None
        model, state = done.blob, done.extra
        found = weights_of(job, model)
        bound = affine.error_bound(
            job.spec.layout,
            job.spec.model.weight_limit,
            weights=tuple(min(n, CAP) / CAP for n in ROWS),
            rounds=round_ + 1,
        )
        assert np.linalg.norm(found - expected, axis=0).max() <= bound.weights
        assert np.abs(found - expected).max() < 0.02 < np.abs(found).max()
    facts = dict(done.facts)
    assert facts["contributors"] == OWNERS
    assert facts["clipped_weights"] == 0.0
    assert facts["accuracy"] > 0.55
    assert done.worth is not None
    (measured,) = decode_record(tasks.get(job.work, done.worth))
    assert measured.sums_bytes == 0, "the sums would show the weights"


def test_a_round_without_a_good_block_keeps_the_weights_under_other_ciphertexts(job: Job) -> None:
    model = sealed_tasks.initial_model(job.work).blob
    assert model is not None
    block, _ = job.block(0, model, [None] * OWNERS)
    wrong = dataclasses.replace(block, unmask=job.block(1, model, [None] * OWNERS)[0].unmask)
    done = apply_tasks.apply(job.work, job.key.to_bytes(), 0, model, None, None, (wrong,), None)
    assert done.blob is not None
    assert dict(done.facts) == {"blocks_dropped": 1.0, "clipped_weights": 0.0}
    assert done.blob.digest != model.digest
    assert not weights_of(job, done.blob).any()


def test_replies_to_the_edge_of_their_range_leave_weights_that_owners_can_answer(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moves may go far beyond any model that the others are shown: what they leave behind must not
    take more honest rounds to undo than the job has."""
    spec, limit = job.spec, job.spec.model.weight_limit
    layout, honest = spec.layout, sealed_tasks._quantised
    model = sealed_tasks.initial_model(job.work).blob
    assert model is not None
    assert layout is not None
    bound = layout.bound

    def attack(spec_bytes: bytes, rows: tasks.Rows, declared: int, kept: bytes | None) -> object:
        found = honest(spec_bytes, rows, declared, kept)
        return dataclasses.replace(found, offset=np.full_like(found.offset, bound))

    with monkeypatch.context() as patch:
        patch.setattr(sealed_tasks, "_quantised", attack)
        block, _ = job.block(0, model, [None] * OWNERS)
    done = apply_tasks.apply(job.work, job.key.to_bytes(), 0, model, None, None, (block,), None)
    assert dict(done.facts)["clipped_weights"] == spec.parameter_count
    assert dict(done.facts)["move"] > 1.5 * limit
    assert done.extra is not None
    weights, momentum = sealed_tasks.open_state(job.work, job.key, done.extra)
    count = tasks.model_of(spec).parameter_count
    assert momentum is not None
    assert (decode_vector(Kind.MODEL, weights, count)[: spec.parameter_count] == limit).all()
    assert not decode_vector(Kind.MOMENTUM, momentum, count).any()


def test_rows_that_are_not_those_of_the_enrolment_are_not_trained_on(job: Job) -> None:
    with pytest.raises(InputError, match="enrolled with 41"):
        sealed_tasks._quantised(job.work.spec, job.rows(0), ROWS[0] + 1, None)


def test_a_noisy_job_multiplies_with_what_was_drawn_and_with_nothing_else(job: Job) -> None:
    spec = dataclasses.replace(
        job.spec, privacy=dataclasses.replace(job.spec.privacy, epsilon=4.0, delta=1e-5)
    )
    work = tasks.Work(job.work.blobs, encode_spec(spec))
    drawn = sealed_tasks.noised_statistics(work, job.rows(0), NoisePlan(1.0, 1.2))
    again = sealed_tasks.noised_statistics(work, job.rows(0), NoisePlan(1.0, 1.2))
    assert drawn != again
    from_rows = sealed_tasks._quantised(work.spec, job.rows(0), ROWS[0], drawn)
    from_others = sealed_tasks._quantised(work.spec, job.rows(3), ROWS[0], drawn)
    assert (from_rows.matrix == from_others.matrix).all()
    assert (from_rows.offset == from_others.offset).all()
    with pytest.raises(FatalError, match="drawn and kept before"):
        sealed_tasks._quantised(work.spec, job.rows(0), ROWS[0], None)


def test_an_owner_takes_no_model_but_the_jobs_ciphertexts(job: Job) -> None:
    model = sealed_tasks.initial_model(job.work).blob
    assert model is not None
    content = Blobs(job.work.blobs).get(model)
    size = job.spec.encryption.key_bits // 4
    for broken, reason in (
        (content[:-size] + bytes(size), "ciphertext"),
        (content[:-size] + content[-2 * size : -size], "are the same"),
        (content[:13] + b"\1" + content[14:], "sealed model says"),
    ):
        with pytest.raises(Malformed, match=reason):
            job.block(0, tasks.put(job.work, broken), [None] * OWNERS)


def test_an_echo_of_the_model_is_no_contribution(job: Job) -> None:
    """Its ciphertexts carry no masks and no member's name, and there are more of them."""
    model = sealed_tasks.initial_model(job.work).blob
    assert model is not None
    maker = batch_maker(encode(job.place(0)), bytes(32))
    with pytest.raises(Malformed):
        kernels.check_batch(
            tasks.envelope_of(job.spec),
            Blobs(job.work.blobs).get(model),
            job.spec.parameter_count,
            maker,
        )


def test_enrolment_checks_the_keys_proof(job: Job) -> None:
    assert tasks.fits(job.rows(0), job.spec, True).why == ""
    size = len(job.spec.modulus)
    forged = job.spec.proof[:-size] + secrets.token_bytes(size - 1) + b"\1"
    with pytest.raises(InputError, match="proof"):
        tasks.fits(job.rows(0), dataclasses.replace(job.spec, proof=forged), True)


def test_what_the_requester_stores_does_not_hold_the_weights(job: Job) -> None:
    model = sealed_tasks.initial_model(job.work).blob
    assert model is not None
    block, _ = job.block(0, model, [None] * OWNERS)
    done = apply_tasks.apply(job.work, job.key.to_bytes(), 0, model, None, None, (block,), None)
    assert done.blob is not None
    weights = weights_of(job, done.blob)
    integers = sealed.decrypt_model(
        job.key, tasks.envelope_of(job.spec), Blobs(job.work.blobs).get(done.blob)
    )
    needles = {
        part
        for number, integer in zip(weights.reshape(-1), integers, strict=True)
        for part in (np.float64(number).tobytes(), np.int64(integer).tobytes())
        if part.count(0) < 4
    }
    assert needles
    for path in job.work.blobs.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [part for part in needles if part in content], path
