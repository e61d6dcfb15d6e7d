"""Encoders of a home are added, named, shown and removed; what is refused leaves nothing behind."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from kits import encoders

from node.control.encoders import results as r
from node.encoders import libraries
from node.encoders.package import manifest_of
from node.home.home import Home
from node.jobs.encoders.calls import EncoderCalls, _toml
from node.perform.encoders.keeping import Kept, keep
from node.store.blobs import BlobRef, Blobs
from protocol.errors import InputError, StateError
from protocol.machines.job import JobPhase
from protocol.spec.encoder import EncoderKind
from protocol.spec.toml import parse_toml

TEXT, NUMBERS, IMAGE = EncoderKind.TEXT, EncoderKind.NUMBERS, EncoderKind.IMAGE


class Here:
    """Computes in this process; `before` hears of each call."""

    def __init__(self) -> None:
        self.before: Callable[[str], None] = lambda name: None

    async def run_aside(self, function: Callable[..., Any], *args: Any) -> Any:
        await trio.lowlevel.checkpoint()
        self.before(function.__name__)
        return function(*args)


@pytest.fixture
def services(tmp_path: Path) -> Any:
    home = Home(tmp_path / "home")
    home.create()
    engine = SimpleNamespace(machines={})
    blobs = Blobs(home.blobs)
    return SimpleNamespace(home=home, blobs=blobs, compute=Here(), engine=engine)


@pytest.fixture
def calls(services: Any) -> EncoderCalls:
    return EncoderCalls(services)


def blobs_of(services: Any) -> list[str]:
    return sorted(each.name for each in services.home.blobs.iterdir() if each.is_file())


async def test_a_package_is_added_and_shown(
    services: Any, calls: EncoderCalls, tmp_path: Path
) -> None:
    path, encoder = encoders.write(tmp_path, NUMBERS)
    added = await calls.encoder_add(str(path), None, None)
    assert (added.name, added.digest, added.origin) == (
        "small numbers",
        encoder.digest.hex(),
        str(path),
    )
    assert await calls.encoder_list() == (added,)
    shown = await calls.encoder_show("small numbers")
    assert shown.encoder == added
    assert shown.operators == ("Relu 1",)
    assert blobs_of(services) == [encoder.digest.hex()]
    removed = await calls.encoder_remove(added.digest[:8])
    assert removed == r.EncoderRemoved(added.digest, added.name)
    assert blobs_of(services) == []
    assert await calls.encoder_list() == ()


async def test_a_name_that_another_has_is_refused_before_anything_is_stored(
    services: Any, calls: EncoderCalls, tmp_path: Path
) -> None:
    first, encoder = encoders.write(tmp_path, NUMBERS)
    await calls.encoder_add(str(first), None, None)
    second, _ = encoders.write(tmp_path, TEXT, title="small numbers")
    for name in (None, "small numbers"):
        with pytest.raises(InputError, match="is another encoder of this home") as caught:
            await calls.encoder_add(str(second), name, None)
        assert caught.value.__notes__ == ["assay encoder add FILE --name NAME"]
    assert blobs_of(services) == [encoder.digest.hex()]
    await calls.encoder_add(str(second), "texts", None)
    assert [each.name for each in await calls.encoder_list()] == ["small numbers", "texts"]


async def test_a_package_that_is_refused_is_not_kept(
    services: Any, calls: EncoderCalls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, encoder = encoders.write(tmp_path, NUMBERS, b"no network")
    with pytest.raises(InputError):
        await calls.encoder_add(str(path), None, None)
    assert blobs_of(services) == []
    # What was held before, for whatever reason, stays.
    services.blobs.put(path.read_bytes())
    with pytest.raises(InputError):
        await calls.encoder_add(str(path), None, None)
    assert blobs_of(services) == [encoder.digest.hex()]
    services.blobs.delete(encoder.digest)
    monkeypatch.setattr(libraries, "_NEEDED", ("no_such_library",))
    with pytest.raises(InputError, match="no_such_library is missing"):
        await calls.encoder_add(str(path), None, None)
    assert blobs_of(services) == []
    assert await calls.encoder_list() == ()


async def test_a_file_that_changes_while_it_is_read_is_not_kept(
    services: Any, calls: EncoderCalls, tmp_path: Path
) -> None:
    path, _ = encoders.write(tmp_path, NUMBERS)

    def change(name: str) -> None:
        if name == "added":
            path.write_bytes(path.read_bytes()[:-1] + b"\xff")

    services.compute.before = change
    with pytest.raises(InputError, match="was changed while it was read"):
        await calls.encoder_add(str(path), None, None)
    assert blobs_of(services) == []


async def test_what_a_job_noted_meanwhile_stays(
    services: Any, calls: EncoderCalls, tmp_path: Path
) -> None:
    path, encoder = encoders.write(tmp_path, NUMBERS)

    def fetched(name: str) -> None:
        if name == "added":
            services.blobs.put(path.read_bytes())
            keep(services.home, encoder.digest, encoder.package_bytes, "other", "job 0x01")
            path.unlink()

    services.compute.before = fetched
    with pytest.raises(InputError, match="cannot be read"):
        await calls.encoder_add(str(path), None, None)
    assert blobs_of(services) == [encoder.digest.hex()]


async def test_a_package_that_is_here_takes_another_name(
    calls: EncoderCalls, tmp_path: Path
) -> None:
    path, _ = encoders.write(tmp_path, NUMBERS)
    other, _ = encoders.write(tmp_path, TEXT)
    first = await calls.encoder_add(str(path), "mine", "/srv/first.onnx")
    await calls.encoder_add(str(other), "texts", None)
    assert await calls.encoder_add(str(path), None, None) == first
    again = await calls.encoder_add(str(path), "yours", None)
    assert again == dataclasses.replace(first, name="yours")
    with pytest.raises(InputError, match="'texts' is another encoder"):
        await calls.encoder_add(str(path), "texts", None)
    assert [each.name for each in await calls.encoder_list()] == ["texts", "yours"]


async def test_one_that_is_gone_is_named_and_the_others_are_listed(
    services: Any, calls: EncoderCalls, tmp_path: Path
) -> None:
    path, encoder = encoders.write(tmp_path, NUMBERS)
    other, _ = encoders.write(tmp_path, TEXT)
    await calls.encoder_add(str(path), None, None)
    kept = await calls.encoder_add(str(other), None, None)
    services.blobs.delete(encoder.digest)
    with pytest.raises(InputError, match=r"small numbers is gone .*; add it again") as caught:
        await calls.encoder_show("small numbers")
    (next_,) = caught.value.__notes__
    assert next_.startswith("assay encoder add FILE")
    assert encoder.digest.hex() in next_
    gone, listed = await calls.encoder_list()
    assert (gone.name, gone.digest, gone.kind) == ("small numbers", encoder.digest.hex(), "")
    assert listed == kept
    await calls.encoder_add(str(path), None, None)
    assert (await calls.encoder_show("small numbers")).encoder.kind == "numbers"


@pytest.mark.parametrize("over", [False, True])
async def test_what_a_running_job_needs_is_not_removed(
    services: Any, calls: EncoderCalls, tmp_path: Path, over: bool
) -> None:
    path, encoder = encoders.write(tmp_path, NUMBERS)
    await calls.encoder_add(str(path), None, None)
    phase = JobPhase.CLOSED if over else JobPhase.TRAINING
    context = SimpleNamespace(spec=encoders.spec_of(encoder))
    machine = SimpleNamespace(state=SimpleNamespace(phase=phase), context=context)
    services.engine.machines[b"1"] = machine
    assert [each.jobs for each in await calls.encoder_list()] == [0 if over else 1]
    if over:
        await calls.encoder_remove("small numbers")
        assert blobs_of(services) == []
        return
    with pytest.raises(StateError, match="1 running jobs need it"):
        await calls.encoder_remove("small numbers")
    assert services.blobs.holds(BlobRef(encoder.digest, encoder.package_bytes))


@pytest.mark.parametrize("kind", [TEXT, IMAGE, NUMBERS])
def test_the_part_of_a_jobs_file_is_read_back(tmp_path: Path, kind: EncoderKind) -> None:
    path, encoder = encoders.write(tmp_path, kind)
    kept = Kept(encoder.digest.hex(), encoder.package_bytes, "mine", str(path), 0.0)
    part = _toml(kept, manifest_of(path))
    columns = {TEXT: ("note",), IMAGE: ("picture",), NUMBERS: ("x_0", "x_1", "x_2", "x_3")}[kind]
    expected = dataclasses.replace(encoder, columns=columns)
    if kind is NUMBERS:  # its range is for the job's writer to say
        expected = dataclasses.replace(expected, low=0.0, high=1.0)
    assert parse_toml(FILE.format(part)).terms.encoder == expected


FILE = """
title = "Moods"
purpose = "research"

{}
[target]
name = "mood"
classes = ["low", "high"]

[model]
family = "logistic"

[training]
rounds = 2

[payment]
rate = "0.001 ether"
"""
