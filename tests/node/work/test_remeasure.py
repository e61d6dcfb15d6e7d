"""Worth measured again from what a requester publishes, and what it finds in a dishonest one's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kits.books import make_spec

from node.store.blobs import BlobRef
from node.work import apply as apply_tasks
from node.work import remeasure, tasks
from node.work.remeasure import Step
from protocol.arith import kernels
from protocol.arith.learning import models, worth
from protocol.arith.learning.published import encode_holdout
from protocol.arith.learning.training import local_gradient
from protocol.arith.learning.worth_record import append, decode
from protocol.arith.numbers.vectors import Kind, decode_vector, encode_vector
from protocol.books.merit import merit_weights
from protocol.books.remeasured import Remeasured, agree
from protocol.errors import InputError, Malformed
from protocol.params import MAX_BLOB_BYTES
from protocol.spec.job import MeritBy, encode_spec

BLOCKS = tuple(tuple(range(start, start + 5)) for start in (0, 5, 10))
NONCE = b"\x05" * 32


def cloud(seed: int, count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    side = random.integers(0, 2, count)
    return random.normal(0, 0.4, (count, 1)) + side[:, None], side.astype(np.float64)


@dataclass
class Requester:
    """A job of fifteen owners in three blocks as its requester's workers run it."""

    work: tasks.Work
    holdout: tasks.Rows
    steps: list[Step] = field(default_factory=list)
    model: BlobRef = field(init=False)
    momentum: BlobRef | None = None
    record: BlobRef | None = None

    def __post_init__(self) -> None:
        first = tasks.initial_model(self.work).blob
        assert first is not None
        self.model = first

    def gradients(self, worst: int = 2) -> list[bytes]:
        """Each block's mean gradient of its own rows; the labels of one are turned."""
        spec = tasks.spec_of(self.work)
        model, training = tasks.model_of(spec), tasks.training_of(spec)
        start = decode_vector(Kind.MODEL, tasks.get(self.work, self.model), model.parameter_count)
        found = []
        for number in range(len(BLOCKS)):
            x, y = cloud(10 + number)
            y = 1.0 - y if number == worst else y
            rows = models.check_rows(model, x, y)
            gradient, _ = local_gradient(model, start, *rows, training, bytes(32))
            found.append(encode_vector(Kind.GRADIENT, gradient))
        return found

    def round(
        self,
        patch: pytest.MonkeyPatch,
        opened: Sequence[int] = (0, 1, 2),
        dropped: Sequence[int] = (),
    ) -> None:
        number, gradients = len(self.steps), self.gradients()
        told = [apply_tasks._Opened(gradients[b], BLOCKS[b], 5) for b in opened]
        lost = [BLOCKS[b] for b in dropped]
        patch.setattr(apply_tasks, "_open", lambda *_: (told, lost))
        patch.setattr("protocol.arith.paillier.cryptosystem.PrivateKey.from_bytes", lambda _: None)
        done = apply_tasks.apply(
            self.work, b"", number, self.model, self.momentum, self.record, (), self.holdout
        )
        assert done.blob is not None
        self.steps.append(Step(number, self.model.digest, done.blob.digest, BLOCKS))
        self.model, self.momentum, self.record = done.blob, done.extra, done.worth

    def lost_round(self) -> None:
        """One that is committed and paid, and could not be applied."""
        self.steps.append(Step(len(self.steps), self.model.digest, self.model.digest, BLOCKS))

    @property
    def weights(self) -> tuple[int, ...]:
        """What its evidence shows."""
        assert self.record is not None
        found = apply_tasks.worths(self.work, self.record, 15)
        return () if found is None else merit_weights(found)

    def audited(self, record: BlobRef | None = None, holdout: BlobRef | None = None) -> Remeasured:
        published = holdout or remeasure.publish(self.work, self.holdout, NONCE)
        steps = tuple(self.steps)
        return remeasure.remeasure(self.work, record or self.record, published, steps, 15)


@pytest.fixture
def requester(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Requester:
    (tmp_path / "partial").mkdir()
    spec = make_spec(15, min_owners=15, rounds=9, merit_by=MeritBy.WORTH)

    def load(
        directory: Path, digest: bytes, name: str, *_: object
    ) -> tuple[np.ndarray, np.ndarray]:
        return cloud(1 if name == "holdout" else 2)

    monkeypatch.setattr(tasks, "load_matrix", load)
    rows = tasks.Rows(tmp_path, bytes(32), "holdout")
    return Requester(tasks.Work(tmp_path, encode_spec(spec)), rows)


def test_an_auditor_finds_the_requester_s_weights(
    requester: Requester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over rounds in which all blocks, some, or none were opened, and one that was not applied."""
    for opened, dropped in (((0, 1, 2), ()), ((1, 0, 2), ()), ((0, 2), (1,)), ((), (0, 1, 2))):
        requester.round(monkeypatch, opened, dropped)
    requester.lost_round()
    requester.round(monkeypatch)
    found = requester.audited()
    assert found == Remeasured(requester.weights)
    assert found.weights[0] > found.weights[14] == 0
    assert agree(found.weights, requester.weights)


def test_an_auditor_finds_own_parts_as_well(
    requester: Requester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They rest on the round before, of which some blocks were dropped or none was opened."""
    for opened, dropped in (((0, 1, 2), ()), ((0, 2), (1,)), ((), (0, 1, 2)), ((2, 1, 0), ())):
        requester.round(monkeypatch, opened, dropped)
    requester.lost_round()
    requester.round(monkeypatch)
    seen: list[bytes] = []
    told = worth.worth_of_members

    def spy(record: bytes, *args: Any) -> tuple[float, ...] | None:
        seen.append(record)
        return told(record, *args)

    monkeypatch.setattr(worth, "worth_of_members", spy)
    assert requester.audited().fault == ""
    assert requester.record is not None
    mine, theirs = decode(seen[0]), decode(tasks.get(requester.work, requester.record))
    assert [each.entries for each in mine] == [each.entries for each in theirs]
    first, *later = theirs
    assert first.own.tolist() == first.values.tolist()
    assert all(each.own.tolist() != each.values.tolist() for each in later)


def test_sums_are_kept_where_they_are_not_published(
    requester: Requester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Own parts need the last round's: by discretion too, where nobody is told the record."""
    spec = tasks.spec_of(requester.work)
    payment = dataclasses.replace(spec.payment, merit_by=MeritBy.DISCRETION)
    closed = encode_spec(dataclasses.replace(spec, payment=payment, holdout=b""))
    requester.work = tasks.Work(requester.work.blobs, closed)
    for _ in range(2):
        requester.round(monkeypatch)
    assert requester.record is not None
    rounds = decode(tasks.get(requester.work, requester.record))
    assert rounds[1].own.tolist() != rounds[1].values.tolist()


def test_nothing_that_tells_is_equal_shares(requester: Requester) -> None:
    requester.lost_round()
    assert requester.audited() == Remeasured(())


def test_a_hold_out_that_was_measured_on_in_its_place_gives_other_weights(
    requester: Requester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that the spec names is published; it was measured on another."""
    for _ in range(3):
        requester.round(monkeypatch)
    honest = requester.weights
    x, y = cloud(1)
    turned = remeasure.publish(requester.work, requester.holdout, NONCE)
    monkeypatch.setattr(tasks, "matrix_of", lambda *_: (x, 1.0 - y))
    swapped = remeasure.publish(requester.work, requester.holdout, NONCE)
    assert swapped != turned
    assert agree(requester.audited(holdout=turned).weights, honest)
    assert not agree(requester.audited(holdout=swapped).weights, honest)


def altered(requester: Requester, change: Callable[[int, list[bytes]], list[bytes]]) -> BlobRef:
    """A record that names other sums."""
    record: bytes | None = None
    for each in decode(tasks.get(requester.work, requester.record or BlobRef(b"", 0))):
        data = tasks.get(requester.work, BlobRef(each.sums, each.sums_bytes))
        size = len(data) // 3
        parts = change(each.number, [data[at : at + size] for at in range(0, len(data), size)])
        sums = tasks.put(requester.work, b"".join(parts))
        record = append(record, each.number, each.entries, sums.digest, sums.size)
    assert record is not None
    return tasks.put(requester.work, record)


def test_sums_that_do_not_make_the_model_are_found(
    requester: Requester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other sums for a favoured block, the same block twice, and one that was left out."""
    for _ in range(3):
        requester.round(monkeypatch)

    def better(number: int, parts: list[bytes]) -> list[bytes]:
        if number != 1:
            return parts
        count = tasks.spec_of(requester.work).parameter_count
        gradient = decode_vector(Kind.GRADIENT, parts[2], count)
        return [*parts[:2], encode_vector(Kind.GRADIENT, 2 * gradient)]

    for change in (better, lambda _, parts: [parts[0]] * 3, lambda _, parts: parts[:2]):
        found = requester.audited(record=altered(requester, change))
        assert "is not what the sums" in found.fault
    assert requester.audited(record=altered(requester, lambda _, parts: parts)).fault == ""


def test_a_record_that_says_who_was_where_is_held_against_the_lists(
    requester: Requester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Puppets cannot be put into a good block afterwards, nor can a round be left out."""
    for _ in range(3):
        requester.round(monkeypatch)
    assert requester.record is not None
    rounds = decode(tasks.get(requester.work, requester.record))
    forged: bytes | None = None
    for each in rounds:
        (good, value), *rest, (bad, worst) = each.entries
        entries = [((*good[:4], bad[0]), value), *rest, ((good[4], *bad[1:]), worst)]
        forged = append(forged, each.number, entries, each.sums, each.sums_bytes)
    assert forged is not None
    found = requester.audited(record=tasks.put(requester.work, forged))
    assert found.fault == "round 0: a block is measured that its list has not"
    first = append(None, 0, rounds[0].entries, rounds[0].sums, rounds[0].sums_bytes)
    found = requester.audited(record=tasks.put(requester.work, first))
    assert found.fault == "round 2: its model is not what the sums before it lead to"
    bare = append(None, 0, rounds[0].entries)
    found = requester.audited(record=tasks.put(requester.work, bare))
    assert found.fault == "round 0: no sums are published"


def test_bytes_that_are_nothing_are_a_finding(
    requester: Requester, monkeypatch: pytest.MonkeyPatch
) -> None:
    requester.round(monkeypatch)
    for wrong in ({"record": b"x" * 50}, {"holdout": b"y" * 100}):
        named = {name: tasks.put(requester.work, data) for name, data in wrong.items()}
        assert "cannot be measured" in requester.audited(**named).fault
    x, y = cloud(1)
    classless = tasks.put(requester.work, encode_holdout(x, y + 5.0, NONCE))
    found = requester.audited(holdout=classless)
    assert found.fault.endswith("a target is none of the classes 0 to 1")
    with pytest.raises(Malformed):
        remeasure.sums_of(requester.work, tasks.put(requester.work, b"x" * 50))


def test_the_name_is_the_published_blobs_and_is_known_before_its_bytes_are(
    requester: Requester, tmp_path: Path
) -> None:
    named = remeasure.name(requester.work.spec, requester.holdout, NONCE)
    assert not (tmp_path / named.hex()).exists()
    assert remeasure.publish(requester.work, requester.holdout, NONCE).digest == named
    assert (tmp_path / named.hex()).exists()
    assert remeasure.name(requester.work.spec, requester.holdout, bytes(32)) != named


def test_a_hold_out_that_no_blob_holds_is_refused(
    requester: Requester, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = MAX_BLOB_BYTES // 16
    huge = np.broadcast_to(0.0, (rows, 1)), np.broadcast_to(0.0, rows)
    monkeypatch.setattr(tasks, "matrix_of", lambda *_: huge)
    with pytest.raises(InputError, match=f"its {rows} rows of 1 inputs take"):
        remeasure.name(requester.work.spec, requester.holdout, NONCE)


def test_kept_models_have_the_digests_of_the_kernels(requester: Requester) -> None:
    """What the auditor rebuilds is byte for byte what the requester committed to."""
    spec = tasks.spec_of(requester.work)
    first = kernels.initial_model(tasks.model_of(spec), spec.seed)
    assert tasks.put(requester.work, first) == requester.model
