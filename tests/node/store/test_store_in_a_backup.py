"""A store that comes out of a backup counts for the worst, and begins nothing again."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from kits.budgets import fill, job

from node.home.home import Home
from node.privacy import joins
from node.privacy import ledger as privacy_ledger
from node.store import jobs, outbox, records
from node.store.backup import snapshot
from node.store.store import Store
from protocol.errors import InputError
from protocol.layout.noise import NoisePlan

NOISY, QUIET, OVER = job(1), job(2), job(3)
LIMIT = privacy_ledger.Limit(8.0, 1e-5)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home whose data set is in a job with noise, in one without, and was in one that is over."""
    home = Home(tmp_path / "home")
    home.create()
    with Store.open(home.database) as store:
        fill(store, "ward", epsilon=8)
        with store.transaction() as tx:
            tx.execute("INSERT INTO specs (digest, body, at) VALUES (?, x'00', 0)", (bytes(32),))
            for each in (NOISY, QUIET, OVER):
                jobs.save_job(tx, each, "owner", bytes(32))
            for each, rounds in ((NOISY, 6), (OVER, 4)):
                wanted = privacy_ledger.Reserve(
                    "ward", each, b"r" * 20, NoisePlan(0.1, 1.0), rounds
                )
                seen = privacy_ledger.entries(tx, "ward")
                assert privacy_ledger.reserve(tx, wanted, LIMIT, seen)
                privacy_ledger.charge(tx, "ward", each, 0, b"m" * 32)
            privacy_ledger.release(tx, OVER)
            tx.execute(
                "INSERT INTO noiseless_joins (job, dataset, digest, requester, at)"
                " VALUES (?, 'ward', ?, ?, 0)",
                (QUIET, bytes(32), b"r" * 20),
            )
            outbox.put(tx, "owner", NOISY, 1, [b"effect"])
            records.save_result(tx, b"c" * 32, "ComputeContribution", b"a batch")
    return home


def test_what_was_set_aside_counts_as_told_and_is_never_drawn(home: Home, tmp_path: Path) -> None:
    packed = snapshot.pack(home)
    other = Home(tmp_path / "other")
    other.create()
    assert snapshot.unpack(other, packed, "then") == snapshot.Restored(1, 0, 3)
    assert other.database.stat().st_mode & 0o077 == 0
    assert [path.name for path in other.path.glob(".backup-*")] == []
    with Store.open(other.database) as store, store.transaction() as tx:
        told = {each.job: each.charged for each in privacy_ledger.entries(tx, "ward")}
        assert told == {NOISY: 6, OVER: 1}
        for round_ in range(7):
            with pytest.raises(InputError, match=r"drawn once|would pass"):
                privacy_ledger.charge(tx, "ward", NOISY, round_, b"m" * 32)
        privacy_ledger.release(tx, NOISY)
        assert privacy_ledger.entries(tx, "ward")[0].bound.steps == 6
        assert set(jobs.restored(tx)) == {NOISY, QUIET, OVER}
        assert "backup of then" in jobs.left(tx, QUIET)
        joins.over(tx, QUIET, used="ward")
        count = "SELECT count(*) FROM noiseless_joins WHERE idle IS NULL"
        assert tx.execute(count).fetchone() == (1,)
        for table in ("outbox", "computations", "intents"):
            assert tx.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_a_folder_may_be_named_as_people_name_them(tmp_path: Path) -> None:
    """Nothing in a path is read as a part of a URI."""
    home, other = Home(tmp_path / "a%20b#c?d"), Home(tmp_path / "other")
    home.create()
    other.create()
    with Store.open(home.database) as store:
        fill(store, "ward", epsilon=8)
    assert snapshot.unpack(other, snapshot.pack(home), "then").datasets == 1


def test_a_store_that_is_there_stays(home: Home) -> None:
    before = home.database.read_bytes()
    assert snapshot.unpack(home, snapshot.pack(home), "then") is None
    assert home.database.read_bytes() == before


def test_a_home_without_a_store_has_none_to_pack(tmp_path: Path) -> None:
    home = Home(tmp_path / "empty")
    home.create()
    assert snapshot.pack(home) == b""
    assert snapshot.unpack(home, b"", "") is None


@pytest.mark.parametrize(
    "packed", [b"no zlib", zlib.compress(b"no database" * 50), zlib.compress(bytes(5000))[:-4]]
)
def test_what_is_not_whole_makes_nothing(packed: bytes, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    with pytest.raises(Exception, match=r"damaged|cut short|another program's|not a database"):
        snapshot.unpack(home, packed, "then")
    assert not home.database.exists()


def test_more_than_a_backup_holds_is_said(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "MAX_PACKED_BYTES", 100)
    with pytest.raises(InputError, match="copy the whole home"):
        snapshot.pack(home)
