"""Whom a node knew is a help for its next start: damaged or gone, it costs nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from node.home import known_peers

RECORDS = [bytes([number]) * 200 for number in range(5)]


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "known-peers"
    known_peers.save(path, RECORDS)
    assert known_peers.load(path) == RECORDS
    assert path.stat().st_mode & 0o777 == 0o600


def test_no_file_is_nobody(tmp_path: Path) -> None:
    assert known_peers.load(tmp_path / "known-peers") == []
    assert known_peers.load(tmp_path) == []  # a folder


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "known-peers"
    known_peers.save(path, RECORDS)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"not base64!\n\n" + os.urandom(50) + b"\n" + lines[1])
    found = known_peers.load(path)
    assert found[:1] + found[-1:] == RECORDS[:2]


@pytest.mark.parametrize("size", [4096, 100_000])
def test_a_record_that_is_none_is_not_kept(tmp_path: Path, size: int) -> None:
    path = tmp_path / "known-peers"
    known_peers.save(path, [RECORDS[0], bytes(size), RECORDS[1]])
    assert known_peers.load(path) == RECORDS[:2]


def test_the_first_are_kept_and_a_large_file_is_read_up_to_a_bound(tmp_path: Path) -> None:
    path = tmp_path / "known-peers"
    many = [number.to_bytes(2, "big") * 100 for number in range(1, 200)]
    known_peers.save(path, many)
    assert known_peers.load(path) == many[: known_peers.MAX_KNOWN]
    path.write_bytes(b"A" * 50_000_000)
    assert known_peers.load(path) == [] or len(known_peers.load(path)[0]) < 1_000_000
