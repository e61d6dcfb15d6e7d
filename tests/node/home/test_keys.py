from __future__ import annotations

import json
import logging
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from eth_account import Account
from eth_keys.datatypes import Signature

from node.home import vault
from node.home.config import Config, load_config, save_config
from node.home.home import Home
from node.home.keys import MAX_SECRET_BYTES, Keys, public_account
from node.home.vault import MAX_ROUNDS, MIN_PASSPHRASE, read_passphrase
from protocol.errors import InputError

PASSPHRASE = "correct horse battery"
SECP256K1_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create()
    return made


def private_key(home: Home, password: str) -> bytes:
    return bytes(Account.decrypt((home.keys / "account.json").read_text(), password))


def test_unattended_keys_open_without_a_word(home: Home) -> None:
    made = Keys.create(home)
    again = Keys.open(home)
    assert again.account == made.account == public_account(home)
    assert again.peer_seed == made.peer_seed
    assert len(made.peer_seed) == 32
    with pytest.raises(InputError, match="give none"):
        Keys.open(home, PASSPHRASE)


def test_passphrase_opens_and_only_it(home: Home) -> None:
    made = Keys.create(home, PASSPHRASE)
    assert not (home.keys / "unlock").exists()
    assert Keys.open(home, PASSPHRASE).peer_seed == made.peer_seed
    with pytest.raises(InputError, match="passphrase is wrong"):
        Keys.open(home, PASSPHRASE + "!")
    with pytest.raises(InputError, match="ASSAY_PASSPHRASE_FILE"):
        Keys.open(home)


def test_any_wallet_opens_the_account(home: Home) -> None:
    keys = Keys.create(home, PASSPHRASE)
    key = private_key(home, PASSPHRASE)
    assert bytes.fromhex(Account.from_key(key).address[2:]) == keys.account


@pytest.mark.parametrize("length", [MIN_PASSPHRASE - 1, 1025])
def test_passphrase_of_a_bad_length_makes_nothing(home: Home, length: int) -> None:
    with pytest.raises(InputError, match="8 to 1024"):
        Keys.create(home, "x" * length)
    assert list(home.keys.iterdir()) == []


def test_keys_are_never_overwritten(home: Home) -> None:
    account = Keys.create(home).account
    with pytest.raises(InputError, match="never overwritten"):
        Keys.create(home)
    assert Keys.open(home).account == account


def test_every_file_is_private(home: Home) -> None:
    Keys.create(home).seal("paillier", b"secret")
    for path in home.keys.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_secrets_are_nowhere_to_be_seen(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    keys = Keys.create(home)
    keys.seal("paillier", b"p and q, in plain words")
    secrets = [keys.peer_seed, b"p and q, in plain words", (home.keys / "unlock").read_bytes()]
    secrets.append(private_key(home, (home.keys / "unlock").read_text().strip()))
    logging.getLogger("test").warning("%s %r %s", keys, keys, [keys])
    shown = caplog.text + repr(keys) + str(keys)
    for secret in secrets:
        assert secret.hex() not in shown
        assert repr(secret) not in shown
        for path in home.keys.rglob("*"):
            if path.is_file() and path.name != "unlock":
                assert secret not in path.read_bytes()
                assert secret.hex().encode() not in path.read_bytes()
    with pytest.raises(TypeError, match="do not leave"):
        pickle.dumps(keys)


# Signing


def test_digest_signatures_recover_are_low_and_repeat(home: Home) -> None:
    keys = Keys.create(home)
    versions = set()
    for number in range(32):
        digest = bytes([number]) * 32
        signature = keys.sign_digest(digest)
        assert len(signature) == 65
        assert signature == keys.sign_digest(digest)
        assert int.from_bytes(signature[32:64], "big") <= SECP256K1_HALF_ORDER
        versions.add(signature[64])
        plain = Signature(signature[:64] + bytes([signature[64] - 27]))
        assert plain.recover_public_key_from_msg_hash(digest).to_canonical_address() == keys.account
    assert versions == {27, 28}
    with pytest.raises(ValueError, match="32 bytes"):
        keys.sign_digest(bytes(31))


def test_digest_signature_is_rfc_6979(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    # go-ethereum's and eth-keys' shared example: key 1, digest keccak("") by eth_account.
    monkeypatch.setattr("node.home.keys._new_account_key", lambda: (1).to_bytes(32, "big"))
    keys = Keys.create(home)
    assert keys.account.hex() == "7e5f4552091a69125d5dfcb7b8c2659029395bdf"
    digest = bytes.fromhex("c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470")
    from eth_keys.backends.native.main import NativeECCBackend
    from eth_keys.datatypes import PrivateKey

    native = PrivateKey((1).to_bytes(32, "big"), backend=NativeECCBackend())
    assert keys.sign_digest(digest)[:64] == native.sign_msg_hash(digest).to_bytes()[:64]


def test_transactions_recover_to_the_account(home: Home) -> None:
    keys = Keys.create(home)
    transaction = {
        "to": "0x" + "11" * 20,
        "value": 1,
        "gas": 21000,
        "maxFeePerGas": 2,
        "maxPriorityFeePerGas": 1,
        "nonce": 0,
        "chainId": 1337,
        "data": b"",
    }
    raw = keys.sign_transaction(transaction)
    assert raw == keys.sign_transaction(transaction)
    assert bytes.fromhex(Account.recover_transaction(raw)[2:]) == keys.account


def test_peer_signatures_verify(home: Home) -> None:
    keys = Keys.create(home)
    public = Ed25519PrivateKey.from_private_bytes(keys.peer_seed).public_key()
    signature = keys.sign_peer(b"message")
    assert len(signature) == 64
    public.verify(signature, b"message")


# Sealing


def test_sealed_secrets(home: Home) -> None:
    keys = Keys.create(home)
    keys.seal("paillier.1", b"one")
    keys.seal("paillier.1", b"two")
    assert Keys.open(home).unseal("paillier.1") == b"two"
    assert keys.sealed() == ("paillier.1", "peer")
    keys.forget("paillier.1")
    keys.forget("paillier.1")
    with pytest.raises(KeyError, match=r"paillier\.1"):
        keys.unseal("paillier.1")
    with pytest.raises(ValueError, match="identity"):
        keys.forget("peer")


@pytest.mark.parametrize("name", ["", "../account.json", "a/b", ".hidden", "UPPER", "x" * 129])
def test_names_that_could_leave_the_directory(home: Home, name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        Keys.create(home).seal(name, b"")


def test_sealed_size_limit(home: Home) -> None:
    keys = Keys.create(home)
    keys.seal("big", bytes(MAX_SECRET_BYTES))
    assert keys.unseal("big") == bytes(MAX_SECRET_BYTES)
    with pytest.raises(ValueError, match="at most"):
        keys.seal("big", bytes(MAX_SECRET_BYTES + 1))


def test_a_changed_or_exchanged_secret_is_noticed(home: Home) -> None:
    keys = Keys.create(home)
    keys.seal("one", b"1")
    keys.seal("two", b"2")
    one, two = home.keys / "sealed" / "one", home.keys / "sealed" / "two"
    original = one.read_bytes()
    one.write_bytes(two.read_bytes())
    with pytest.raises(InputError, match="damaged"):
        keys.unseal("one")
    for index in range(len(original)):
        one.write_bytes(original[:index] + bytes([original[index] ^ 1]) + original[index + 1 :])
        with pytest.raises(InputError, match="damaged"):
            keys.unseal("one")
    one.write_bytes(b"")
    with pytest.raises(InputError, match="damaged"):
        keys.unseal("one")


# Damaged homes


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("vault.json", None, "assay init"),
        ("vault.json", b"{", "no JSON"),
        ("vault.json", b"[" * 60_000, "no JSON"),
        ("vault.json", b"[]", "'version' is missing"),
        ("vault.json", {"version": 2}, "newer"),
        ("vault.json", {"rounds": MAX_ROUNDS + 1}, "damaged"),
        ("vault.json", {"rounds": 0}, "damaged"),
        ("vault.json", {"rounds": True}, "'rounds' is missing or no int"),
        ("vault.json", {"salt": "zz"}, "damaged"),
        ("vault.json", {"wrapped": "00" * 60}, "does not open"),
        ("unlock", None, "missing"),
        ("unlock", b"short", "damaged"),
        ("unlock", b"00" * 32, "unlock is another"),
        ("account.json", None, "does not exist"),
        ("account.json", {"crypto": {"kdf": "scrypt", "kdfparams": {"n": 2**30}}}, "PBKDF2"),
        ("account.json", {"crypto": {"kdf": "pbkdf2", "kdfparams": {"c": 10**9}}}, "PBKDF2"),
        ("account.json", {"crypto": {"kdf": "pbkdf2", "kdfparams": {"c": 1}}}, "does not open"),
        ("sealed/peer", b"x" * 60, "damaged"),
    ],
)
def test_damage_is_named(
    home: Home, name: str, change: bytes | dict[str, object] | None, says: str
) -> None:
    Keys.create(home)
    path = home.keys / name
    if change is None:
        path.unlink()
    elif isinstance(change, bytes):
        path.write_bytes(change)
    else:
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match=says):
        Keys.open(home)


# Passphrase files


def test_passphrase_file(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    environ = {"ASSAY_PASSPHRASE_FILE": str(path)}
    assert read_passphrase({}) is None
    with pytest.raises(InputError, match="cannot be read"):
        read_passphrase(environ)
    path.write_text(PASSPHRASE + "\r\nsecond line\n")
    path.chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        read_passphrase(environ)
    path.chmod(0o600)
    assert read_passphrase(environ) == PASSPHRASE
    path.write_bytes(b"\xff")
    with pytest.raises(InputError, match="UTF-8"):
        read_passphrase(environ)


def test_a_pipe_is_read_and_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One into which somebody writes is as good as a file; another would never end."""
    monkeypatch.setattr(vault, "_SILENT_SECONDS", 0)
    path = tmp_path / "pipe"
    os.mkfifo(path, 0o600)
    environ = {"ASSAY_PASSPHRASE_FILE": str(path)}
    with pytest.raises(InputError, match="gives nothing"):
        read_passphrase(environ)
    both = os.open(path, os.O_RDWR)  # a pipe that somebody holds open, and says nothing more
    os.write(both, PASSPHRASE.encode() + b"\n")
    with pytest.raises(InputError, match="gives nothing"):
        read_passphrase(environ)
    os.close(both)
    reader, writer = os.pipe()
    os.write(writer, PASSPHRASE.encode() + b"\n")
    os.close(writer)
    assert read_passphrase({"ASSAY_PASSPHRASE_FILE": f"/dev/fd/{reader}"}) == PASSPHRASE
    os.close(reader)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "file")
    (tmp_path / "file").write_text(PASSPHRASE)
    (tmp_path / "file").chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        read_passphrase({"ASSAY_PASSPHRASE_FILE": str(link)})


# Backup


def test_backup_comes_back_elsewhere(home: Home, tmp_path: Path) -> None:
    keys = Keys.create(home)
    keys.seal("paillier", b"lasting")
    keys.seal("once.mask", b"of one attempt")
    file = tmp_path / "backup"
    keys.backup(file, PASSPHRASE)
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"lasting" not in file.read_bytes()
    with pytest.raises(InputError, match="exists already"):
        keys.backup(file, PASSPHRASE)
    with pytest.raises(InputError, match="8 to 1024"):
        keys.backup(tmp_path / "other", "short")
    with pytest.raises(InputError, match="never overwritten"):
        Keys.restore(home, file, PASSPHRASE)

    elsewhere = Home(tmp_path / "elsewhere")
    elsewhere.create()
    with pytest.raises(InputError, match="wrong passphrase"):
        Keys.restore(elsewhere, file, "not the passphrase")
    with pytest.raises(InputError, match="no assay backup"):
        Keys.restore(elsewhere, home.keys / "account.json", PASSPHRASE)
    restored = Keys.restore(elsewhere, file, PASSPHRASE, "a passphrase of its own")
    assert restored.account == keys.account
    assert restored.peer_seed == keys.peer_seed
    assert restored.unseal("paillier") == b"lasting"
    assert "once.mask" not in restored.sealed()
    assert Keys.open(elsewhere, "a passphrase of its own").account == keys.account


def test_a_backup_holds_the_settings_and_restores_what_is_lacking(
    home: Home, tmp_path: Path
) -> None:
    config = Config(chain_url="https://node.example/v3/SECRETKEY", chain_id=5, contract=bytes(20))
    save_config(home, config)
    home.tokens.write_text("{}")
    file = tmp_path / "backup"
    Keys.create(home).backup(file, PASSPHRASE)
    assert b"SECRETKEY" not in file.read_bytes()
    elsewhere = Home(tmp_path / "elsewhere")
    elsewhere.create()
    home.tokens.write_text("changed meanwhile")
    Keys.restore(elsewhere, file, PASSPHRASE)
    assert load_config(elsewhere) == config
    assert elsewhere.tokens.read_text() == "{}"
    assert elsewhere.config.stat().st_mode & 0o777 == 0o600

    own = Home(tmp_path / "own")
    own.create()
    save_config(own, Config(workers=2))
    Keys.restore(own, file, PASSPHRASE)
    assert load_config(own) == Config(workers=2)
    # One with keys is left as it is, settings and all.
    own.tokens.unlink()
    with pytest.raises(InputError, match="never overwritten"):
        Keys.restore(own, file, PASSPHRASE)
    assert not own.tokens.exists()


def test_a_backup_of_an_older_version_has_no_settings(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = Keys.create(home)
    dumps = json.dumps
    monkeypatch.setattr(
        "node.home.keys.json.dumps", lambda it: dumps({k: it[k] for k in ("account", "sealed")})
    )
    keys.backup(tmp_path / "backup", PASSPHRASE)
    monkeypatch.undo()
    elsewhere = Home(tmp_path / "elsewhere")
    elsewhere.create()
    assert Keys.restore(elsewhere, tmp_path / "backup", PASSPHRASE).account == keys.account
    assert not elsewhere.config.exists()


def test_opening_takes_little_memory(home: Home) -> None:
    Keys.create(home, PASSPHRASE)
    code = (
        "import resource, sys; from pathlib import Path; from node.home.home import Home;"
        "from node.home.keys import Keys; import eth_keys, eth_keyfile.keyfile;"
        "from cryptography.hazmat.primitives.ciphers.aead import AESGCM;"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        f"Keys.open(Home(Path(sys.argv[1])), {PASSPHRASE!r});"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(home.path)], capture_output=True, text=True, check=True
    )
    assert int(found.stdout) < 64 * 1024
