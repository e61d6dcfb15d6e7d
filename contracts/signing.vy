# pragma version 0.4.3
"""
@title Signed commitments
@custom:contract-name signing
@license Apache-2.0
@author The authors of assay
@notice The EIP-712 digest of a commitment, and whose signature stands under it.
        `protocol/typed_data.py` is its counterpart.
@dev The domain is computed at each call, so that a fork of the chain with a
     new id does not accept signatures made for the old one. Signatures of
     contracts (EIP-1271) are not supported.
"""


from . import refusals


_DOMAIN_TYPE_HASH: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
_COMMITMENT_TYPE_HASH: constant(bytes32) = keccak256(
    "Commitment(bytes32 job,uint16 round,bytes32 root,uint16 count,bytes32 modelDigest,uint64 validUntil)"
)
_NAME_HASH: constant(bytes32) = keccak256("assay")
_VERSION_HASH: constant(bytes32) = keccak256("1")

# Half the order of secp256k1, rounded down. A greater s is the same signature
# in its other form (EIP-2).
_MAX_S: constant(bytes32) = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


@internal
@view
def _domain_separator() -> bytes32:
    """
    @dev Computes the EIP-712 domain separator of this contract on this chain.
    @return bytes32 The separator.
    """
    return keccak256(
        abi_encode(_DOMAIN_TYPE_HASH, _NAME_HASH, _VERSION_HASH, chain.id, self)
    )


@internal
@view
def _commitment_digest(
    job: bytes32,
    round: uint16,
    root: bytes32,
    count: uint16,
    model_digest: bytes32,
    valid_until: uint64,
) -> bytes32:
    """
    @dev Computes what the requester signs.
    @param job The job's id.
    @param round The round, from zero.
    @param root The root of the round's index tree.
    @param count The number of contributions under it.
    @param model_digest The digest of the model that was contributed to.
    @param valid_until The last moment, in seconds, at which it may be submitted.
    @return bytes32 The EIP-712 digest.
    """
    message: bytes32 = keccak256(
        abi_encode(_COMMITMENT_TYPE_HASH, job, round, root, count, model_digest, valid_until)
    )
    return keccak256(concat(x"1901", self._domain_separator(), message))


@internal
@pure
def _signer(digest: bytes32, signature: Bytes[65]) -> address:
    """
    @dev Recovers the signer, and refuses all but the one canonical form of a
         signature: 65 bytes r, s, v with s in the lower half and v 27 or 28.
    @param digest The signed digest.
    @param signature The signature.
    @return address The signer, never the zero address.
    """
    if len(signature) != 65:
        refusals._refuse("signing: length is not 65")
    r: uint256 = convert(extract32(signature, 0), uint256)
    s: uint256 = convert(extract32(signature, 32), uint256)
    v: uint256 = convert(slice(signature, 64, 1), uint256)
    if s > convert(_MAX_S, uint256):
        refusals._refuse("signing: s is too high")
    if not (v == 27 or v == 28):
        refusals._refuse("signing: v is neither 27 nor 28")
    signer: address = ecrecover(digest, v, r, s)
    if signer == empty(address):
        refusals._refuse("signing: no signer")
    return signer
