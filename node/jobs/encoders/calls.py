"""Encoders of this home: a package is kept once, and stays while a running job needs it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import trio

from node.control.encoders import results as r
from node.data.datasets import check_path
from node.encoders.package import Manifest, manifest_of
from node.engine.services import Services
from node.perform.encoders import keeping
from node.perform.encoders.keeping import Kept
from node.work import embedding
from node.workers.compute import in_worker
from protocol.errors import InputError, StateError
from protocol.machines.job import OVER
from protocol.spec.encoder import EncoderKind

#: The name of a column in the part of a job's file that `encoder.show` gives.
_COLUMN = {EncoderKind.TEXT: "note", EncoderKind.IMAGE: "picture", EncoderKind.NUMBERS: "x"}


class EncoderCalls:
    """Calls of node.control.api.NodeApi that are about encoders."""

    def __init__(self, services: Services) -> None:
        self._here = services
        self._adding = trio.CapacityLimiter(1)

    async def encoder_add(self, path: str, name: str | None, origin: str | None) -> r.Encoder:
        check_path(Path(path))
        services = self._here
        async with self._adding:
            given = await in_worker(services.compute, embedding.given, Path(path), aside=True)
            all_kept = await trio.to_thread.run_sync(keeping.all_of, services.home)
            called = _called(given, name, all_kept)
            held = services.blobs.holds(given.ref)
            try:
                stored = Path(path), given.ref, services.home.blobs
                await in_worker(services.compute, embedding.added, *stored, aside=True)
            except BaseException:
                # A job may have fetched and noted it meanwhile: then it is that job's.
                if not held and not keeping.known(services.home, given.ref.digest):
                    services.blobs.delete(given.ref.digest)
                raise
            noted = given.ref.digest, given.ref.size, called, origin or path
            kept = await trio.to_thread.run_sync(keeping.keep, services.home, *noted)
            if kept.name != called:  # it was noted already
                kept = await trio.to_thread.run_sync(keeping.rename, services.home, kept, called)
        return await self._shown(kept)

    async def encoder_list(self) -> tuple[r.Encoder, ...]:
        kept = await trio.to_thread.run_sync(keeping.all_of, self._here.home)
        return tuple([await self._listed(each) for each in kept])

    async def encoder_show(self, encoder: str) -> r.EncoderDetail:
        kept = keeping.one_of(self._here.home, encoder)
        shown = await self._shown(kept)
        found = await in_worker(
            self._here.compute, embedding.inspected, self._package(kept), aside=True
        )
        operators = tuple(f"{name} {count}" for name, count in found.operators)
        toml = _toml(kept, found.manifest)
        return r.EncoderDetail(shown, found.weights, operators, found.walls, toml)

    async def encoder_remove(self, encoder: str) -> r.EncoderRemoved:
        kept = keeping.one_of(self._here.home, encoder)
        if jobs := self._jobs()[kept.digest]:
            raise StateError(f"{jobs} running jobs need it; it can be removed once they are over")
        keeping.drop(self._here.home, kept)
        self._here.blobs.delete(bytes.fromhex(kept.digest))
        return r.EncoderRemoved(kept.digest, kept.name)

    def _package(self, kept: Kept) -> Path:
        return self._here.blobs.path(bytes.fromhex(kept.digest))

    def _jobs(self) -> Counter[str]:
        """How many jobs that are not over need each encoder, by digest."""
        encoders = (
            machine.context.spec.encoder
            for machine in self._here.engine.machines.values()
            if machine.state.phase not in OVER
        )
        return Counter(each.digest.hex() for each in encoders if each is not None)

    async def _listed(self, kept: Kept) -> r.Encoder:
        """The same, of which nothing is told but the note where the package is gone or damaged."""
        try:
            return await self._shown(kept)
        except InputError:
            return self._encoder(kept, None)

    async def _shown(self, kept: Kept) -> r.Encoder:
        try:
            said = await trio.to_thread.run_sync(manifest_of, self._package(kept))
        except OSError as error:
            gone = f"the package of {kept.name} is gone ({error.strerror}); add it again"
            raised = InputError(gone, "encoder")
            raised.add_note(f"assay encoder add FILE, the package with the digest {kept.digest}")
            raise raised from error
        return self._encoder(kept, said)

    def _encoder(self, kept: Kept, said: Manifest | None) -> r.Encoder:
        return r.Encoder(
            digest=kept.digest,
            bytes=kept.bytes,
            name=kept.name,
            title=said.title if said else "",
            licence=said.licence if said else "",
            source=said.source if said else "",
            origin=kept.source,
            kind=said.kind.value if said else "",
            pooling=said.pooling.value if said else "",
            size=said.size if said else 0,
            max_tokens=said.max_tokens if said else 0,
            added=kept.added,
            jobs=self._jobs()[kept.digest],
        )


def _called(given: embedding.Given, name: str | None, kept: tuple[Kept, ...]) -> str:
    """What a package will be called. Raises InputError where another is called so."""
    digest = given.ref.digest.hex()
    known = next((each for each in kept if each.digest == digest), None)
    if known is not None and name in (None, known.name):
        return known.name
    called = name or given.title
    if any(each.name == called and each.digest != digest for each in kept):
        error = InputError(f"{called!r} is another encoder of this home", "name")
        error.add_note("assay encoder add FILE --name NAME")
        raise error
    return called


def _toml(kept: Kept, said: Manifest) -> str:
    """The package's part of a job's file; columns are for its writer to name."""
    column = _COLUMN[said.kind]
    names = f'"{column}_{{0..{said.inputs - 1}}}"' if said.inputs else f'["{column}"]'
    lines = [
        "[encoder]",
        f'digest = "{kept.digest}"',
        f"package_bytes = {kept.bytes}",
        f'kind = "{said.kind.value}"',
        f"columns = {names}",
        f'pooling = "{said.pooling.value}"',
        f"size = {said.size}",
    ]
    if said.kind is EncoderKind.TEXT:
        lines.append(f"max_tokens = {said.max_tokens}")
    if said.kind is EncoderKind.IMAGE:
        lines += [f"{name} = {getattr(said, name)}" for name in ("width", "height", "channels")]
        lines += [f"{name} = {list(getattr(said, name))}" for name in ("mean", "deviation")]
    if said.kind is EncoderKind.NUMBERS:
        lines += ["low = 0.0", "high = 1.0"]
    return "\n".join(lines) + "\n"
