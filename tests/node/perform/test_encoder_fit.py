"""A data set is held against a job with an encoder, also where workers are killed meanwhile."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from kits import encoders

from node.data.datasets import add_dataset
from node.home.home import Home
from node.perform import compute
from node.store.blobs import Blobs
from node.store.store import Store
from node.workers.compute import WorkerDied
from protocol.spec.encoder import EncoderKind
from protocol.spec.job import Terms


class Here:
    """Computes in this process, once none of its deaths is left."""

    deaths = 0

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        await trio.lowlevel.checkpoint()
        if self.deaths:
            self.deaths -= 1
            raise WorkerDied("the worker was killed")
        return function(*args)

    run_aside = run


@pytest.mark.parametrize("deaths", [2, 3])
async def test_a_killed_worker_is_followed_by_another(
    tmp_path: Path, autojump_clock: Any, deaths: int
) -> None:
    package, encoder = encoders.write(tmp_path, EncoderKind.TEXT)
    home = Home(tmp_path / "home")
    home.create()
    Blobs(home.blobs).put(package.read_bytes())
    spec = encoders.spec_of(encoder)
    terms = Terms(**{each.name: getattr(spec, each.name) for each in dataclasses.fields(Terms)})
    file = tmp_path / "ward.csv"
    file.write_text("cell,mood\na b,low\n,high\nc,high\n")
    with Store.open(home.database) as store:
        services: Any = SimpleNamespace(home=home, store=store, compute=Here())
        await add_dataset(home, store, services.compute, "ward", file)
        services.compute.deaths = deaths
        if deaths == 3:
            with pytest.raises(WorkerDied):
                await compute.fit(services, "ward", terms, owner=True)
            return
        found = await compute.fit(services, "ward", terms, owner=True)
    assert (found.rows, found.usable, found.refused) == (3, 2, "")
    assert not list(home.datasets.glob(".new-*"))
