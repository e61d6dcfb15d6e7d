"""The parts of node/home/keys.py: passphrases, the derivation, sealing, bounded reads.

The derivation is PBKDF2-HMAC-SHA256, because it needs no memory to speak of. Keystore V3's usual
scrypt takes 256 MiB in each daemon of a computer. docs/adr/0301 says what this protects.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import select
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from node.bounds.nesting import depth_exceeds
from node.home.home import Home
from protocol.errors import InputError

#: OWASP Password Storage Cheat Sheet (2023) for PBKDF2-HMAC-SHA256; 0.12 s on a fast core.
PASSPHRASE_ROUNDS: Final = 600_000
#: keys/unlock holds 256 random bits: stretching adds nothing there, and eight daemons start faster.
UNLOCK_ROUNDS: Final = 10_000
#: A vault file that asks for more is damaged or hostile: the daemon would hang on it.
MAX_ROUNDS: Final = 10_000_000

#: How long a pipe may say nothing, seconds: whoever writes may ask a person first.
_SILENT_SECONDS: Final = 20

MIN_PASSPHRASE: Final = 8
MAX_PASSPHRASE: Final = 1024
#: A key file is a few hundred bytes; the largest sealed secret is 1 MiB.
MAX_JSON_BYTES: Final = 64 * 1024
MAX_JSON_DEPTH: Final = 16


def starting_point(home: Home, passphrase: str | None, *, by_passphrase: bool) -> tuple[bytes, int]:
    """The derivation's input and its rounds: the passphrase, or keys/unlock's text."""
    if by_passphrase:
        if passphrase is None:
            raise InputError(
                "these keys have a passphrase; set ASSAY_PASSPHRASE_FILE to a file that holds it",
                "passphrase",
            )
        return passphrase.encode(), PASSPHRASE_ROUNDS
    if passphrase is not None:
        raise InputError("these keys have none (they open by keys/unlock); give none", "passphrase")
    path = home.keys / "unlock"
    try:
        text = read_bounded(path, 256).strip()
    except FileNotFoundError:
        raise InputError(f"{path} is missing; restore a backup", "keys") from None
    if not re.fullmatch(rb"[0-9a-f]{64}", text):
        raise InputError(f"{path} is damaged; restore a backup", "keys")
    return text, UNLOCK_ROUNDS


def read_passphrase(environ: Mapping[str, str] | None = None) -> str | None:
    """The first line of the file that ASSAY_PASSPHRASE_FILE names, else of the service manager's
    credential `passphrase` (systemd.exec(5), CREDENTIALS_DIRECTORY); None where there is neither.

    A file and not a variable with the passphrase itself: an environment is inherited by every
    child and readable in /proc. Raises `InputError` if the file cannot be read or others can.
    """
    given = os.environ if environ is None else environ
    name = given.get("ASSAY_PASSPHRASE_FILE", "")
    path = Path(name or Path(given.get("CREDENTIALS_DIRECTORY") or "/nowhere") / "passphrase")
    try:
        if not name and not path.exists():
            return None
        content = read_bounded(path, MAX_PASSPHRASE + 2)
        # A credential's mode is its manager's affair: an access list can show as the group's bits.
        if name and path.stat().st_mode & 0o077:
            raise InputError(f"{path} is open to other users; run: chmod 600 {path}", "passphrase")
        return content.decode().split("\n", 1)[0].rstrip("\r")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", "passphrase") from error
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text", "passphrase") from None


def check_passphrase(passphrase: str) -> None:
    """Raise `InputError` unless a new passphrase has an allowed length."""
    if not MIN_PASSPHRASE <= len(passphrase) <= MAX_PASSPHRASE:
        raise InputError(
            f"has {len(passphrase)} characters; {MIN_PASSPHRASE} to {MAX_PASSPHRASE} are allowed",
            "passphrase",
        )


def stretch(password: bytes, salt: bytes, rounds: int) -> bytes:
    """32 bytes of PBKDF2-HMAC-SHA256 (RFC 8018)."""
    return hashlib.pbkdf2_hmac("sha256", password, salt, rounds, 32)


def encrypt(key: bytes, plain: bytes, name: bytes) -> bytes:
    """AES-256-GCM with a random 96-bit nonce before it: safe for 2^32 seals a key (SP 800-38D)."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(12)
    return nonce + AESGCM(key).encrypt(nonce, plain, name)


def decrypt(key: bytes, sealed: bytes, name: bytes) -> bytes | None:
    """The plaintext, None if key, name or a bit is another."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if len(sealed) < 28:
        return None
    try:
        return AESGCM(key).decrypt(sealed[:12], sealed[12:], name)
    except InvalidTag:
        return None


def read_bounded(path: Path, limit: int) -> bytes:
    """The file's bytes; `InputError` if it is longer than `limit`, or is a pipe into which nobody
    writes: that would be waited for without end. `OSError` as it comes."""
    content = bytearray()
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        readable = select.poll()
        readable.register(file, select.POLLIN)
        while len(content) <= limit:
            if not readable.poll(1000 * _SILENT_SECONDS):
                raise InputError(f"{path} gives nothing; a file is expected, or a pipe", "keys")
            if not (piece := os.read(file, limit + 1 - len(content))):
                return bytes(content)
            content += piece
    finally:
        os.close(file)
    raise InputError(f"{path} is longer than {limit} bytes", "keys")


def read_json(path: Path, wanted: Mapping[str, type]) -> dict[str, Any]:
    """A JSON object with fields of these types; `InputError` names file and field."""
    try:
        stored = read_bounded(path, MAX_JSON_BYTES)
        if depth_exceeds(stored, MAX_JSON_DEPTH):
            raise InputError(f"{path} is damaged: no JSON of keys; restore a backup", "keys")
        content = json.loads(stored)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; make keys with `assay init`", "keys") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path} is damaged: no JSON; restore a backup", "keys") from None
    for name, kind in wanted.items():
        if not isinstance(content, dict) or type(content.get(name)) is not kind:
            raise InputError(
                f"{path} is damaged: {name!r} is missing or no {kind.__name__}", "keys"
            )
    return dict(content)
