"""The node's keys: made once, sealed at rest, in memory only behind hidden names.

    keys/vault.json     the vault key, wrapped by the passphrase or by keys/unlock
    keys/unlock         32 random bytes (hex), mode 0600: only where there is no passphrase
    keys/account.json   the Ethereum account, keystore V3 (PBKDF2): any wallet opens it
    keys/sealed/NAME    the peer identity and every other secret, AES-256-GCM under the vault key

Memory stays under 64 MB because the derivation is PBKDF2-HMAC-SHA256 (600,000 rounds: OWASP's
figure for it); keystore V3's usual scrypt takes 256 MiB. docs/adr/0301 says what this protects, and
what it does not.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from node.bounds.hollow import ETH_UTILS, without
from node.home.home import Home, sync_directory, write_private
from node.home.vault import (
    MAX_ROUNDS,
    PASSPHRASE_ROUNDS,
    check_passphrase,
    decrypt,
    encrypt,
    read_bounded,
    read_json,
    starting_point,
    stretch,
)
from protocol.errors import InputError

MAX_SECRET_BYTES: Final = 1024 * 1024
MAX_BACKUP_BYTES: Final = 64 * 1024 * 1024

#: Secrets of one attempt. They never enter a backup: a restored node that still had them could
#: release a second kind of share for an attempt that it already answered.
ONCE_PREFIX: Final = "once."

_PEER_SEED: Final = "peer"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")
_BACKUP_MAGIC: Final = b"assay backup 1\n"

#: What eth-keyfile loads and an account's key never uses: lists of chains, models of pydantic, and
#: the pairings of another kind of key. Loaded here first, they would stay (docs/adr/0016).
_UNUSED: Final = (*ETH_UTILS, "py_ecc.bls")


class Keys:
    """The opened keys of one home. Its repr shows the account and nothing else."""

    def __init__(self, home: Home, vault_key: bytes, account_key: bytes) -> None:
        from eth_keys.datatypes import PrivateKey

        self._home = home
        self._vault_key = vault_key
        self._account_key = PrivateKey(account_key)
        self._account = self._account_key.public_key.to_canonical_address()
        self._peer_seed = self.unseal(_PEER_SEED)

    def __repr__(self) -> str:
        return f"<Keys of 0x{self._account.hex()}>"

    def __reduce__(self) -> str:
        # Pickling is how values reach worker processes; they get single secrets, never the vault.
        raise TypeError("keys do not leave their process")

    # Making and opening

    @classmethod
    def create(cls, home: Home, passphrase: str | None = None) -> Keys:
        """Make new keys in a home that has none. Raises `InputError` if it has some already.

        Without a passphrase the daemon starts unattended, by keys/unlock.
        """
        return _install(home, passphrase, secrets.token_bytes(32), _new_account_key(), {})

    @classmethod
    def open(cls, home: Home, passphrase: str | None = None) -> Keys:
        """Open the home's keys; 0.25 s with a passphrase on a fast core, next to nothing without.

        Raises `InputError`: no keys, a missing, wrong or needless passphrase, a damaged file.
        """
        vault = read_json(home.keys / "vault.json", _VAULT_FIELDS)
        if vault["version"] != 1:
            raise InputError(
                f"{home.keys / 'vault.json'} has version {vault['version']}, this assay knows 1; "
                "a newer assay made it",
                "keys",
            )
        root, _ = starting_point(home, passphrase, by_passphrase=vault["kdf"] == "pbkdf2")
        try:
            salt, wrapped = bytes.fromhex(vault["salt"]), bytes.fromhex(vault["wrapped"])
        except ValueError:
            salt, wrapped = b"", b""
        rounds = vault["rounds"]
        if not salt or not 1 <= rounds <= MAX_ROUNDS:
            raise InputError(f"{home.keys / 'vault.json'} is damaged; restore a backup", "keys")
        vault_key = decrypt(stretch(root, salt, rounds), wrapped, b"vault")
        if vault_key is None:
            what = "the passphrase is wrong" if passphrase is not None else "keys/unlock is another"
            raise InputError(
                f"{home.keys / 'vault.json'} does not open: {what}, or the file is damaged", "keys"
            )
        return cls(home, vault_key, _open_account(home, root))

    # What the node signs with

    @property
    def peer_seed(self) -> bytes:
        """The 32 bytes seed of the libp2p Ed25519 identity (RFC 8032). Secret."""
        return self._peer_seed

    @property
    def account(self) -> bytes:
        """The Ethereum account's 20 bytes."""
        return self._account

    def sign_digest(self, digest: bytes) -> bytes:
        """r, s and v (65 bytes; v 27 or 28, s low: EIP-2) over a 32-byte digest (EIP-712's).

        Deterministic (RFC 6979): signing the same digest again after a crash gives the same bytes.
        """
        if len(digest) != 32:
            raise ValueError(f"a digest has 32 bytes, not {len(digest)}")
        signature = self._account_key.sign_msg_hash(digest).to_bytes()
        return signature[:64] + bytes([signature[64] + 27])

    def sign_transaction(self, transaction: Mapping[str, Any]) -> bytes:
        """The raw signed transaction (EIP-2718 envelope), from web3's dictionary of its fields."""
        from eth_account import Account  # late: 0.6 s and 33 MB that few commands need

        signed = Account.from_key(self._account_key).sign_transaction(dict(transaction))
        return bytes(signed.raw_transaction)

    def sign_peer(self, message: bytes) -> bytes:
        """Ed25519 (RFC 8032) over `message` by the peer identity: 64 bytes, deterministic."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self._peer_seed).sign(message)

    def derive(self, purpose: str) -> bytes:
        """32 secret bytes that follow from the identity and `purpose` alone (HKDF, RFC 5869): the
        same for the node's life, and after a backup is restored."""
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        return HKDF(SHA256(), 32, None, b"assay " + purpose.encode()).derive(self._peer_seed)

    # Other secrets

    def seal(self, name: str, secret: bytes) -> None:
        """Store `secret` under `name`, encrypted and on disk when this returns; replaces.

        Names are lower case, at most 128 bytes; those that begin with `ONCE_PREFIX` are left out of
        backups. Raises `ValueError` for a bad name or an absurd length.
        """
        if len(secret) > MAX_SECRET_BYTES:
            raise ValueError(f"{name}: {len(secret)} bytes, at most {MAX_SECRET_BYTES}")
        path = self._path(name)
        write_private(path, encrypt(self._vault_key, secret, _sealed_as(name)))

    def unseal(self, name: str) -> bytes:
        """The secret stored under `name`. `KeyError` if there is none, `InputError` if damaged."""
        path = self._path(name)
        try:
            content = read_bounded(path, 2 * MAX_SECRET_BYTES)
        except FileNotFoundError:
            raise KeyError(name) from None
        # The name is authenticated: one secret's file cannot stand in for another's.
        secret = decrypt(self._vault_key, content, _sealed_as(name))
        if secret is None:
            raise InputError(f"{path} is damaged or of other keys; restore a backup", "keys")
        return secret

    def sealed(self) -> tuple[str, ...]:
        """The names of all sealed secrets, in order."""
        names = (path.name for path in (self._home.keys / "sealed").iterdir())
        return tuple(sorted(name for name in names if _NAME.fullmatch(name)))

    def forget(self, name: str) -> None:
        """Remove a secret; nothing happens if there is none. The identity cannot be removed."""
        if name == _PEER_SEED:
            raise ValueError("the peer identity cannot be forgotten")
        path = self._path(name)
        path.unlink(missing_ok=True)
        sync_directory(path.parent)

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name for a secret")
        return self._home.keys / "sealed" / name

    # Backup

    def backup(self, path: Path, passphrase: str, store: bytes = b"") -> None:
        """Write account, identity, lasting secrets, the home's settings and its `store` as
        node.store.backup has it to one file under its own passphrase. The settings hold the chain
        nodes' addresses, whose path may be a key.

        Raises `InputError` if the file exists or the passphrase is too short. The file opens on any
        machine; secrets of running attempts are not in it (see `ONCE_PREFIX`).
        """
        check_passphrase(passphrase)
        if path.exists():
            raise InputError(f"{path} exists already; name another file", "backup")
        names = [name for name in self.sealed() if not name.startswith(ONCE_PREFIX)]
        content = {
            "account": self._account_key.to_bytes().hex(),
            "made": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            "store": base64.b64encode(store).decode(),
            "sealed": {name: self.unseal(name).hex() for name in names},
            "settings": {
                file.name: file.read_text("utf-8", "replace")
                for file in _settings(self._home)
                if file.exists()
            },
        }
        salt = secrets.token_bytes(16)
        wrapping = stretch(passphrase.encode(), salt, PASSPHRASE_ROUNDS)
        body = encrypt(wrapping, json.dumps(content).encode(), _BACKUP_MAGIC + salt)
        try:
            write_private(path, _BACKUP_MAGIC + salt + body)
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror}", "backup") from error

    @classmethod
    def restore(
        cls,
        home: Home,
        path: Path,
        backup_passphrase: str,
        passphrase: str | None = None,
        take: Callable[[bytes, str], None] | None = None,
    ) -> Keys:
        """Make a home's keys from a backup, under a passphrase (or none) of the home's own; and the
        settings that the home lacks. `take` gets the store as it was given to `backup`, and when;
        both are empty in backups of older versions. Keys come after it: whatever fails before, the
        same command can be given again.

        Raises `InputError`: the home has keys, the file is no backup, or its passphrase is wrong.
        """
        try:
            content = read_bounded(path, MAX_BACKUP_BYTES)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}", "backup") from error
        if not content.startswith(_BACKUP_MAGIC) or len(content) < len(_BACKUP_MAGIC) + 16:
            raise InputError(f"{path} is no assay backup of version 1", "backup")
        head = len(_BACKUP_MAGIC) + 16
        salt = content[len(_BACKUP_MAGIC) : head]
        wrapping = stretch(backup_passphrase.encode(), salt, PASSPHRASE_ROUNDS)
        plain = decrypt(wrapping, content[head:], _BACKUP_MAGIC + salt)
        if plain is None:
            raise InputError(f"{path} does not open: wrong passphrase, or damaged", "backup")
        # Authenticated above: only our own `backup` can have written what follows.
        stored = json.loads(plain)
        sealed = {name: bytes.fromhex(secret) for name, secret in stored["sealed"].items()}
        seed = sealed.pop(_PEER_SEED)
        check_no_keys(home)
        settings = stored.get("settings", {})  # which backups of older versions lack
        for file in _settings(home):
            if file.name in settings and not file.exists():
                write_private(file, settings[file.name].encode())
        if take is not None:
            take(base64.b64decode(stored.get("store", "")), stored.get("made", ""))
        return _install(home, passphrase, seed, bytes.fromhex(stored["account"]), sealed)


def check_no_keys(home: Home) -> None:
    """Raise `InputError` if the home has keys."""
    if (home.keys / "vault.json").exists():
        raise InputError(f"{home.keys} holds keys already; they are never overwritten", "keys")


def _settings(home: Home) -> tuple[Path, Path]:
    """What a home is told by its user, besides its keys: in a backup, too."""
    return home.config, home.tokens


def public_account(home: Home) -> bytes:
    """The account's 20 bytes without opening the keys, for commands that only show it."""
    content = read_json(home.keys / "account.json", {"address": str})
    try:
        return _exactly(bytes.fromhex(content["address"].removeprefix("0x")), 20)
    except ValueError as error:
        raise InputError(f"{home.keys / 'account.json'} is damaged: {error}", "keys") from error


_VAULT_FIELDS: Final[dict[str, type]] = {
    "version": int,
    "kdf": str,
    "rounds": int,
    "salt": str,
    "wrapped": str,
}


def _new_account_key() -> bytes:
    # Below the order of secp256k1 and not zero; a second draw happens once in 2^128.
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    return (secrets.randbelow(order - 1) + 1).to_bytes(32, "big")


def _keyfile() -> ModuleType:
    """eth-keyfile's module, which writes and reads keys as Ethereum's wallets do."""
    with without(*_UNUSED):
        from eth_keyfile import keyfile
    return keyfile


def _install(
    home: Home,
    passphrase: str | None,
    peer_seed: bytes,
    account_key: bytes,
    sealed: Mapping[str, bytes],
) -> Keys:
    keyfile = _keyfile()
    check_no_keys(home)
    if passphrase is not None:
        check_passphrase(passphrase)
    (home.keys / "sealed").mkdir(mode=0o700, exist_ok=True)
    if passphrase is None:
        write_private(home.keys / "unlock", secrets.token_hex(32).encode() + b"\n")
    root, rounds = starting_point(home, passphrase, by_passphrase=passphrase is not None)
    account = keyfile.create_keyfile_json(account_key, root, kdf="pbkdf2", iterations=rounds)
    write_private(home.keys / "account.json", json.dumps(account, indent=1).encode())
    vault_key, salt = secrets.token_bytes(32), secrets.token_bytes(16)
    for name, secret in {**sealed, _PEER_SEED: peer_seed}.items():
        write_private(home.keys / "sealed" / name, encrypt(vault_key, secret, _sealed_as(name)))
    # The vault comes last: keys exist once it does, so a crash before it leaves nothing half made.
    vault = {
        "version": 1,
        "kdf": "unlock" if passphrase is None else "pbkdf2",
        "rounds": rounds,
        "salt": salt.hex(),
        "wrapped": encrypt(stretch(root, salt, rounds), vault_key, b"vault").hex(),
    }
    write_private(home.keys / "vault.json", json.dumps(vault, indent=1).encode())
    return Keys(home, vault_key, account_key)


def _open_account(home: Home, password: bytes) -> bytes:
    keyfile = _keyfile()
    path = home.keys / "account.json"
    account = read_json(path, {"address": str, "crypto": dict, "version": int})
    parameters = account["crypto"].get("kdfparams")
    rounds = parameters.get("c") if isinstance(parameters, dict) else None
    if account["crypto"].get("kdf") != "pbkdf2" or not (
        isinstance(rounds, int) and 1 <= rounds <= MAX_ROUNDS
    ):
        # scrypt's memory is the file's to choose: 256 MiB by default, any amount if hostile.
        raise InputError(f"{path}: PBKDF2 with 1 to {MAX_ROUNDS} rounds is needed", "keys")
    try:
        return _exactly(bytes(keyfile.decode_keyfile_json(account, password)), 32)
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise InputError(f"{path} does not open: damaged, or of another home", "keys") from error


def _sealed_as(name: str) -> bytes:
    return b"sealed:" + name.encode()


def _exactly(value: bytes, length: int) -> bytes:
    if len(value) != length:
        raise ValueError(f"{len(value)} bytes, {length} needed")
    return value
