"""The one interface between the control socket and the node: all that a daemon can be asked.

The daemon implements `NodeApi`; node.control.methods puts one JSON-RPC method in front of each
call. Every call may raise any error of protocol.errors. An exception's notes (`add_note`) are taken
for the next command: `error.add_note("assay data list")` reaches the user as such.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

from node.control.cards.results import Matches, OfferDetail, Offers, OwnCard, WithdrawnCard
from node.control.data_results import DatasetChanged, DatasetRemoved, DatasetView
from node.control.encoders.results import Encoder, EncoderDetail, EncoderRemoved
from node.control.holding.results import Held
from node.control.job_results import (
    Audit,
    Cancelled,
    Claim,
    Consent,
    JobDetail,
    JobSummary,
    ModelFile,
    Posted,
)
from node.control.money.results import Account, Earnings, Quote, Sent
from node.control.network.results import Reach
from node.control.results import (
    Dataset,
    Explained,
    Joined,
    Peer,
    Policy,
    PolicyValue,
    Privacy,
    Status,
    Stopping,
)
from node.control.sale.api import SaleApi


class NodeApi(SaleApi, Protocol):
    """A running node. Calls come from many clients at once, all on the daemon's trio thread."""

    def status(self) -> Status:
        """A snapshot. Not a coroutine: it cannot wait for anything."""

    async def peers(self) -> tuple[Peer, ...]:
        """Connected peers."""

    async def join(self, address: str, channels: str | None) -> Joined:
        """Dial a multiaddr that ends in /p2p/ID, and remember it; and `channels`, the network's
        channel contract, where this home knows none.

        Raises InputError (no multiaddr, no address), StateError (this home has another channel
        contract), PeerError (nobody answers, or somebody else does).
        """

    async def reach(self) -> Reach:
        """Ask up to three connected peers to dial this node by new connections, within 20 s.

        Whoever asks while one look runs gets its result.
        """

    async def stop(self) -> Stopping:
        """Begin to drain; return at once. The reply is sent before the socket closes."""

    async def pause(self) -> Held:
        """Take no job and begin no attempt from now on; on disk when it returns. Twice is once."""

    async def resume(self) -> Held:
        """Go on, and look again at every job that waits. Twice is once."""

    async def data_add(
        self,
        name: str,
        path: str,
        separator: str | None,
        decimal: str | None,
        encoding: str | None,
        other_people: tuple[str, ...] = (),
        columns: str | None = None,
        holdout: bool = False,
        header: bool | None = None,
        names: tuple[str, ...] = (),
        images: tuple[str, ...] = (),
    ) -> Dataset:
        """Read, check and register a file at an absolute path, read as its owner declares.

        Raises InputError (name taken, unreadable, no rows, a map that does not fit, ...).
        """

    async def data_show(self, name: str, job: str | None) -> DatasetView:
        """Look into a dataset, and hold its rows against a job. Nothing is told to anybody.

        Raises InputError (no such dataset or job).
        """

    async def data_replace(
        self,
        name: str,
        path: str,
        separator: str | None,
        decimal: str | None,
        encoding: str | None,
        header: bool | None = None,
        names: tuple[str, ...] = (),
        images: tuple[str, ...] = (),
    ) -> DatasetChanged:
        """Register a file as the next version of a dataset: budget, policy, map and jobs stay.

        Raises InputError (no such dataset, unreadable, ...), StateError (changed meanwhile).
        """

    async def data_replace_sql(
        self, name: str, sql: str, url: str, password: str | None
    ) -> DatasetChanged:
        """The same by the rows of a statement, which is run once. Raises what `data_replace` and
        `data_add_sql` do."""

    async def data_map(self, name: str, columns: str | None) -> DatasetChanged:
        """Give a dataset a column map, or take it away. Raises InputError, StateError."""

    async def data_remove(self, name: str) -> DatasetRemoved:
        """Remove a dataset, its policy and its copies; its ledger stays.

        Raises InputError (no such dataset), StateError (a job that runs needs it).
        """

    async def data_add_sql(
        self,
        name: str,
        sql: str,
        url: str,
        password: str | None,
        other_people: tuple[str, ...] = (),
        columns: str | None = None,
        holdout: bool = False,
    ) -> Dataset:
        """Run a statement once, to read alone, and register its rows.

        Raises InputError (name taken, no server, a fault in the statement, no rows, ...); no error
        holds the password.
        """

    async def data_list(self) -> tuple[Dataset, ...]:
        """Datasets by name."""

    async def policy_show(self, dataset: str) -> Policy:
        """A dataset's policy. Raises InputError (no such dataset)."""

    async def policy_set(self, dataset: str, changes: Mapping[str, PolicyValue]) -> Policy:
        """Change the named terms, all or none, and look at waiting jobs again.

        Raises InputError (no such dataset or term; a value that is not allowed).
        """

    async def policy_explain(self, job: str, dataset: str | None) -> tuple[Explained, ...]:
        """Every rule against a job, for one dataset or all by name. Nothing is told to anybody.

        Raises InputError (no such job or dataset), StateError (this home posted the job itself).
        """

    async def privacy(self, dataset: str | None, history: bool) -> tuple[Privacy, ...]:
        """Privacy budgets: of one dataset, or of all by name; with `history` also of moments of
        before. Raises InputError (none such)."""

    async def card_publish(self, dataset: str, card: str, dry_run: bool) -> OwnCard:
        """Publish a card, TOML text, of a dataset, in the place of its card before.

        With `dry_run` nothing is published. Raises InputError (no such dataset; the card),
        StateError (no free slot).
        """

    async def card_list(self) -> tuple[OwnCard, ...]:
        """Valid cards of this home's datasets."""

    async def card_withdraw(self, dataset: str) -> WithdrawnCard:
        """Take a dataset's card back. Raises InputError (it has none)."""

    async def offers(
        self,
        columns: tuple[str, ...],
        kind: Literal["number", "category"] | None,
        purpose: str | None,
        max_rate: int | None,
        token: str | None,
        limit: int,
    ) -> Offers:
        """Known cards with all of this, newest first. Raises InputError (limit, token)."""

    async def offer_show(self, card: str) -> OfferDetail:
        """One card, and a spec to start from. Raises InputError (no such card, or several)."""

    async def offers_match(self, spec: str, no_noise: bool) -> Matches:
        """How many known cards meet a spec, TOML text. Raises InputError (spec)."""

    async def jobs(self) -> tuple[JobSummary, ...]:
        """Jobs known here, newest first."""

    async def job_quote(self, spec: str, no_noise: bool = False) -> Quote:
        """What posting a job, TOML text, would take now. What stands in its way is a result.

        Raises InputError (spec), ChainError (no chain).
        """

    async def job_post(
        self,
        spec: str,
        holdout: str | None,
        no_noise: bool = False,
        max_fee: int | None = None,
    ) -> Posted:
        """Post a job: check the spec, escrow its bounty, announce it.

        `spec` is TOML text. `holdout` is a dataset's name or an absolute path; accuracy is
        measured on it. `no_noise`: as if the spec said so. `max_fee`: the most that its posting
        offers, wei per gas. Raises InputError (spec, hold-out), ChainError (funds, chain).
        """

    async def job_show(self, job: str) -> JobDetail:
        """One job, by id or by a prefix of it that is unambiguous. Raises InputError."""

    async def job_consent(self, job: str, dataset: str) -> Consent:
        """Take a waiting job by hand with this dataset, though its policy would only wait.

        Raises InputError (no such job, dataset or column), StateError (not waiting any more; the
        policy rules the job out, or the privacy budget does not hold the whole of it).
        """

    async def job_decline(self, job: str) -> JobSummary:
        """Keep out of a job that waits for this owner, for good. Nobody is told.

        Raises InputError (no such job), StateError (it does not wait for consent).
        """

    async def job_leave(self, job: str) -> JobSummary:
        """Begin no attempt of this owner's job any more. Twice is once.

        Raises InputError (no such job), StateError (it waits, is over, or is this requester's).
        """

    async def job_cancel(self, job: str) -> Cancelled:
        """Ask the contract to close this requester's job, after its notice. Twice is once.

        Raises InputError (no such job, or another's), StateError (it is ending already, or is
        not on the chain yet), ChainError (the contract refuses).
        """

    async def model_get(self, job: str, round_: int | None) -> ModelFile:
        """A model as a file in the home; the newest if `round_` is None.

        Raises InputError (no such job or round), StateError (sealed, or none yet).
        """

    async def claim(self, job: str, account: str | None, everybody: bool) -> tuple[Claim, ...]:
        """Send claims: for one account, or for everybody that this node can claim for.

        With neither, an owner claims for its own payout account, a requester for everybody. Raises
        InputError (both), StateError (nothing is settled yet), ChainError.
        """

    async def audit(self, job: str) -> Audit:
        """Check the job's books from the chain and the stored evidence. Faults are results."""

    async def send(
        self,
        id: str,
        to: str,
        amount: int,
        token: str | None = None,
        max_fee: int | None = None,
        dry_run: bool = False,
    ) -> Sent:
        """Send money from this home's account; with `dry_run` only say what it would take.

        Under one `id` one payment is sent, however often it is asked for. Raises InputError (what
        would be lost, a token that refuses), ChainError (funds, chain).
        """

    async def token_revoke(self, id: str, token: str) -> Sent:
        """Set what the bounty contract may take of a token to zero.

        Raises InputError (a token that refuses), ChainError (chain).
        """

    async def encoder_add(self, path: str, name: str | None, origin: str | None) -> Encoder:
        """Keep an encoder package. Raises InputError (unreadable, not allowed, name taken)."""

    async def encoder_list(self) -> tuple[Encoder, ...]:
        """Encoders by name."""

    async def encoder_show(self, encoder: str) -> EncoderDetail:
        """One encoder, read again. Raises InputError (no such encoder)."""

    async def encoder_remove(self, encoder: str) -> EncoderRemoved:
        """Remove an encoder. Raises InputError (no such encoder), StateError (a job needs it)."""

    async def earnings(self, job: str | None = None, signed: bool = False) -> Earnings:
        """What this home's data sets earned, of one job or all. Raises InputError (no such job)."""

    async def account(self) -> Account:
        """This home's account, and what it has in each currency. Raises ChainError."""
