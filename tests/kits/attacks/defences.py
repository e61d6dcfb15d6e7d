"""Single defences of a daemon, switched off from outside, to show what each of them stops.

Nothing here can be reached from the product: a test writes `sitecustomize.py` (`write_site`) into a
folder of its own and starts daemons with that folder on PYTHONPATH, so that every process of theirs
imports this module before any of assay's and changes the named functions as they are imported. A
changed function does what it always does until the test switches its defence off (`switch_off`).
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from kits.paths import TESTS

#: opening:    Ready, roster and shares are bound to the opening's model
#: masks:      masks are bound to the model's digest
#: lists:      shares go for the list that the chain holds
#: kinds:      what was released of a round stands: the store keeps its kinds and its message
#: signatures: every Ready of a roster is signed by an enrolled peer
#: whole:      without noise a block counts whole
#: once:       a model is contributed to in one round
Defence = Literal["opening", "masks", "lists", "kinds", "signatures", "whole", "once"]

_NOWHERE = bytes(32)


# --- the test's side


def write_site(folder: Path) -> Path:
    """A folder for PYTHONPATH; the switches of its daemons lie in it as well."""
    folder.mkdir()
    lines = [
        "import sys",
        "from pathlib import Path",
        f"sys.path.append({str(TESTS)!r})",
        "from kits.attacks import defences",
        f"defences.install(Path({str(folder)!r}))",
    ]
    (folder / "sitecustomize.py").write_text("\n".join(lines) + "\n")
    return folder


@contextmanager
def switch_off(folder: Path, *defences: Defence) -> Iterator[None]:
    """Every daemon that was started with this folder goes without these for as long as this."""
    switches = [folder / f"{defence}.off" for defence in defences]
    for switch in switches:
        switch.touch()
    try:
        yield
    finally:
        for switch in switches:
            switch.unlink()


def opening_without_model(context: Any, body: Any, digest: Callable[[Any, Any], bytes]) -> bytes:
    """What an opening is called where its model is no part of it."""
    return digest(context, dataclasses.replace(body, model_digest=_NOWHERE))


# --- the daemons' side


def install(folder: Path) -> None:
    """Change what is imported from now on."""

    def off(defence: Defence) -> bool:
        return (folder / f"{defence}.off").exists()

    sys.meta_path.insert(0, _Finder(off))


Off = Callable[[Defence], bool]


class _Finder(MetaPathFinder):
    """Lets a module's own loader run it, then changes it before anybody sees it."""

    def __init__(self, off: Off) -> None:
        self._off = off

    def find_spec(
        self, fullname: str, path: Any = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        change = _CHANGES.get(fullname)
        spec = None if change is None else PathFinder.find_spec(fullname, path, target)
        if change is None or spec is None or spec.loader is None:
            return None
        run = spec.loader.exec_module

        def run_and_change(module: ModuleType) -> None:
            run(module)
            change(module, self._off)

        spec.loader.exec_module = run_and_change  # type: ignore[method-assign]
        return spec


def _opening(envelope: Any, off: Off) -> None:
    digest = envelope.opening_digest

    def opening_digest(context: Any, body: Any) -> bytes:
        if off("opening"):
            return opening_without_model(context, body, digest)
        return bytes(digest(context, body))

    envelope.opening_digest = opening_digest


def _masks(masks: Any, off: Off) -> None:
    digest = masks.Binding.digest

    def without_model(binding: Any) -> bytes:
        if off("masks"):
            binding = dataclasses.replace(binding, model_digest=_NOWHERE)
        return bytes(digest(binding))

    masks.Binding.digest = without_model


def _lists(lists: Any, off: Off) -> None:
    opened, enough = lists._opened, lists._enough
    lists._opened = lambda envelope: envelope if off("signatures") else opened(envelope)
    lists._enough = lambda *args: None if off("whole") else enough(*args)


def _owner_round(owner_round: Any, off: Off) -> None:
    open_ = owner_round._open

    def forgetful(turn: Any, input_: Any) -> None:
        if off("once"):
            turn.change(contributed=())
        open_(turn, input_)

    owner_round._open = forgetful


def _owner_turn(owner_turn: Any, off: Off) -> None:
    """A second signed list is looked at as the first was."""
    concerned = owner_turn.concerned

    def again(turn: Any, input_: Any) -> Any:
        round_, kind = turn.state.round, owner_turn.type_of(input_).__name__
        shown = kind == "Committed" and round_ is not None and round_.batch_digest
        if off("lists") and shown:
            waiting = type(round_.phase).COMMIT
            forgotten = {"commitment_root": b"", "list_digest": b"", "list_size": 0, "count": 0}
            turn.change(round=dataclasses.replace(round_, phase=waiting, **forgotten))
            turn._by_table = turn.phases()
        return concerned(turn, input_)

    owner_turn.concerned = again


def _owner_release(owner_release: Any, off: Off) -> None:
    """Any signed list that is shown is the one to release for."""
    look = owner_release.look_at_chain

    def at_once(turn: Any, round_: Any, input_: Any) -> None:
        if not off("lists"):
            look(turn, round_, input_)
        elif round_.count:
            owner_release._release(turn, round_)

    owner_release.look_at_chain = at_once


def _releases(releases: Any, off: Off) -> None:
    record = releases.record
    releases.record = lambda *args: None if off("kinds") else record(*args)


def _secrets(secrets: Any, off: Off) -> None:
    stored = secrets._stored
    secrets._stored = lambda *args: None if off("kinds") else stored(*args)


_CHANGES: dict[str, Callable[[Any, Off], None]] = {
    "protocol.wire.envelope": _opening,
    "protocol.arith.secagg.masks": _masks,
    "protocol.books.lists": _lists,
    "protocol.owner.attempt": _owner_round,
    "protocol.owner.release": _owner_release,
    "protocol.owner.turn": _owner_turn,
    "node.store.releases": _releases,
    "node.perform.secrets": _secrets,
}
