"""Signed statements about money: EIP-712 digests, and who signed them.

Commitments are verified on the chain (contracts/signing.vy); enrolments by every owner. Nothing
here signs: keys live in node/. Signatures are 65 bytes r, s, v with v 27 or 28 and s in the lower
half of the curve's order (EIP-2), so that each has one form.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from eth_hash.auto import keccak

from protocol.addresses import ADDRESS_BYTES
from protocol.errors import Malformed
from protocol.params import MAX_COHORT, MAX_ROUNDS

SIGNATURE_BYTES: Final = 65

_DOMAIN_TYPE: Final = keccak(
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
_COMMITMENT_TYPE: Final = keccak(
    b"Commitment(bytes32 job,uint16 round,bytes32 root,uint16 count,bytes32 modelDigest,"
    b"uint64 validUntil)"
)
_ENROLMENT_TYPE: Final = keccak(
    b"Enrolment(bytes32 job,address account,address payout,bytes32 peer,uint32 rows)"
)
_NAME: Final = keccak(b"assay")
_VERSION: Final = keccak(b"1")

#: Half of the order of secp256k1, rounded down (SEC 2, section 2.4.1).
_MAX_S: Final = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


@dataclass(frozen=True, slots=True)
class Domain:
    """Where a signature holds: one contract on one chain."""

    chain_id: int
    contract: bytes

    def __post_init__(self) -> None:
        _check_integer("chain id", self.chain_id, 0, (1 << 256) - 1)
        _check_bytes("contract", self.contract, ADDRESS_BYTES)

    @property
    def separator(self) -> bytes:
        """The EIP-712 domain separator, 32 bytes."""
        return _separator(self)


@dataclass(frozen=True, slots=True)
class Commitment:
    """The requester's word on who contributed to a round: what the contract will pay for.

    job: 32 bytes. round: from zero. root: of the index tree over the round's contributions.
    count: of contributions, 1 to MAX_COHORT. model_digest: of the model that was contributed to.
    valid_until: the last Unix second at which the contract accepts it.
    """

    job: bytes
    round: int
    root: bytes
    count: int
    model_digest: bytes
    valid_until: int

    def __post_init__(self) -> None:
        _check_bytes("job", self.job, 32)
        _check_integer("round", self.round, 0, MAX_ROUNDS - 1)
        _check_bytes("root", self.root, 32)
        _check_integer("count", self.count, 1, MAX_COHORT)
        _check_bytes("model digest", self.model_digest, 32)
        _check_integer("valid until", self.valid_until, 0, (1 << 64) - 1)


@dataclass(frozen=True, slots=True)
class Enrolment:
    """An owner's word that it joins a job.

    account: signs. payout: is paid, and may be an account whose keys are elsewhere. peer:
    Keccak-256 of the bytes of the libp2p peer id. rows: how many the owner trains on, public by
    declaration.
    """

    job: bytes
    account: bytes
    payout: bytes
    peer: bytes
    rows: int

    def __post_init__(self) -> None:
        _check_bytes("job", self.job, 32)
        _check_bytes("account", self.account, ADDRESS_BYTES)
        _check_bytes("payout", self.payout, ADDRESS_BYTES)
        _check_bytes("peer", self.peer, 32)
        _check_integer("rows", self.rows, 0, (1 << 32) - 1)


def commitment_digest(domain: Domain, commitment: Commitment) -> bytes:
    """The 32 bytes that the requester signs for a commitment."""
    fields = (
        commitment.job,
        _integer(commitment.round),
        commitment.root,
        _integer(commitment.count),
        commitment.model_digest,
        _integer(commitment.valid_until),
    )
    return _digest(domain, keccak(b"".join((_COMMITMENT_TYPE, *fields))))


def enrolment_digest(domain: Domain, enrolment: Enrolment) -> bytes:
    """The 32 bytes that an owner signs to join a job."""
    fields = (
        enrolment.job,
        _address(enrolment.account),
        _address(enrolment.payout),
        enrolment.peer,
        _integer(enrolment.rows),
    )
    return _digest(domain, keccak(b"".join((_ENROLMENT_TYPE, *fields))))


def recover(digest: bytes, signature: bytes) -> bytes:
    """The 20-byte account whose signature this is, for the caller to compare.

    Accepts what the contract accepts and nothing else. Raises Malformed on another length, a high
    s, another v, or a signature that no key made.
    """
    if len(signature) != SIGNATURE_BYTES:
        raise Malformed(f"a signature has {SIGNATURE_BYTES} bytes, not {len(signature)}")
    if int.from_bytes(signature[32:64], "big") > _MAX_S:
        raise Malformed(
            "a signature's s is in the upper half: it is another signature's other form"
        )
    v = signature[64]
    if v not in (27, 28):
        raise Malformed(f"a signature's v is 27 or 28, not {v}")
    # Late: it costs 0.2 s, and a caller that only computes digests does not need it.
    from eth_keys.datatypes import Signature
    from eth_keys.exceptions import BadSignature
    from eth_utils.exceptions import ValidationError

    try:
        key = Signature(signature[:64] + bytes([v - 27])).recover_public_key_from_msg_hash(digest)
    except (BadSignature, ValidationError) as error:
        raise Malformed(f"no key made this signature: {error}") from error
    return key.to_canonical_address()


@lru_cache(maxsize=8)
def _separator(domain: Domain) -> bytes:
    """A node has two: of bounties and of channels."""
    fields = _NAME, _VERSION, _integer(domain.chain_id), _address(domain.contract)
    return keccak(b"".join((_DOMAIN_TYPE, *fields)))


def _digest(domain: Domain, message: bytes) -> bytes:
    return keccak(b"\x19\x01" + domain.separator + message)


def _integer(value: int) -> bytes:
    return value.to_bytes(32, "big")


def _address(address: bytes) -> bytes:
    return address.rjust(32, b"\x00")


def _check_bytes(name: str, value: bytes, size: int) -> None:
    if not isinstance(value, bytes) or len(value) != size:
        raise Malformed(f"{name} is not {size} bytes")


def _check_integer(name: str, value: int, lowest: int, highest: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        raise Malformed(f"{name} is not an integer from {lowest} to {highest}")
