from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from kits.examples import examples

from node.net.fetch import BlobSink, BlobSource
from node.store.blobs import BlobLost, BlobRef, Blobs, BlobsFull
from protocol import params
from protocol.errors import Malformed
from protocol.wire.blobs import blob_digest, chunks_of

CHUNK = params.CHUNK_BYTES


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path)


def test_it_is_what_the_network_asks_for(blobs: Blobs) -> None:
    source: BlobSource = blobs
    sink: BlobSink = blobs.sink(BlobRef(blob_digest(b"x"), 1))
    sink.write(0, b"x")
    sink.finish()
    assert source.read(blob_digest(b"x"), 0, 10) == b"x"


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7])
def test_blob_is_named_by_its_content(blobs: Blobs, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    ref = blobs.put(content)
    assert ref == BlobRef(blob_digest(content), size)
    assert blobs.put([content[:3], memoryview(content)[3:]]) == ref
    assert blobs.get(ref) == content
    assert blobs.size(ref.digest) == size
    assert blobs.holds(ref)
    assert not blobs.holds(BlobRef(ref.digest, size + 1))
    assert blobs.read(ref.digest, size // 2, 100) == content[size // 2 : size // 2 + 100]
    assert blobs.read(ref.digest, size, 100) == b""
    assert blobs.path(ref.digest).stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == [ref.digest.hex()]
    assert blobs.delete(ref.digest)
    assert not blobs.delete(ref.digest)
    assert blobs.size(ref.digest) is None


def test_what_is_not_held(blobs: Blobs) -> None:
    missing = BlobRef(b"d" * 32, 5)
    with pytest.raises(BlobLost) as lost:
        blobs.get(missing)
    assert lost.value.digest == missing.digest
    again = pickle.loads(pickle.dumps(lost.value))  # noqa: S301 - as from a worker
    assert str(again) == str(lost.value)
    with pytest.raises(FileNotFoundError):
        blobs.read(missing.digest, 0, 1)
    with pytest.raises(ValueError, match="32 bytes"):
        blobs.size(b"../../etc/passwd")
    with pytest.raises(ValueError, match="bytes -1"):
        blobs.read(missing.digest, -1, 5)


def test_a_disk_that_lies_is_found_out(blobs: Blobs, tmp_path: Path) -> None:
    """What it gave is set aside: the blob is held no more, and can be had again."""
    ref = blobs.put(b"content")
    for other in (b"c0ntent", b"conten", b"content!"):
        blobs.path(ref.digest).write_bytes(other)
        with pytest.raises(BlobLost, match="or damaged"):
            blobs.get(ref)
        assert not blobs.holds(ref)
        assert (tmp_path / f".damaged-{ref.digest.hex()}").read_bytes() == other
        blobs.put(b"content")
        assert blobs.get(ref) == b"content"


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no file here that fails to read")
def test_a_blob_whose_disk_gives_no_bytes_is_lost(tmp_path: Path) -> None:
    """EIO, as of a bad block: the first page of a process is no memory."""
    blobs = Blobs(tmp_path)
    ref = blobs.put(b"content")
    blobs.path(ref.digest).unlink()
    blobs.path(ref.digest).symlink_to("/proc/self/mem")
    with pytest.raises(BlobLost):
        blobs.get(ref)
    assert blobs.size(ref.digest) is None


def test_a_writer_that_fails_leaves_nothing(blobs: Blobs, tmp_path: Path) -> None:
    def pieces() -> object:
        yield b"one"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        blobs.put(pieces())  # type: ignore[arg-type]
    assert [p for p in tmp_path.iterdir() if p.is_file()] == []


# Receiving


@examples(0.3, allow=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=1, max_size=200), st.data())
def test_chunks_come_in_any_order_and_over_restarts(
    tmp_path: Path, content: bytes, data: st.DataObject
) -> None:
    ref = BlobRef(blob_digest(content), len(content))
    spans = [(at, content[at : at + 16]) for at in range(0, len(content), 16)]
    for at, piece in data.draw(st.permutations(spans)):
        Blobs(tmp_path).sink(ref).write(at, piece)
        assert Blobs(tmp_path).sink(ref).read(at, len(piece)) == piece
    Blobs(tmp_path).sink(ref).finish()
    assert Blobs(tmp_path).get(ref) == content
    Blobs(tmp_path).delete(ref.digest)


def test_a_wrong_blob_is_not_finished(blobs: Blobs) -> None:
    ref = BlobRef(blob_digest(b"right"), 5)
    sink = blobs.sink(ref)
    assert sink.read(0, 5) == b""
    for wrong in (b"wrong", b"righ"):
        sink.write(0, wrong)
        with pytest.raises(Malformed, match="not it"):
            sink.finish()
        assert blobs.size(ref.digest) is None
        assert sink.read(0, 5) == b""
    sink.write(0, b"right")
    sink.finish()
    assert blobs.get(ref) == b"right"


def test_two_fetches_of_one_blob_do_not_harm_each_other(blobs: Blobs) -> None:
    """Two jobs may begin with one model; one name may be announced twice."""
    content = os.urandom(2 * CHUNK)
    ref = BlobRef(blob_digest(content), len(content))
    first, second = blobs.sink(ref), blobs.sink(ref)
    second.write(0, content[:CHUNK])
    first.write(0, content[:CHUNK])
    first.write(CHUNK, content[CHUNK:])
    first.finish()
    second.write(CHUNK, content[CHUNK:])
    second.finish()
    first.finish()
    assert blobs.get(ref) == content
    assert blobs.usage().reserved == 0
    blobs.delete(ref.digest)
    with pytest.raises(Malformed, match="is gone"):
        second.finish()


def test_nothing_is_written_outside_the_blob(blobs: Blobs) -> None:
    sink = blobs.sink(BlobRef(b"d" * 32, 4))
    sink.write(0, b"four")
    for offset, data in ((0, b"five!"), (4, b"x"), (-1, b"x")):
        with pytest.raises(ValueError, match="of a blob of 4"):
            sink.write(offset, data)
    sink.abandon()
    assert sink.read(0, 4) == b""
    sink.abandon()


def test_the_largest_blob_and_one_byte_more(blobs: Blobs) -> None:
    blobs.sink(BlobRef(b"d" * 32, params.MAX_BLOB_BYTES))
    with pytest.raises(Malformed, match="expected 0 to"):
        blobs.sink(BlobRef(b"d" * 32, params.MAX_BLOB_BYTES + 1))


def test_a_short_blob_that_spells_a_chunk_list_does_not_replace_the_long_one(
    blobs: Blobs, tmp_path: Path
) -> None:
    long = os.urandom(CHUNK + 1)
    chunk_list = chunks_of([long])
    assert blob_digest(chunk_list.encode()) == chunk_list.digest
    # It came first: the long one takes its place.
    blobs.put(chunk_list.encode())
    ref = blobs.put(long)
    assert blobs.get(ref) == long
    # It comes second: refused.
    with pytest.raises(Malformed, match="chunk list"):
        blobs.put(chunk_list.encode())
    assert blobs.get(ref) == long
    assert len([p for p in tmp_path.iterdir() if p.is_file()]) == 1


# Room


def test_quota_at_its_limit_and_one_byte_more(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path, quota=100)
    first = blobs.put(bytes(60))
    waiting = BlobRef(b"d" * 32, 40)
    sink = blobs.sink(waiting)
    blobs.sink(waiting)  # the same room, not twice
    usage = blobs.usage()
    assert (usage.blobs, usage.bytes, usage.reserved) == (1, 60, 40)
    with pytest.raises(BlobsFull, match="holds 100 bytes of the 100 allowed; 1 more"):
        blobs.put(b"x")
    with pytest.raises(BlobsFull):
        blobs.sink(BlobRef(b"e" * 32, 1))
    sink.abandon()
    second = blobs.put(b"x" * 40)
    with pytest.raises(BlobsFull):
        blobs.put(b"y")
    blobs.delete(first.digest)
    blobs.put(b"y" * 60)
    assert blobs.holds(second)
    assert blobs.usage().bytes == 100


def test_another_processs_writes_count_too(tmp_path: Path) -> None:
    blobs, other = Blobs(tmp_path, quota=1000), Blobs(tmp_path)
    blobs.put(b"mine")
    other.put(bytes(996))
    for _ in range(100):
        try:
            blobs.put(os.urandom(1))
        except BlobsFull:
            break
    else:
        pytest.fail("the other's bytes were never counted")


def test_collecting_spares_what_is_kept_and_what_is_young(blobs: Blobs) -> None:
    kept, gone, young = blobs.put(b"kept"), blobs.put(b"gone"), blobs.put(b"young")
    partial_kept, partial_gone = BlobRef(b"k" * 32, 9), BlobRef(b"g" * 32, 9)
    for ref in (partial_kept, partial_gone):
        blobs.sink(ref).write(0, b"part")
    old = time.time() - 7200
    for ref in (kept, gone):
        os.utime(blobs.path(ref.digest), (old, old))
    for path in (blobs.path(kept.digest).parent / "partial").iterdir():
        os.utime(path, (old, old))
    collected = blobs.collect({kept.digest, partial_kept.digest})
    assert (collected.files, collected.bytes) == (2, 8)
    assert blobs.holds(kept)
    assert blobs.holds(young)
    assert not blobs.holds(gone)
    assert blobs.sink(partial_kept).read(0, 4) == b"part"
    assert blobs.sink(partial_gone).read(0, 4) == b""
    assert blobs.collect({kept.digest}, grace=0).files == 3


# Crashes

_WRITER = """
import os, sys
from pathlib import Path
from node.store.blobs import BlobRef, Blobs
from protocol.wire.blobs import blob_digest
blobs = Blobs(Path(sys.argv[1]))
while True:
    ref = blobs.put([os.urandom(700_000) for _ in range(3)])
    print("put", ref.digest.hex(), ref.size, flush=True)
    content = os.urandom(1_500_000)
    ref = BlobRef(blob_digest(content), len(content))
    print("fetch", ref.digest.hex(), ref.size, flush=True)
    sink = blobs.sink(ref)
    for at in range(0, ref.size, 250_000):
        sink.write(at, content[at:at + 250_000])
    sink.finish()
    print("put", ref.digest.hex(), ref.size, flush=True)
"""


def test_after_sigkill_every_name_holds_its_content(tmp_path: Path) -> None:
    told: list[BlobRef] = []
    started: list[BlobRef] = []
    for kill_after in (0, 1, 2, 3, 4, 5, 9):
        with subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(kill_after)]
            process.send_signal(signal.SIGKILL)
            lines += process.stdout.read().splitlines()
        for line in lines:
            what, digest, size = line.split()
            (told if what == "put" else started).append(BlobRef(bytes.fromhex(digest), int(size)))
        blobs = Blobs(tmp_path)
        blobs.clear_unfinished()
        for ref in told:
            blobs.get(ref)
        for path in tmp_path.iterdir():
            if path.is_file():
                blobs.get(BlobRef(bytes.fromhex(path.name), path.stat().st_size))
    assert len(told) >= 5
    left = {path.stem for path in (tmp_path / "partial").iterdir()}
    assert left <= {ref.digest.hex() for ref in started}


def test_leftovers_of_a_dead_writer_are_cleared(blobs: Blobs, tmp_path: Path) -> None:
    (tmp_path / ".new-abc").write_bytes(b"half")
    ref = blobs.put(b"whole")
    assert blobs.usage().blobs == 1
    assert blobs.clear_unfinished() == 1
    assert blobs.clear_unfinished() == 0
    assert blobs.get(ref) == b"whole"


def test_the_size_limit_holds_while_writing(
    blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(params, "MAX_BLOB_BYTES", 10)
    blobs.put([bytes(5), bytes(5)])
    with pytest.raises(Malformed, match="0 to 10 bytes"):
        blobs.put([bytes(5), bytes(6)])
    assert blobs.usage().blobs == 1


_SHORT_OF_ROOM = """
import resource, signal, sys
from pathlib import Path
from node.store.blobs import BlobRef, Blobs, BlobsFull
from protocol.wire.blobs import blob_digest
blobs = Blobs(Path(sys.argv[1]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, most))
large = bytes(100_000)
sink = blobs.sink(BlobRef(blob_digest(large), len(large)))
pieces = [large] * 3
for write in (
    lambda: blobs.put(large), lambda: blobs.put(pieces), lambda: sink.write(0, large)
):
    try:
        write()
    except BlobsFull as error:
        print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
sink.write(0, large)
sink.finish()
print(blobs.get(blobs.put(large)) == large)
"""


def test_without_room_on_the_disk_nothing_is_stored_and_later_it_is(tmp_path: Path) -> None:
    """A real process whose files may not grow, and then may."""
    done = subprocess.run(
        [sys.executable, "-c", _SHORT_OF_ROOM, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    put, pieces, sink, later = done.stdout.splitlines()
    for told in (put, pieces, sink):
        assert str(tmp_path) in told
        assert "the disk is full" in told
        assert "are needed; free some space there" in told
    assert later == "True"
    assert len([each for each in tmp_path.iterdir() if each.is_file()]) == 1
