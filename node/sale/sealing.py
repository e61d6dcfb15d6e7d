"""How secrets of sales lie in the store: sealed under a key that follows from the identity.

States hold seeds, and a model's weights are what is sold. One who reads the file alone reads
neither (docs/adr/0301).
"""

from __future__ import annotations

from typing import Final

from node.home.keys import Keys
from node.home.vault import decrypt, encrypt
from protocol.errors import FatalError

#: A state: terms, a voucher, four blobs, a result of 256 classes.
MAX_STATE_BYTES: Final = 64 * 1024
#: An offer's bytes.
MAX_OFFER_BYTES: Final = 1024

_PURPOSE: Final = "sales"


class Sealer:
    """Seals what belongs to sales; each under its name, so that none stands for another."""

    def __init__(self, keys: Keys) -> None:
        self._key = keys.derive(_PURPOSE)

    def __repr__(self) -> str:
        return "<Sealer>"

    def seal(self, name: str, plain: bytes) -> bytes:
        """`plain`, sealed under `name`."""
        return encrypt(self._key, plain, name.encode())

    def unseal(self, name: str, sealed: bytes) -> bytes:
        """What was sealed. Raises FatalError where it does not open: a store of other keys."""
        plain = decrypt(self._key, sealed, name.encode())
        if plain is None:
            raise FatalError(f"the store's {name} does not open with this home's keys")
        return plain
