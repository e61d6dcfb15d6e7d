"""Every limit of the protocol, once, with its reason. Tests stand at each limit and one past it."""

from __future__ import annotations

from typing import Final

#: Version of messages, blobs and spec files. A peer that speaks another is told so and left alone.
PROTOCOL_VERSION: Final = 1

#: Gossip stays under this size: larger messages can interleave when a peer joins (measured).
MAX_GOSSIP_BYTES: Final = 60 * 1024

#: A batch up to this size travels inside its header; the rest of a gossip message is its envelope.
MAX_INLINE_BATCH_BYTES: Final = 48 * 1024

#: A request or its reply over a private stream (ready, enrolment, sync): bounded before reading.
MAX_STREAM_MESSAGE_BYTES: Final = 1024 * 1024

#: Blobs move in chunks of this size: length-prefixed reads above 6.8 MB fail (measured).
CHUNK_BYTES: Final = 1024 * 1024

#: The largest blob: a batch of 100 million parameters at 5.5 bytes, rounded up.
MAX_BLOB_BYTES: Final = 640 * 1024 * 1024

#: A job's spec: thousands of features with names and ranges, and a 7680-bit key, fit many times.
MAX_SPEC_BYTES: Final = 256 * 1024

#: Members of a block: below 5 a sum hides too little, above 32 shares grow as its square.
MIN_BLOCK: Final = 5
MAX_BLOCK: Final = 32

#: Rounds of a job: one word of round bits a job and account, its top bit kept for merit.
MAX_ROUNDS: Final = 255

#: Owners enrolled in one job.
MAX_COHORT: Final = 4096

#: Attempts of one round before the job's requester gives up on it.
MAX_ATTEMPTS: Final = 16

#: Paillier moduli, bits. 2048 is 112-bit security, kept for tests of interoperation; 3072 is 128.
KEY_BITS: Final = (2048, 3072, 4096, 7680)
DEFAULT_KEY_BITS: Final = 3072

#: A line on the control socket, either way: a spec of MAX_SPEC_BYTES escaped as JSON fits four times.
MAX_CONTROL_LINE_BYTES: Final = 2 * 1024 * 1024

#: Clients of the control socket at once: a person, a few watchers and a script are far below it.
MAX_CONTROL_CLIENTS: Final = 128

#: Calls in one JSON-RPC batch; each may cost a computation.
MAX_CONTROL_BATCH: Final = 64

#: Subscriptions of one control connection.
MAX_CONTROL_SUBSCRIPTIONS: Final = 8

#: Events that a subscriber may lag behind before it is dropped; also how many are replayed to a new one.
MAX_EVENT_BACKLOG: Final = 1024
