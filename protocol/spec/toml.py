"""A job's file: what a requester writes in TOML, and how it becomes a spec.

The file leaves out what only the daemon knows (salt, requester, chain, key, seed, the time); a
`Draft` holds what it says, and `Draft.complete` makes the spec. docs/spec/job.md describes the
format; protocol.spec.render writes it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Final

from protocol import params
from protocol.addresses import to_checksum
from protocol.errors import InputError
from protocol.spec.columns import read_encoder, read_features, read_target
from protocol.spec.encoder import Input
from protocol.spec.job import JobSpec, Terms
from protocol.spec.model import Family, FeatureMap, ModelSpec, TrainingSpec, unsealable
from protocol.spec.parts import (
    ETHER,
    ChainRef,
    CohortSpec,
    EncryptionSpec,
    Envelope,
    Faulty,
    MeritBy,
    Outside,
    Part,
    Party,
    PaymentSpec,
    PrivacySpec,
    TimingSpec,
)
from protocol.spec.read import Problem, Reader, SpecError, read, shown
from protocol.tokens import NO_TOKENS, Tokens
from protocol.wire.codec import Range, encode

#: What a file may leave out, by section; '' is the top of the file.
DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "": {"version": params.PROTOCOL_VERSION, "outside": Outside.REFUSE},
    "model": {
        "hidden": 0,
        "map": FeatureMap.NONE,
        "map_width": 0,
        "map_scale": 0.0,
        "center": 0.0,
        "bias": 0.0,
        "weight_limit": 0.0,
    },
    "training": {
        "local_steps": 100,
        "batch_rows": 32,
        "rate": 0.5,
        "clip_norm": 2.0,
        "ridge": 0.0,
        "server_rate": 1.0,
        "momentum": 0.0,
    },
    "privacy": {"epsilon": None, "delta": 0.0, "dropouts": 0, "corrupt": 1, "sealed": False},
    "encryption": {
        "envelope": Envelope.PAILLIER,
        "key_bits": params.DEFAULT_KEY_BITS,
        "value_bits": 16,
    },
    "cohort": {
        "min_owners": params.MIN_BLOCK,
        "block_size": params.MIN_BLOCK,
        "admission": (),
        "shuffle": False,
    },
    "payment": {"token": ETHER, "merit": 0, "merit_by": MeritBy.WORTH},
    "timing": {
        "enrol_seconds": 600,
        "ready_seconds": 60,
        "contribute_seconds": 600,
        "commit_seconds": 600,
        "unmask_seconds": 120,
        "apply_seconds": 120,
        "finality_blocks": 3,
    },
}

#: Other defaults for the file of a sealed job: noise is on unless it says `epsilon = "none"`.
SEALED_DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "model": {"weight_limit": 64.0},
    "training": {"local_steps": 100, "batch_rows": 1000, "rate": 1e3, "clip_norm": 1.0},
    "privacy": {"epsilon": 8.0, "delta": 1e-5},
}

#: What a file says as privacy.proof, by envelope.
PROOFS: Final[Mapping[str, str]] = {
    each.value: each.proof for each in Envelope if each.proof != "none"
}

#: Other defaults for the file of a job whose contributions prove their norm: blocks of six bear one
#: liar.
PROOF_DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "encryption": {"envelope": Envelope.SHARES},
    "cohort": {"min_owners": 6, "block_size": 6},
}

_SECTIONS: Final[Mapping[str, type[Part]]] = {
    "model": ModelSpec,
    "training": TrainingSpec,
    "privacy": PrivacySpec,
    "encryption": EncryptionSpec,
    "cohort": CohortSpec,
    "payment": PaymentSpec,
    "timing": TimingSpec,
}
#: What only noise allows, by section (docs/design.md, section 5).
_NOISY: Final = {"privacy": ("dropouts",), "cohort": ("shuffle",)}
_TOP: Final = ("version", "title", "purpose", "outside")
_MAX_LIFETIME: Final = 366 * 86_400
_DAY: Final = 86_400
#: Stands for a token whose address cannot be read: no list has it.
_NOBODY: Final = bytes(19) + b"\x01"
_LIFETIMES: Final = ("lifetime_days", "lifetime_seconds")


@dataclass(frozen=True, slots=True)
class Draft:
    """What a job's file says: the terms, and how long after posting the job expires."""

    terms: Terms
    lifetime_seconds: int

    def complete(
        self,
        *,
        salt: bytes,
        requester: Party,
        chain: ChainRef,
        modulus: bytes,
        seed: bytes,
        now: int,
        base: bytes = b"",
        proof: bytes = b"",
        holdout: bytes = b"",
    ) -> JobSpec:
        """The spec of one posting at `now` (Unix seconds, the chain's clock).

        `salt` (16) and `seed` (32) are fresh random bytes; `modulus` is the requester's n, big
        endian, `base` the h of a short-order key, `proof` what a sealed job shows of n, `holdout`
        the digest of the rows that are published when the job ends, where they are. Raises
        SpecError where they do not fit the terms, such as a key of another size.
        """
        terms = {field.name: getattr(self.terms, field.name) for field in fields(Terms)}
        try:
            spec = JobSpec(
                **terms,
                salt=salt,
                requester=requester,
                chain=chain,
                seed=seed,
                modulus=modulus,
                expires_at=now + self.lifetime_seconds,
                base=base,
                proof=proof,
                holdout=holdout,
            )
        except Faulty as e:
            raise SpecError(tuple(Problem(*fault) for fault in e.faults)) from e
        size = len(encode(spec))
        if size > params.MAX_SPEC_BYTES:
            raise _one(
                f"the spec takes {size} bytes, {params.MAX_SPEC_BYTES} are allowed; "
                "use fewer columns, shorter names, or a shorter admission list"
            )
        return spec


def parse_toml(text: str, no_noise: bool = False, tokens: Tokens = NO_TOKENS) -> Draft:
    """Read a job's file. Raises SpecError with every problem that was found.

    `no_noise`: as if the file said `epsilon = "none"`, whatever it says of epsilon and delta. A
    setting that only noise allows is then a problem. `tokens`: those that the file may call by
    name, of the chain that the job will stand on.
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > params.MAX_SPEC_BYTES:
        raise _one(f"the file has {size} bytes; {params.MAX_SPEC_BYTES} are allowed")
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise _one(f"no valid TOML: {e}") from None
    except RecursionError:
        raise _one("no valid TOML for a job: nested too deeply") from None
    reader = _SpecReader(tokens)
    draft = reader.draft(reader.without_noise(document) if no_noise else document)
    if reader.problems or draft is None:
        raise SpecError(tuple(reader.problems))
    return draft


def _one(message: str) -> SpecError:
    return SpecError((Problem("", message),))


class _SpecReader(Reader):
    """Reads a whole file, section by section."""

    _sealed = False  # whether defaults are those of sealed jobs
    _encoded = False  # whether an encoder makes the features
    _proof = ""  # what the file says that contributions prove

    def __init__(self, tokens: Tokens) -> None:
        super().__init__()
        self._tokens = tokens

    def draft(self, document: Mapping[str, Any]) -> Draft | None:
        """What the file says; None if a problem was found that leaves nothing to go on with."""
        self.unknown(document, (*_TOP, "features", "encoder", "target", *_SECTIONS), "")
        top = self.values(Terms, document, "", DEFAULTS[""], _TOP)
        columns = self._columns(document)
        target = read_target(self, document.get("target"))
        tables: dict[str, Mapping[str, Any] | None] = {
            name: self.table(document.get(name, {}), name) for name in _SECTIONS
        }
        self._sealed = (tables["privacy"] or {}).get("sealed") is True
        self._read_proof(tables)
        parts = {
            name: None if table is None else self._section(name, table)
            for name, table in tables.items()
        }
        lifetime = self._lifetime(tables["timing"] or {})
        if top is None or columns is None or target is None or None in parts.values():
            return None
        features, entries = columns
        terms = self._terms({**top, "features": features, "target": target, **parts}, entries)
        if terms is None:
            return None
        least = terms.least_lifetime
        if lifetime is None:
            lifetime = min(max(2 * least, _DAY), _MAX_LIFETIME)
        if lifetime < least:
            self.wrong(
                "timing.lifetime_seconds",
                f"is {lifetime}; the deadlines of all rounds take {least} seconds together",
            )
        return Draft(terms, lifetime)

    def _columns(self, document: Mapping[str, Any]) -> tuple[tuple[Input, ...], list[int]] | None:
        """[[features]], or the one [encoder] that stands in their place."""
        self._encoded = "encoder" in document
        if not self._encoded:
            return read_features(self, document.get("features"))
        if "features" in document:
            self.wrong("features", "stand beside [encoder]; an encoder stands in their place")
        return read_encoder(self, document["encoder"])

    def _read_proof(self, tables: dict[str, Mapping[str, Any] | None]) -> None:
        """`privacy.proof` is another word for the envelope: "norm" is `shares`, "norm/16" is
        `shares/16`, and the other way round."""
        privacy, encryption = tables["privacy"] or {}, tables["encryption"] or {}
        said = encryption.get("envelope")
        if "proof" not in privacy:
            self._proof = PROOFS.get(said, "none") if isinstance(said, str) else "none"
            return
        self._proof = privacy["proof"]
        tables["privacy"] = {key: value for key, value in privacy.items() if key != "proof"}
        if self._proof not in ("none", *PROOFS.values()):
            allowed = ", ".join(map(repr, PROOFS.values()))
            self.wrong("privacy.proof", f"is {shown(self._proof)}; it is 'none', or of {allowed}")
        elif said is not None and PROOFS.get(said, "none") != self._proof:
            found = f"is {shown(said)}, and privacy.proof is {shown(self._proof)}"
            self.wrong(
                "encryption.envelope", f"{found}; proof = 'norm' needs the envelope 'shares'"
            )

    def without_noise(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The file's tables without their noise. Notes settings that need noise."""
        without = dict(document)
        for name, keys in _NOISY.items():
            table = document.get(name, {})
            if not isinstance(table, dict):
                continue  # said once the section is read
            for key in keys:
                if value := table.get(key):
                    found = f"is {shown(value)}, which only noise allows"
                    self.wrong(f"{name}.{key}", f"{found}; take it out, or leave the noise in")
            without[name] = {key: value for key, value in table.items() if key not in keys}
        if isinstance(privacy := without.get("privacy"), dict):
            privacy.pop("delta", None)
            privacy["epsilon"] = "none"
        return without

    def _terms(self, values: Mapping[str, Any], entries: list[int]) -> Terms | None:
        try:
            return Terms(**values)
        except Faulty as e:
            for fault in e.faults:
                # The spec's k-th feature need not stand in the file's k-th entry.
                match = re.match(r"features\[(\d+)\]", fault.field)
                entry = f"features[{entries[int(match[1])]}]" if match else ""
                self.wrong(entry + fault.field[match.end() if match else 0 :], fault.message)
        return None

    def _section(self, name: str, table: Mapping[str, Any]) -> Part | None:
        defaults = dict(DEFAULTS[name])
        if self._sealed and name == "model" and table.get("family") == Family.DENSE:
            # This comes before the faults of a dense model, because no width would help.
            self.wrong("model.family", unsealable(Family.DENSE))
            return None
        if self._sealed:
            defaults |= SEALED_DEFAULTS.get(name, {})
        if self._encoded and name == "model":
            defaults["map"] = FeatureMap.ENCODER
        if self._proof in PROOFS.values():
            defaults |= PROOF_DEFAULTS.get(name, {})
        if name == "encryption" and self._proof in PROOFS.values():
            defaults["envelope"] = Envelope(self._proof.replace("norm", "shares"))
        if name == "privacy" and table.get("epsilon") == "none":
            defaults["delta"] = 0.0
        if name == "cohort":
            defaults["max_owners"] = table.get("min_owners", defaults["min_owners"])
        if name == "payment":
            table = self._payment(table)
        also = _LIFETIMES if name == "timing" else ()
        return self.part(_SECTIONS[name], table, name, defaults, also)

    def _payment(self, table: Mapping[str, Any]) -> Mapping[str, Any]:
        """The section with a token's name as its address, and amounts as whole numbers."""
        named = table.get("token", "ether")
        if not isinstance(named, str):
            return table  # said once the section is read
        plain = {key: value for key, value in table.items() if key != "token"}
        try:
            token = self._tokens.address(named)
        except InputError as error:
            if named.startswith("0x"):  # else the unit would only be a second complaint
                self._amounts(plain, _NOBODY)
            self.wrong("payment.token", str(error))
            return plain | {key: 1 for key in ("rate", "merit") if key in plain}
        if token == ETHER:
            return plain
        return {"token": to_checksum(token), **self._amounts(plain, token)}

    def _amounts(self, table: Mapping[str, Any], token: bytes) -> dict[str, Any]:
        """The section's amounts as whole numbers; 1 in the place of one that is wrong."""
        plain = dict(table)
        for key in ("rate", "merit"):
            if key not in plain:
                continue
            amount = self.attempt(f"payment.{key}", self._tokens.parse, plain[key], token)
            plain[key] = 1 if amount is None else amount
        return plain

    def _lifetime(self, timing: Mapping[str, Any]) -> int | None:
        """Seconds until the job expires; None where the file leaves it to us."""
        given = [name for name in _LIFETIMES if name in timing]
        if not given:
            return None
        where = f"timing.{given[0]}"
        if len(given) > 1:
            self.wrong(where, "is given twice, in days and in seconds")
        unit = _DAY if given[0] == "lifetime_days" else 1
        hint = Annotated[float, Range(60 / unit, _MAX_LIFETIME / unit)]
        value: float | None = self.attempt(where, read, hint, timing[given[0]])
        return None if value is None else round(value * unit)
