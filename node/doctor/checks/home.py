"""Checks of the home: its directory, permissions, settings, keys, log."""

from __future__ import annotations

from typing import Final

from node.doctor.checks.blanks import blank
from node.doctor.findings import Finding, count, failure, not_asked, ok, warning
from node.doctor.seen import Blank, Seen

#: What must be a file, and what a directory, where it is there.
_FILES: Final = frozenset({"config.toml", "tokens.json", "assay.db", "assay.lock", "assay.log"})
_FOLDERS: Final = ("blobs", "datasets", "gradients", "keys", "keys/sealed")
#: Names in a sentence: the others are counted.
_NAMED: Final = 3


def named(names: list[str]) -> str:
    """Some names, and how many others."""
    shown = ", ".join(names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} others"


def home(seen: Seen) -> Finding:
    """The home is there, and made of what a home is made of."""
    found = seen.home
    if isinstance(found, Blank):
        return failure(f"there is no home that can be read: {found.why}", "assay init")
    kinds = {entry.name: entry.kind for entry in found.entries}
    if kinds.get(".") != "directory":
        return failure(f"{found.path} is no directory", "assay --home OTHER init")
    wrong = [name for name in sorted(_FILES) if kinds.get(name, "file") != "file"]
    wrong += [name for name in _FOLDERS if kinds.get(name, "directory") != "directory"]
    if wrong:
        text = f"{named(wrong)} in {found.path} is not what it should be (a file, or a directory)"
        return failure(text, f"mv {found.path}/{wrong[0]} ELSEWHERE, then restore it from a copy")
    missing = [name for name in _FOLDERS if name not in kinds]
    if missing:
        return failure(f"{named(missing)} is missing in {found.path}", "restore it from a copy")
    return ok(f"{found.path} is a home")


def permissions(seen: Seen) -> Finding:
    """Nobody else can read what is private."""
    found = seen.home
    if isinstance(found, Blank):
        return blank("permissions", Blank("there is no home", asked=False))
    foreign = [entry.name for entry in found.entries if not entry.mine]
    if foreign:
        text = f"{named(foreign)} in {found.path} belongs to another user"
        return failure(text, f"sudo chown -R $(id -u) {found.path}")
    # What is neither file nor directory is a socket, or is gone by now: the home closes it off.
    wide = [e.name for e in found.entries if e.mode & 0o077 and e.kind != "other"]
    # The daemon refuses folders that are open. Files in closed ones are shut off all the same; of
    # keys that is not enough, because a folder is opened sooner than one thinks.
    grave = [e.name for e in found.entries if e.mode & 0o077 and e.kind == "directory"]
    grave += [name for name in wide if name.startswith("keys/")]
    if wide:
        text = f"{named(grave or wide)} in {found.path} can be read by other users of this machine"
        fix = f"chmod -R go-rwx {found.path}"
        return failure(text, fix) if grave else warning(f"{text}, once they get into it", fix)
    tail = "; there are more, which were not looked at" if found.more else ""
    return ok(f"{count(len(found.entries), 'name')} are closed to other users{tail}")


def config(seen: Seen) -> Finding:
    """config.toml is read as it stands."""
    found = seen.config
    if isinstance(found, Blank):
        if not found.asked:
            return blank("settings", found)
        return failure(f"the settings do not hold: {found.why}", "edit config.toml in the home")
    parts = {"chain.url": found.chain_url, "chain.id": found.chain_id}
    parts["chain.contract"] = None if found.contract is None else "set"
    missing = [name for name, value in parts.items() if value is None]
    if missing == ["chain.contract"]:
        text = "the settings name no contract"
        return failure(text, "assay deploy, once for a network; or assay join LINE")
    if missing:
        text = f"the settings lack {', '.join(missing)}: the daemon does not start without"
        return failure(text, "set them in config.toml, or assay join LINE")
    return ok(f"config.toml holds; log level {found.log_level}")


def keys(seen: Seen) -> Finding:
    """The keys open."""
    found = seen.keys
    restore = "assay keys restore FILE, in a home without keys"
    if isinstance(found, Blank):
        return blank("the keys", found, restore)
    if found.locked:
        running = not isinstance(seen.daemon, Blank) and seen.daemon.status is not None
        text = "the keys have a passphrase, which was not given to this command"
        fix = "ASSAY_PASSPHRASE_FILE=FILE assay doctor"
        if running:
            return not_asked(f"{text}; the daemon has opened them", fix)
        return warning(f"{text}: `assay up` would not start from here", fix)
    if found.why:
        fix = f"look at ASSAY_PASSPHRASE_FILE; else: {restore}"
        return failure(f"the keys do not open: {found.why}", fix)
    if found.damaged:
        text = count(len(found.damaged), "sealed secret", "does", "do") + " not open: "
        return failure(text + named(list(found.damaged)), restore)
    return ok(f"the keys of {found.account} open, and {count(found.sealed, 'sealed secret')}")


def log(seen: Seen) -> Finding:
    """The log's end holds no error."""
    found = seen.log
    if isinstance(found, Blank):
        return blank("the log", found)
    if found.errors:
        text = f"the log's end has {count(found.errors, 'error')}, the last"
        fix = "assay logs; docs/guides/operations.md says what each line means"
        return warning(text, fix, found.last)
    return ok(f"the log's end has no error ({count(found.bytes, 'byte')} in all)")
