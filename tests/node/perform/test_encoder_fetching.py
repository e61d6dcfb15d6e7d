"""A job's encoder is fetched where it can be read, and goes where it is refused, for that alone."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable
from math import inf
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from kits import encoders
from kits.budgets import job

from node.encoders import libraries, limits
from node.encoders.piping import EncoderFailed
from node.home.home import Home
from node.net.errors import FetchFailed
from node.perform.encoders import fetching, keeping
from node.store.blobs import BlobRef, Blobs
from node.workers.compute import WorkerDied
from protocol.spec.encoder import Encoder, EncoderKind


class Here:
    """Computes in this process, once none of its deaths is left."""

    def __init__(self, deaths: int = 0) -> None:
        self.deaths = deaths

    async def run_aside(self, function: Callable[..., Any], *args: Any) -> Any:
        await trio.lowlevel.checkpoint()
        if self.deaths:
            self.deaths -= 1
            raise WorkerDied("the worker was killed")
        return function(*args)


class Swarm:
    """Whoever is asked has the package; `asked` counts."""

    def __init__(self, package: Path) -> None:
        self.package = package
        self.asked = 0
        #: So many tries fail first, as those of a peer that is busy do.
        self.failing = 0.0

    async def fetch(self, digest: bytes, size: int, peers: list[str], sink: Any) -> None:
        await trio.lowlevel.checkpoint()
        self.asked += 1
        if self.asked <= self.failing:
            raise FetchFailed(digest, {peers[0]: "it opens no stream"})
        sink.write(0, self.package.read_bytes())
        sink.finish()


def node(tmp_path: Path, network: bytes | None = None) -> tuple[Any, Encoder]:
    package, encoder = encoders.write(tmp_path, EncoderKind.NUMBERS, network)
    home = Home(tmp_path / "home")
    home.create()
    blobs = Blobs(home.blobs)
    services = SimpleNamespace(home=home, blobs=blobs, compute=Here(), swarm=Swarm(package))
    return services, encoder


async def ready(services: Any, encoder: Encoder, wanted: Any = None) -> str:
    return await fetching.ready(services, job(1), encoders.spec_of(encoder), wanted)


def held(services: Any, encoder: Encoder) -> bool:
    return bool(services.blobs.holds(BlobRef(encoder.digest, encoder.package_bytes)))


async def test_an_encoder_is_fetched_once_and_noted(tmp_path: Path) -> None:
    services, encoder = node(tmp_path)
    assert await ready(services, encoder) == ""
    assert await ready(services, encoder) == ""
    assert services.swarm.asked == 1
    [kept] = keeping.all_of(services.home)
    assert (kept.digest, kept.name) == (encoder.digest.hex(), "small numbers")


async def test_an_owner_fetches_for_as_long_as_the_job_takes_who_comes_later(
    tmp_path: Path, autojump_clock: Any
) -> None:
    """Under load 90 MB take longer than owners are given to enrol; later groups are taken still."""
    services, encoder = node(tmp_path)
    spec, left = encoders.spec_of(encoder), 36_000
    services.clock = SimpleNamespace(ms=lambda: 1000 * (spec.expires_at - left))
    services.swarm.failing = inf
    wanted = SimpleNamespace(pointless=False)
    began = trio.current_time()
    why = await ready(services, encoder, wanted)
    assert "could not be fetched" in why
    assert trio.current_time() - began == pytest.approx(left)
    # Ever more rarely, down to twice a minute.
    assert left / 31 <= services.swarm.asked <= left / 29
    services.swarm.failing = services.swarm.asked + 50
    assert await ready(services, encoder, wanted) == ""


async def test_a_person_waits_as_long_as_owners_are_given_to_enrol(
    tmp_path: Path, autojump_clock: Any
) -> None:
    services, encoder = node(tmp_path)
    services.swarm.failing = inf
    began = trio.current_time()
    assert "could not be fetched" in await ready(services, encoder)
    enrol = encoders.spec_of(encoder).timing.enrol_seconds
    assert trio.current_time() - began == pytest.approx(enrol)


async def test_nothing_is_fetched_for_a_job_that_is_over(
    tmp_path: Path, autojump_clock: Any
) -> None:
    services, encoder = node(tmp_path)
    services.clock = SimpleNamespace(ms=lambda: 0)
    services.swarm.failing = inf

    class Wanted:
        @property
        def pointless(self) -> bool:
            return bool(services.swarm.asked == 3)

    assert "it opens no stream" in await ready(services, encoder, Wanted())
    assert services.swarm.asked == 3
    over = await ready(services, encoder, SimpleNamespace(pointless=True))
    assert "its time was over" in over
    assert services.swarm.asked == 3


async def test_nothing_is_fetched_that_this_install_could_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services, encoder = node(tmp_path)
    monkeypatch.setattr(libraries, "_NEEDED", ("numpy", "no_such_library"))
    assert "no_such_library is missing; pip install 'assay[enc" in await ready(services, encoder)
    assert services.swarm.asked == 0


async def test_a_package_stays_where_its_process_was_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services, encoder = node(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(limits, "ENCODER_START_SECONDS", 0)
        assert "could not be looked at" in await ready(services, encoder)
    assert held(services, encoder)
    assert not keeping.known(services.home, encoder.digest)
    assert await ready(services, encoder) == ""
    assert services.swarm.asked == 1


async def test_a_package_stays_where_the_worker_died(tmp_path: Path, autojump_clock: Any) -> None:
    services, encoder = node(tmp_path)
    services.compute = Here(deaths=3)
    assert "was killed" in await ready(services, encoder)
    assert held(services, encoder)
    assert await ready(services, encoder) == ""
    assert services.swarm.asked == 1


@pytest.mark.parametrize("what", ["network", "terms"])
async def test_a_package_that_is_refused_goes(tmp_path: Path, what: str) -> None:
    services, encoder = node(tmp_path, b"no network" if what == "network" else None)
    if what == "terms":
        encoder = dataclasses.replace(encoder, size=encoder.size + 1)
    assert "its encoder cannot be used" in await ready(services, encoder)
    assert services.swarm.asked == 1
    assert not held(services, encoder)
    assert keeping.all_of(services.home) == ()


def test_how_a_process_failed_is_the_same_once_a_worker_sent_it() -> None:
    sent = pickle.loads(pickle.dumps(EncoderFailed("it ended")))  # noqa: S301
    assert (type(sent), str(sent), sent.field) == (EncoderFailed, "encoder: it ended", "encoder")
