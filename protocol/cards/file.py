"""An owner's card as a TOML file, and back as text: what is declared, and nothing else."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from protocol import params
from protocol.errors import InputError, Malformed
from protocol.spec.columns import expand_names
from protocol.spec.parts import ETHER
from protocol.spec.read import Reader, SpecError, joined, read, shown
from protocol.tokens import NO_TOKENS, Tokens
from protocol.wire.cards import Card, CardColumn, ColumnKind, bucket_of
from protocol.wire.codec import Range, Size

#: Bytes of a file: every column alone, with all that it may hold, takes less.
MAX_CARD_FILE_BYTES: Final = 256 * 1024

_TOP: Final = ("title", "valid_days", "columns", "purposes", "token", "least_rate")
_COLUMN: Final = ("name", "names", "kind", "words")
_DAY: Final = 86_400
_DEFAULT_DAYS: Final = 30
_TITLE: Final = Annotated[str, Size(1, params.MAX_TITLE_BYTES)]
_NAME: Final = Annotated[str, Size(1, params.MAX_NAME_BYTES)]
_DAYS: Final = Annotated[int, Range(1, params.MAX_CARD_SECONDS // _DAY)]


@dataclass(frozen=True, slots=True)
class CardDraft:
    """What a file declares. `purposes` or `rate` None: it leaves them to the policy."""

    title: str
    columns: tuple[CardColumn, ...]
    valid_seconds: int
    purposes: tuple[str, ...] | None
    token: bytes
    rate: int | None

    def complete(
        self,
        *,
        slot: int,
        sequence: int,
        now: int,
        rows: int,
        purposes: tuple[str, ...],
        rate: int,
    ) -> Card:
        """The card of a data set of so many `rows`, said at `now` (Unix seconds).

        `purposes` and `rate` stand in where the file leaves them out. Raises SpecError.
        """
        try:
            return Card(
                slot=slot,
                sequence=sequence,
                valid_until=now + self.valid_seconds,
                title=self.title,
                rows=bucket_of(rows),
                columns=self.columns,
                purposes=tuple(sorted(purposes if self.purposes is None else self.purposes)),
                token=self.token,
                rate=rate if self.rate is None else self.rate,
            )
        except Malformed as error:
            raise _problem("", str(error)) from None


def parse_card(text: str, tokens: Tokens = NO_TOKENS) -> CardDraft:
    """Read a card's file. Raises SpecError with every problem that was found.

    `tokens`: those that it may call by name.
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_CARD_FILE_BYTES:
        raise _problem("", f"the file has {size} bytes; {MAX_CARD_FILE_BYTES} are allowed")
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _problem("", f"no valid TOML: {error}") from None
    except RecursionError:
        raise _problem("", "no valid TOML for a card: nested too deeply") from None
    reader = _CardReader(tokens)
    draft = reader.draft(document)
    if reader.problems or draft is None:
        raise SpecError(tuple(reader.problems))
    return draft


def _problem(field: str, message: str) -> SpecError:
    reader = Reader()
    reader.wrong(field, message)
    return SpecError(tuple(reader.problems))


class _CardReader(Reader):
    """Reads a whole file, field by field."""

    def __init__(self, tokens: Tokens) -> None:
        super().__init__()
        self._tokens = tokens

    def draft(self, document: Mapping[str, Any]) -> CardDraft | None:
        """What the file says; None if a problem was found."""
        self.unknown(document, _TOP, "")
        title = self.attempt("title", read, _TITLE, document.get("title"))
        days = self.attempt("valid_days", read, _DAYS, document.get("valid_days", _DEFAULT_DAYS))
        columns = self._columns(document.get("columns"))
        purposes = self._texts(document, "purposes", params.MAX_CARD_PURPOSES)
        token, rate = self._payment(document)
        if self.problems or title is None or days is None:
            return None
        return CardDraft(title, columns, days * _DAY, purposes, token, rate)

    def _payment(self, document: Mapping[str, Any]) -> tuple[bytes, int | None]:
        given = document.get("token", "ether")
        if not isinstance(given, str):
            self.wrong("token", f"is {shown(given)}; allowed is ether, a token's name or address")
            return ETHER, None
        token: bytes | None = self.attempt("token", self._tokens.address, given)
        if "least_rate" not in document:
            return token or ETHER, None

        def amount(value: object) -> int:
            return self._tokens.parse(value, token or ETHER)

        if token is None:
            return ETHER, None  # its amount would only be a second complaint
        return token, self.attempt("least_rate", amount, document["least_rate"])

    def _columns(self, value: object) -> tuple[CardColumn, ...]:
        if not isinstance(value, list) or not value:
            given = "is missing" if value is None else f"is {shown(value)}"
            self.wrong("columns", f"{given}; write one [[columns]] for each column")
            return ()
        found: list[CardColumn] = []
        for i, entry in enumerate(value):
            path = f"columns[{i}]"
            table = self.table(entry, path)
            found += [] if table is None else self._entry(table, path)
            if len(found) > params.MAX_CARD_COLUMNS:
                self.wrong(path, f"is column {len(found)}; {params.MAX_CARD_COLUMNS} are allowed")
                break
        return tuple(found)

    def _entry(self, table: Mapping[str, Any], path: str) -> list[CardColumn]:
        self.unknown(table, _COLUMN, path)
        if ("name" in table) == ("names" in table):
            self.wrong(path, "takes either name, for one column, or names, for several alike")
            return []
        words = self._texts(table, "words", params.MAX_CARD_WORDS, path) or ()
        default = ColumnKind.CATEGORY if words else None
        kind = default or self.attempt(joined(path, "kind"), read, ColumnKind, table.get("kind"))
        if words and table.get("kind", "category") != "category":
            self.wrong(
                joined(path, "kind"), f"is {shown(table['kind'])}; what has words is a category"
            )
        if "name" in table:
            names = [self.attempt(joined(path, "name"), read, _NAME, table["name"])]
        elif isinstance(table["names"], str):
            where = joined(path, "names")
            names = list(
                self.attempt(where, expand_names, table["names"], params.MAX_CARD_COLUMNS) or ()
            )
        else:
            names = list(self._texts(table, "names", params.MAX_CARD_COLUMNS, path) or ())
        columns = []
        for name in names:
            if name is None or kind is None:
                continue
            column = self.attempt(path, _column, name, kind, words)
            if column is not None:
                columns.append(column)
        return columns

    def _texts(
        self, table: Mapping[str, Any], key: str, limit: int, path: str = ""
    ) -> tuple[str, ...] | None:
        """A list of texts; whole numbers stand for the text that a file has for them."""
        if key not in table:
            return None
        value, where = table[key], joined(path, key)
        if not isinstance(value, list) or len(value) > limit:
            self.wrong(where, f"is {shown(value)}; allowed is a list of up to {limit} texts")
            return None
        texts = [str(one) if type(one) is int else one for one in value]
        found = [self.attempt(f"{where}[{k}]", read, _NAME, one) for k, one in enumerate(texts)]
        return tuple(one for one in found if one is not None)


def _column(name: str, kind: ColumnKind, words: tuple[str, ...]) -> CardColumn:
    try:
        return CardColumn(name, kind, words)
    except Malformed as error:
        raise InputError(str(error)) from None
