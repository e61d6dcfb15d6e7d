"""Limits of encoder packages, what they hold, and the process that runs them, with their reasons.

Those of a job's recipe stand in protocol/params.py.
"""

from __future__ import annotations

from typing import Final

from node.bounds import pictures

#: What an encoder package says of itself: a title, a licence, a source and a few numbers.
MAX_ENCODER_MANIFEST_BYTES: Final = 2048
MAX_ENCODER_WORDS_BYTES: Final = 300

#: A tokenizer.json: those of 30,000 words take half a MiB, those of 250,000 take 17.
MAX_TOKENIZER_BYTES: Final = 24 * 1024 * 1024
#: Words and merges of a tokenizer, each of which costs its reader memory, and its JSON's depth.
MAX_TOKENIZER_ENTRIES: Final = 1_000_000
MAX_TOKENIZER_DEPTH: Final = 16

#: Operators of a network: BERT's six layers take 300, its twelve 600, a vision network a thousand.
MAX_ENCODER_NODES: Final = 8192
#: Fields of its file, counted before it is parsed, because each costs memory: 16 for each operator.
MAX_ENCODER_FIELDS: Final = 131_072
#: Bytes of one name in it, or of one operator's text attribute.
MAX_ENCODER_NAME_BYTES: Final = 512
#: Numbers of a weight that is not raw bytes, or of an attribute: shapes, axes, scales.
MAX_ENCODER_LIST: Final = 4096
#: Dimensions of a tensor: four of a picture, and a few for what heads and patches are cut into.
MAX_ENCODER_RANK: Final = 8
#: Versions of ONNX's operators that an encoder may be written in: from 13 on axes are inputs, and
#: 21 is the newest that was tried.
ENCODER_OPSETS: Final = (13, 21)

#: A text is cut to so many characters before it becomes tokens: 100 for each of the most tokens.
MAX_ENCODER_CHARACTERS: Final = 64 * 1024
#: A picture's file, and its pixels (node/bounds/pictures.py says why).
MAX_IMAGE_BYTES: Final = pictures.MAX_IMAGE_BYTES
MAX_IMAGE_PIXELS: Final = pictures.MAX_IMAGE_PIXELS

#: Address space of the process that runs an encoder: a package four times over (its bytes, parsed,
#: written again, and as the runtime packs it), its largest picture, and a GiB for libraries.
ENCODER_MEMORY_BYTES: Final = 4 * 1024 * 1024 * 1024
#: Seconds for it to start and to read a package, and for one row: a text of 512 tokens takes half a
#: second with 100 million weights.
ENCODER_START_SECONDS: Final = 180
ENCODER_ROW_SECONDS: Final = 30
