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

#: A member's word to each other one: two shares of 32 bytes, or nothing where both know them.
#: Hashes of shares are cut to 128 bits, which is what a second preimage then costs.
SHARE_BYTES: Final = 32
SHARE_HASH_BYTES: Final = 16
SHARE_BOX_BYTES: Final = 2 * SHARE_BYTES

#: Blocks of the largest cohort.
MAX_BLOCKS: Final = 4096 // MIN_BLOCK

#: Blocks and, where they are drawn anew, rounds from which the worth of contributions is told.
TELLING_BLOCKS: Final = 3
TELLING_ROUNDS: Final = 4

#: Enrolment roots of one job: the first, and those of later owners, who form blocks of their own.
MAX_GROUPS: Final = 64

#: The first so many members fetch a list or a model straight from the requester, and each owner
#: then serves so many further members: the requester's bytes do not grow with the cohort.
DIRECT_FETCHERS: Final = 8
FETCH_FANOUT: Final = 3

#: How long a member waits for those, and for the first member of its block with the block's roster,
#: before it asks the requester itself, milliseconds.
FETCH_PATIENCE_MS: Final = 5_000
ROSTER_PATIENCE_MS: Final = 2_000

#: Rounds in a row that may move nothing (no block's sum could be opened) before the job ends: every
#: one of them is paid for.
MAX_LOST_ROUNDS: Final = 3

#: Rounds of a job: one word of round bits a job and account, its top bit kept for merit.
MAX_ROUNDS: Final = 255

#: Rounds in one claim: the contract's limit, which bounds its memory. More rounds are more claims.
MAX_CLAIM_ROUNDS: Final = 32

#: Accounts and rounds in one payment of whole rounds, the contract's limits: a byte names an
#: account, and rounds are bits beside it in a word.
MAX_WHOLE_ACCOUNTS: Final = 256
MAX_WHOLE_ROUNDS: Final = 96

#: Contributions in one payment of whole rounds: 61 KB of calldata, about 2 million gas beside what
#: accounts are paid by. More are more payments.
MAX_WHOLE_CONTRIBUTIONS: Final = 2048

#: Owners enrolled in one job.
MAX_COHORT: Final = 4096

#: Attempts of one round before the job's requester gives up on it.
MAX_ATTEMPTS: Final = 16

#: Paillier moduli, bits. 2048 is 112-bit security, kept for tests of interoperation; 3072 is 128.
KEY_BITS: Final = (2048, 3072, 4096, 7680)
DEFAULT_KEY_BITS: Final = 3072

#: A line that a control client sends: a spec of MAX_SPEC_BYTES fits, even with every byte escaped.
MAX_CONTROL_LINE_BYTES: Final = 2 * 1024 * 1024

#: Clients of the control socket at once: a person, a few watchers and a script are far below it.
MAX_CONTROL_CLIENTS: Final = 128

#: Calls in one JSON-RPC batch; each may cost a computation.
MAX_CONTROL_BATCH: Final = 64

#: Bytes of replies to one batch, after which its calls are refused: memory that one client holds.
#: A whole batch of `rpc.discover` fits, which is the longest reply but for a job of many rounds.
MAX_CONTROL_BATCH_REPLY_BYTES: Final = 12 * 1024 * 1024

#: Subscriptions of one control connection.
MAX_CONTROL_SUBSCRIPTIONS: Final = 8

#: Events that a subscriber may lag behind before it is dropped; also how many a new one may replay.
MAX_EVENT_BACKLOG: Final = 1024

#: Seconds for a control client to finish a line that it began.
CONTROL_LINE_SECONDS: Final = 30

#: Seconds for a control client to take a line that is sent to it; draining waits as long at most.
CONTROL_WRITE_SECONDS: Final = 5

#: Seconds that a control client may stay silent without a subscription before its slot is taken.
CONTROL_IDLE_SECONDS: Final = 600

#: Parameters of a model: its float64 weights must fit a blob (83.8 million would).
MAX_PARAMETERS: Final = 80_000_000

#: A refusal's reason, UTF-8 bytes: one line for a person.
MAX_REASON_BYTES: Final = 300

#: Frames in a reply to Ask: a job has six kinds of latest messages; jobs come in pages.
MAX_TOLD_FRAMES: Final = 16

#: What is left of a digest where it only says "I have that one": a wrong guess costs a repetition.
HELD_BYTES: Final = 8

#: How long an owner hears nothing of its job before it asks, milliseconds; each further time that
#: nothing new is told, twice as long, up to the second number: an opening that was missed must be
#: heard of well before members have to be ready.
ASK_AFTER_MS: Final = 4_000
ASK_AT_LEAST_MS: Final = 8_000

#: How often a requester announces a job that still enrols, milliseconds.
ANNOUNCE_EVERY_MS: Final = 10_000

#: Numbers that one step of training holds, rows times the widths of all layers: half a GiB as
#: float64, and a worker keeps a few such arrays. A spec must not exhaust an owner's memory.
MAX_STEP_CELLS: Final = 64 * 1024 * 1024

#: Bits of a quantised value, sign included. Below 4 there is little left of a gradient; above 32
#: rounding's 32 coins a value would no longer be finer than float64's own error.
VALUE_BITS: Final = (4, 32)

#: An encoder package: a network of 100 million weights as 32-bit floats, and its tokenizer.
MAX_ENCODER_BYTES: Final = 512 * 1024 * 1024

#: Features that an encoder makes: with a bias they are the most that a sealed model has.
MAX_ENCODER_FEATURES: Final = 1023

#: Tokens of one text: what encoders of the BERT family were trained to read.
MAX_ENCODER_TOKENS: Final = 512

#: Pixels of a side of the image that a network reads.
MAX_ENCODER_SIDE: Final = 1024

#: Features of a sealed model: its statistics are as many numbers squared, 16 MiB at this many, and
#: an owner's round takes as many products of ciphertexts (a quarter of an hour at 3072 bits).
MAX_SEALED_FEATURES: Final = 1024

#: Bits behind the point in a sealed model's step. Its matrix' entries, at most 1, are off by 2^-17
#: then: below the rounding of 16-bit weights. Each further bit widens all lanes, and every exponent
#: of the encrypted product.
SEALED_FRACTION_BITS: Final = 16

#: Classes of a model whose use is sold. A label of so many takes 35,000 gates and 11,000 transfers:
#: two seconds, and two megabytes.
MAX_QUERY_CLASSES: Final = 256

#: Bits of the sum of a class's magnitudes in a private query. Rounding MAX_SEALED_FEATURES weights
#: moves it by 2^9, little beside 2^16; at 28 bits a score has 44, and each of them costs gates.
QUERY_SUM_BITS: Final = (16, 28)

#: A lane of a label's query is blinded with so many bits above its number: the blinding carries
#: into the next lane, and a label may be wrong, with a probability of 2^-40 a class. Nothing
#: secret depends on it.
QUERY_SLACK_BITS: Final = 40

#: Bytes of one part of a private query: 1,024 features at 7680 bits take 1.9 MiB, a circuit of 256
#: classes 1.5 MiB.
MAX_QUERY_BYTES: Final = 4 * 1024 * 1024

#: Queries of one channel: an amount is a count times the price.
MAX_SALE_QUERIES: Final = 2**32 - 1

#: A seller takes no query that comes closer to its channel's expiry: it needs the time to redeem.
SALE_MARGIN_SECONDS: Final = 3600

#: Rows of a batch that an offer may take, and a minute and buyer: each costs a worker half a second
#: at 3072 bits.
MAX_OFFER_BATCH: Final = 100_000
MAX_OFFER_MINUTE: Final = 6_000

#: What arithmetic accepts as a key at all. Specs allow KEY_BITS only; the simulator and tests use
#: short keys, which no configuration of the daemon can reach.
ARITH_KEY_BITS: Final = (256, 8192)

#: Features of a job and categories of one of them. MAX_INPUTS bounds them together, categories
#: one-hot, so that a row of floats stays within 128 KiB.
MAX_FEATURES: Final = 4096
MAX_CATEGORIES: Final = 1024
MAX_INPUTS: Final = 16_384

#: Words that stand for a gap in one column: people write a few, and every cell is held to them.
MAX_GAP_WORDS: Final = 16

#: Bytes of a name (column, category, class) in a job's spec; they are shown in terminals.
MAX_NAME_BYTES: Final = 64

#: Bytes of a job's title.
MAX_TITLE_BYTES: Final = 120

#: Peers whose word on why they do not take a job is kept, for a person to read. Anybody may say it,
#: and each costs the requester's state a hundred bytes.
MAX_DECLINED: Final = 256

#: Above these a job's noise is called weak, and posted all the same. Published guidance calls
#: epsilon up to 10 reasonable (Ponomareva et al. 2023, tier 2), and asks for a delta far below
#: 1 / rows; at 1e-3 that is missed by every owner of a thousand rows.
WEAK_EPSILON: Final = 10.0
WEAK_DELTA: Final = 1e-3

#: Seconds that a commitment may wait for the chain: a cancellation's notice is longer than this.
MAX_COMMIT_SECONDS: Final = 3600

#: Seconds from a cancellation to its effect: the contract's NOTICE, for messages about it.
CANCEL_NOTICE_SECONDS: Final = 7200

#: Chain blocks on top of a commitment before shares are released.
MAX_FINALITY_BLOCKS: Final = 1024

#: What a job may escrow, in the token's smallest unit: no token has more, no product overflows.
MAX_ESCROW: Final = 2**128 - 1

#: Pay for one contribution, in the token's smallest unit: the contract holds it in 96 bits, which
#: are 79 billion ether.
MAX_RATE: Final = 2**96 - 1

#: Longest gossip topic or stream protocol name: "/assay/<kind>/<32-byte digest in hex>" fits twice.
MAX_TOPIC_BYTES: Final = 160

#: Topics that one peer may announce, and that one node follows: a few per job it takes part in.
MAX_TOPICS: Final = 256

#: Connections that a node dials of its own accord, and that it holds at most (both directions).
TARGET_PEERS: Final = 6
MAX_CONNECTIONS: Final = 128

#: Time to open a connection, or a stream on it, before the address counts as dead, seconds.
DIAL_SECONDS: Final = 10

#: Seconds for a dialler to say its first word, and connections that may wait for it: they cost a
#: socket each and hold no place among the connections.
SILENT_SECONDS: Final = 5
MAX_SILENT_CONNECTIONS: Final = 128

#: Handshakes at once, overall and from one address (several honest nodes may share one), and the
#: seconds that one may take: a quarter of a second where nobody is late.
MAX_HANDSHAKES: Final = 64
MAX_HANDSHAKES_OF_ONE: Final = 32
HANDSHAKE_SECONDS: Final = 5

#: Gossip from one peer, which forwards what others wrote too: above the measured 100 messages a
#: second a core can verify, so that an honest burst is delayed and a flood costs one core's share.
GOSSIP_MESSAGES_PER_SECOND: Final = 150
GOSSIP_BYTES_PER_SECOND: Final = 4 * 1024 * 1024

#: Protobuf fields in one gossip frame, counted before it is parsed, because parsing costs memory:
#: 5,000 ids, gossipsub's own bound of an IHAVE, beside all messages and topics that fit a frame.
MAX_GOSSIP_FIELDS: Final = 8192
#: Ids in one frame's control messages: gossipsub's own bound.
MAX_GOSSIP_IDS: Final = 5000
#: Control messages and subscriptions in one frame: one of each kind for every topic.
MAX_GOSSIP_ENTRIES: Final = 4 * 256
#: Ids offered in one frame that are looked up: three seconds of a peer's messages, as many as a
#: heartbeat of ours offers.
MAX_GOSSIP_OFFERS: Final = 512

#: A peer's account of itself (identify), pushed: go-libp2p's own bound, and more than an honest one
#: has to say. Pushes follow from changes of addresses and protocols, which are rare.
MAX_IDENTIFY_BYTES: Final = 8 * 1024
MAX_IDENTIFY_NAMES: Final = 64
IDENTIFY_PUSHES_PER_SECOND: Final = 1

#: Requests from one peer: chunks of a blob come as one request each, 64 MiB/s at this rate.
REQUESTS_PER_SECOND: Final = 64
MAX_STREAMS_PER_PEER: Final = 64
#: Streams that a peer opens, whatever becomes of them: one that is reset at once is work, too, and
#: never among those that are open. Requests, and as many for all else.
STREAMS_PER_SECOND: Final = 2 * REQUESTS_PER_SECOND

#: Gossip that waits: for one slow peer to take it, and for one topic's reader here.
GOSSIP_QUEUE_MESSAGES: Final = 512
GOSSIP_QUEUE_BYTES: Final = 8 * 1024 * 1024
GOSSIP_INBOX_MESSAGES: Final = 512

#: Penalty points at which a peer is banned; seconds in which points fade and a ban lasts.
BAN_POINTS: Final = 100
PENALTY_HALF_LIFE_SECONDS: Final = 120
BAN_SECONDS: Final = 600

#: Bytes that may wait unread on one connection: flow control is the sender's promise, not a fact.
MAX_BUFFERED_BYTES: Final = 32 * 1024 * 1024

#: Chunks of one blob asked for at once; seconds in which 64 KiB of a transfer must arrive.
CHUNKS_IN_FLIGHT: Final = 4
PROGRESS_SECONDS: Final = 15

#: Peers named in one answer to "whom do you know", and the bytes of such an answer.
MAX_PEERS_PER_ANSWER: Final = 32
MAX_PEER_RECORD_BYTES: Final = 2048

#: Dialling back at a peer's asking: at once and a minute over all, and seconds until the same peer
#: or address is dialled again. It is a service to others, so that a stranger's wish costs little;
#: a person who mends a router asks again within half a minute.
DIAL_BACKS_AT_ONCE: Final = 4
DIAL_BACKS_PER_MINUTE: Final = 12
DIAL_BACK_PAUSE_SECONDS: Final = 30

#: Seconds for one dial and its handshake. One that fails is told after all of them, whatever the
#: cause: how fast a port refuses is nothing that a stranger may learn of a machine.
DIAL_BACK_SECONDS: Final = 5

#: Ports below belong to services that a machine runs for others: mail, shells, name servers.
LEAST_DIAL_BACK_PORT: Final = 1024

#: Bytes that prove which question a dial answers, and peers that one look asks.
DIAL_NONCE_BYTES: Final = 32
DIAL_BACK_PEERS: Final = 3

#: The record of worth of the longest job: its header, and 40 bytes a round besides 20 for each
#: member of the largest cohort in blocks of one.
MAX_RECORD_BYTES: Final = 12 + MAX_ROUNDS * (40 + MAX_COHORT * 20)

#: A list of signed messages: the largest cohort at 640 bytes an enrolment.
MAX_LIST_BYTES: Final = MAX_COHORT * 640

#: Entries of one list in a dataset's policy; a person keeps it.
MAX_POLICY_ENTRIES: Final = 256

#: Gossip contents remembered as seen: some minutes of the busiest topic.
MAX_SEEN: Final = 8192

#: Data sets of one node. A file: read into memory whole by a worker. Columns: as many as a job may
#: have inputs. Rows and cells: half a GiB as 64-bit floats, so that the imported copy is a blob.
#: A training matrix (rows times inputs, categories one-hot): one GiB.
MAX_DATASET_FILE_BYTES: Final = 1024 * 1024 * 1024
MAX_DATASET_COLUMNS: Final = MAX_INPUTS
MAX_DATASET_ROWS: Final = 16 * 1024 * 1024
MAX_DATASET_CELLS: Final = 64 * 1024 * 1024
MAX_MATRIX_CELLS: Final = 128 * 1024 * 1024

#: A statement for a database: a page of SQL, and room for a list of what is selected.
MAX_SQL_CHARACTERS: Final = 64 * 1024

#: Seconds that a statement may take, waiting for its rows included: a person looks on.
MAX_SQL_SECONDS: Final = 1800

#: The first line of a CSV: MAX_DATASET_COLUMNS names that a person can still tell apart.
MAX_HEADER_BYTES: Final = 4 * 1024 * 1024

#: Cards of data sets: a signed envelope fits this many bytes, so that a full table takes 32 MiB.
MAX_CARD_BYTES: Final = 8 * 1024
#: Columns of a card, the words of one of them, and purposes: what a person reads and searches.
MAX_CARD_COLUMNS: Final = 256
MAX_CARD_WORDS: Final = 64
MAX_CARD_PURPOSES: Final = 16
#: Buckets of row counts: below 100, then by half powers of ten to ten million and more.
MAX_ROWS_BUCKET: Final = 11

#: Cards of one peer: a hospital's data sets. Of all peers, own ones not counted; when so many are
#: known, others make room (protocol/cards/table.py).
MAX_CARDS_OF_PEER: Final = 16
MAX_CARDS: Final = 4096

#: Seconds that a card may be valid: whoever still means it says so again by hand. A day more for
#: clocks that differ.
MAX_CARD_SECONDS: Final = 90 * 86_400
CARD_SKEW_SECONDS: Final = 86_400

#: Words of one peer about its cards: two for each of its slots at once, then one in 30 seconds.
CARD_BURST: Final = 2 * MAX_CARDS_OF_PEER
CARD_REFILL_SECONDS: Final = 30

#: How often an owner says its cards again: those that missed one ask for it sooner.
CARD_AGAIN_SECONDS: Final = 600

#: Cards in one answer to AskCards: half a MiB at most.
MAX_TOLD_CARDS: Final = 64

#: Such answers that one peer gets, a second and at once; a full table takes a minute.
TOLD_PAGES_PER_SECOND: Final = 1
TOLD_PAGES_AT_ONCE: Final = 16

#: Jobs that a node follows at once; while they run, more announcements are not taken.
MAX_JOBS: Final = 4096

#: A sealed job's key shows that gcd(n, phi(n)) = 1 by n-th roots of numbers that nobody chose. No
#: prime below ALPHA divides n (arithmetic tries them all), so of a bad n at most one challenge in
#: ALPHA has a root; so many of them leave a forger ALPHA^-ROOTS = 2^-128, the keys' security.
KEY_PROOF_ALPHA: Final = 1 << 16
KEY_PROOF_ROOTS: Final = 8

#: Values of a vector whose norm is proven: pieces of 8 MiB, of which a member gets one from each
#: other member of its block.
MAX_PROVEN_VALUES: Final = 1 << 20

#: A norm that can be proven, in steps of the wire's grid: 81 (8 x 127)^2 times its square stays
#: below p, so that no sum of squares wraps around (docs/spec/proofs.md, 'Soundness').
MAX_PROVEN_BOUND: Final = 469_703

#: A false proof passes with 2^-80 at most, for a dealer that tries 2^48 commitments in one attempt:
#: a thousand cores with a million tries a second for three days.
PROOF_SOUNDNESS_BITS: Final = 80
PROOF_TRIES_BITS: Final = 48

#: One block's words on its dealers, whole: 32 words of 32 dealers, each of the largest statement,
#: below 18 KiB, signed and with their dealings.
MAX_WORD_BYTES: Final = 20 * 1024
MAX_WORDS_BYTES: Final = MAX_BLOCK * MAX_WORD_BYTES + 1024
MAX_VERDICT_BYTES: Final = MAX_BLOCK * (MAX_BLOCK * MAX_WORD_BYTES + 8 * 1024)
