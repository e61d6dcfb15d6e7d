"""A package's tokenizer: its file read strictly, its words alone taken, a text cut to its tokens.

The tokenizers library runs whatever the file describes. Parts that stand on the list below split
and normalise by fixed rules; a regular expression of somebody else's, which can take for ever on a
text made for it, is refused. Padding and truncation are the recipe's, never the file's.

Runs in the confined process. Format: tokenizers' `tokenizer.json`, version 1.0.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from tokenizers import Tokenizer

from node.bounds.nesting import nests_deeper
from node.encoders import limits
from protocol.errors import InputError

_MODELS: Final = frozenset({"WordPiece", "BPE", "Unigram", "WordLevel"})

#: Parts of a tokenizer, by where they stand. 'Split' and 'Replace' take a text, not an expression.
_PARTS: Final = {
    "normalizer": frozenset(
        {
            "BertNormalizer",
            "Lowercase",
            "NFC",
            "NFD",
            "NFKC",
            "NFKD",
            "Nmt",
            "Prepend",
            "Replace",
            "Strip",
            "StripAccents",
            "Sequence",
        }
    ),
    "pre_tokenizer": frozenset(
        {
            "BertPreTokenizer",
            "ByteLevel",
            "Digits",
            "Metaspace",
            "Punctuation",
            "Sequence",
            "Split",
            "Whitespace",
            "WhitespaceSplit",
        }
    ),
    "post_processor": frozenset(
        {"BertProcessing", "ByteLevel", "RobertaProcessing", "Sequence", "TemplateProcessing"}
    ),
}

_KNOWN: Final = frozenset(
    {*_PARTS, "version", "truncation", "padding", "added_tokens", "decoder", "model"}
)


class TextReader:
    """A tokenizer that was read and is bound to a recipe's length."""

    def __init__(self, data: bytes, max_tokens: int) -> None:
        """Raises InputError, whose field is 'encoder.tokenizer', if the file is not allowed."""
        said = _checked(data)
        try:
            self._tokenizer = Tokenizer.from_str(json.dumps(said))
        except Exception as error:  # noqa: BLE001
            # The library raises bare Exception for whatever its parser finds.
            raise _refused(f"the library cannot read it: {error!s:.200}") from None
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens, stride=0, direction="right")

    def ids(self, text: str) -> tuple[list[int], list[int]]:
        """Ids and types of a text's tokens, special ones included, at most the recipe's length.

        The text is first cut to MAX_ENCODER_CHARACTERS. Raises InputError if nothing is left.
        """
        cut = text[: limits.MAX_ENCODER_CHARACTERS]
        try:
            found = self._tokenizer.encode(cut, add_special_tokens=True)
        except Exception as error:  # noqa: BLE001
            raise InputError(f"cannot be turned into tokens: {error!s:.200}") from None
        if not found.ids:
            raise InputError("has no token: it is empty, or nothing but what the tokenizer drops")
        return found.ids, found.type_ids


def _checked(data: bytes) -> dict[str, Any]:
    """The file as the library may read it."""
    if len(data) > limits.MAX_TOKENIZER_BYTES:
        raise _refused(f"{len(data)} bytes; at most {limits.MAX_TOKENIZER_BYTES} are allowed")
    if nests_deeper(data, limits.MAX_TOKENIZER_DEPTH):
        raise _refused(f"it nests deeper than {limits.MAX_TOKENIZER_DEPTH}")
    try:
        said = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _refused(f"it is no JSON: {error!s:.200}") from None
    if not isinstance(said, dict) or not isinstance(said.get("model"), dict):
        raise _refused("it is no tokenizer.json: its model is missing")
    unknown = sorted(set(said) - _KNOWN)
    if unknown:
        raise _refused(f"it has a part {unknown[0]!a:.60}, which is not known")
    model = said["model"]
    if model.get("type") not in _MODELS:
        allowed = ", ".join(sorted(_MODELS))
        raise _refused(f"its model is {model.get('type')!a:.60}; allowed are {allowed}")
    if model.get("dropout"):
        raise _refused("its model draws numbers (dropout)")
    entries = sum(
        len(each)
        for each in (model.get("vocab"), model.get("merges"), said.get("added_tokens"))
        if isinstance(each, dict | list)
    )
    if entries > limits.MAX_TOKENIZER_ENTRIES:
        most = limits.MAX_TOKENIZER_ENTRIES
        raise _refused(f"it has {entries} words and merges; allowed are at most {most}")
    for place, allowed_types in _PARTS.items():
        for part in _nested(said.get(place), place):
            _check_part(part, place, allowed_types)
    # What the recipe decides, and what only turns tokens into text again.
    return {**said, "truncation": None, "padding": None, "decoder": None}


def _check_part(part: Any, place: str, allowed: frozenset[str]) -> None:
    if not isinstance(part, dict) or part.get("type") not in allowed:
        kind = part.get("type") if isinstance(part, dict) else part
        raise _refused(f"its {place} has {kind!a:.60}, which is not on the list (docs/encoders.md)")
    pattern = part.get("pattern")
    if isinstance(pattern, dict) and set(pattern) != {"String"}:
        raise _refused(f"its {place} has a regular expression")


def _nested(part: Any, place: str) -> Iterator[Any]:
    """The part and those in its sequences; none where there is none."""
    if part is None:
        return
    yield part
    if isinstance(part, dict) and part.get("type") == "Sequence":
        lists = [each for each in part.values() if isinstance(each, list)]
        for each in (inner for found in lists for inner in found):
            yield from _nested(each, place)


def _refused(what: str) -> InputError:
    return InputError(f"the tokenizer is refused: {what}", "encoder.tokenizer")
