"""All control methods as functions; written by scripts/json-shapes.

Results are the JSON that the daemon sent: amounts are decimal strings of the smallest unit, times
seconds since the epoch. Each function's text is its method's summary; `rpc.discover` has the rest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from node.control.shapes import (
        Account,
        Audit,
        BoughtFile,
        Buying,
        Cancelled,
        Claim,
        Consent,
        Dataset,
        DatasetChanged,
        DatasetRemoved,
        DatasetView,
        Earnings,
        Encoder,
        EncoderDetail,
        EncoderRemoved,
        Explained,
        FetchedEncoder,
        Held,
        JobDetail,
        JobSummary,
        Joined,
        Matches,
        ModelFile,
        OfferDetail,
        Offers,
        OwnCard,
        Peer,
        Policy,
        Posted,
        Prepared,
        Privacy,
        Quote,
        Reach,
        SaleChannels,
        SaleOfferDetail,
        SaleOffers,
        Sent,
        Sold,
        Status,
        Stopping,
        TakenOff,
        WithdrawnCard,
    )


class Calls(ABC):
    """One function a method. What cannot be done is a Failure (node.console.failure)."""

    @abstractmethod
    def call(self, method: str, params: Mapping[str, Any]) -> Any:
        """The result of a call by its name."""

    def status(self) -> Status:
        """The daemon at a glance, from a snapshot; never waits."""
        found: Status = self.call("status", {})
        return found

    def peers(self) -> list[Peer]:
        """Connected peers."""
        found: list[Peer] = self.call("peers", {})
        return found

    def join(self, address: str, *, channels: str | None = None) -> Joined:
        """Dial a peer now, and again after each restart."""
        found: Joined = self.call("join", {"address": address, "channels": channels})
        return found

    def reach(self) -> Reach:
        """Ask up to three connected peers to dial this node. Takes up to 20 seconds."""
        found: Reach = self.call("reach", {})
        return found

    def stop(self) -> Stopping:
        """Drain and end. Jobs go on when the daemon starts again."""
        found: Stopping = self.call("stop", {})
        return found

    def pause(self) -> Held:
        """Take no job and begin no attempt until `resume`. What was begun is finished."""
        found: Held = self.call("pause", {})
        return found

    def resume(self) -> Held:
        """Take jobs and begin attempts again."""
        found: Held = self.call("resume", {})
        return found

    def job_leave(self, job: str) -> JobSummary:
        """Begin no attempt of a job any more, for good. What is owed is released all the same."""
        found: JobSummary = self.call("job.leave", {"job": job})
        return found

    def data_add(
        self,
        name: str,
        path: str,
        *,
        separator: str | None = None,
        decimal: str | None = None,
        encoding: str | None = None,
        other_people: Sequence[str] = (),
        columns: str | None = None,
        holdout: bool = False,
        header: bool | None = None,
        names: Sequence[str] = (),
        images: Sequence[str] = (),
    ) -> Dataset:
        """Register a file as a dataset. It takes nothing until it has a policy."""
        params = {
            "name": name,
            "path": path,
            "separator": separator,
            "decimal": decimal,
            "encoding": encoding,
            "other_people": other_people,
            "columns": columns,
            "holdout": holdout,
            "header": header,
            "names": names,
            "images": images,
        }
        found: Dataset = self.call("data.add", params)
        return found

    def data_add_sql(
        self,
        name: str,
        sql: str,
        url: str,
        *,
        password: str | None = None,
        other_people: Sequence[str] = (),
        columns: str | None = None,
        holdout: bool = False,
    ) -> Dataset:
        """Register the rows that a database gives now. The password is not kept."""
        params = {
            "name": name,
            "sql": sql,
            "url": url,
            "password": password,
            "other_people": other_people,
            "columns": columns,
            "holdout": holdout,
        }
        found: Dataset = self.call("data.add_sql", params)
        return found

    def data_list(self) -> list[Dataset]:
        """Datasets of this home."""
        found: list[Dataset] = self.call("data.list", {})
        return found

    def data_show(self, name: str, *, job: str | None = None) -> DatasetView:
        """Look into a dataset: columns, gaps, ranges, and which rows a job can use."""
        found: DatasetView = self.call("data.show", {"name": name, "job": job})
        return found

    def data_replace(
        self,
        name: str,
        path: str,
        *,
        separator: str | None = None,
        decimal: str | None = None,
        encoding: str | None = None,
        header: bool | None = None,
        names: Sequence[str] = (),
        images: Sequence[str] = (),
    ) -> DatasetChanged:
        """A dataset's next version. Budget, policy, column map and jobs stay."""
        params = {
            "name": name,
            "path": path,
            "separator": separator,
            "decimal": decimal,
            "encoding": encoding,
            "header": header,
            "names": names,
            "images": images,
        }
        found: DatasetChanged = self.call("data.replace", params)
        return found

    def data_replace_sql(
        self,
        name: str,
        sql: str,
        url: str,
        *,
        password: str | None = None,
    ) -> DatasetChanged:
        """The same by the rows that a database gives now. The password is not kept."""
        params = {
            "name": name,
            "sql": sql,
            "url": url,
            "password": password,
        }
        found: DatasetChanged = self.call("data.replace_sql", params)
        return found

    def data_map(self, name: str, *, columns: str | None = None) -> DatasetChanged:
        """Give a dataset a column map, or take it away."""
        found: DatasetChanged = self.call("data.map", {"name": name, "columns": columns})
        return found

    def data_remove(self, name: str) -> DatasetRemoved:
        """Remove a dataset and its copies. What was told of it stays in the ledger."""
        found: DatasetRemoved = self.call("data.remove", {"name": name})
        return found

    def policy_show(self, dataset: str) -> Policy:
        """What a dataset may be used for."""
        found: Policy = self.call("policy.show", {"dataset": dataset})
        return found

    def policy_set(self, dataset: str, changes: Mapping[str, object]) -> Policy:
        """Change terms of a policy, all or none."""
        found: Policy = self.call("policy.set", {"dataset": dataset, "changes": changes})
        return found

    def policy_explain(self, job: str, *, dataset: str | None = None) -> list[Explained]:
        """Every rule of policies and data against a job: passes, or why not. Asks nobody."""
        found: list[Explained] = self.call("policy.explain", {"job": job, "dataset": dataset})
        return found

    def privacy(self, *, dataset: str | None = None, history: bool = False) -> list[Privacy]:
        """Privacy budgets by dataset: spent, reserved, left, and what each job told."""
        found: list[Privacy] = self.call("privacy", {"dataset": dataset, "history": history})
        return found

    def card_publish(self, dataset: str, card: str, *, dry_run: bool = False) -> OwnCard:
        """Publish a card of a dataset: what its owner declares, for everybody to find."""
        params = {
            "dataset": dataset,
            "card": card,
            "dry_run": dry_run,
        }
        found: OwnCard = self.call("card.publish", params)
        return found

    def card_list(self) -> list[OwnCard]:
        """Published cards of this home's datasets."""
        found: list[OwnCard] = self.call("card.list", {})
        return found

    def card_withdraw(self, dataset: str) -> WithdrawnCard:
        """Take a dataset's card back. Who has read it keeps what it said."""
        found: WithdrawnCard = self.call("card.withdraw", {"dataset": dataset})
        return found

    def offers(
        self,
        *,
        columns: Sequence[str] = (),
        kind: Literal["number", "category"] | None = None,
        purpose: str | None = None,
        max_rate: int | None = None,
        token: str | None = None,
        limit: int = 100,
    ) -> Offers:
        """Known cards of datasets, all or those that are looked for."""
        params = {
            "columns": columns,
            "kind": kind,
            "purpose": purpose,
            "max_rate": None if max_rate is None else str(max_rate),
            "token": token,
            "limit": limit,
        }
        found: Offers = self.call("offers", params)
        return found

    def offer_show(self, card: str) -> OfferDetail:
        """One card, and a spec to start from."""
        found: OfferDetail = self.call("offer.show", {"card": card})
        return found

    def offers_match(self, spec: str, *, no_noise: bool = False) -> Matches:
        """How many known cards meet a spec and its price."""
        found: Matches = self.call("offers.match", {"spec": spec, "no_noise": no_noise})
        return found

    def jobs(self) -> list[JobSummary]:
        """Jobs known here, newest first."""
        found: list[JobSummary] = self.call("jobs", {})
        return found

    def job_quote(self, spec: str, *, no_noise: bool = False) -> Quote:
        """What posting a job would take now. Nothing is sent."""
        found: Quote = self.call("job.quote", {"spec": spec, "no_noise": no_noise})
        return found

    def job_post(
        self,
        spec: str,
        *,
        holdout: str | None = None,
        no_noise: bool = False,
        max_fee: int | None = None,
    ) -> Posted:
        """Check a spec, escrow its bounty, announce the job."""
        params = {
            "spec": spec,
            "holdout": holdout,
            "no_noise": no_noise,
            "max_fee": None if max_fee is None else str(max_fee),
        }
        found: Posted = self.call("job.post", params)
        return found

    def job_show(self, job: str) -> JobDetail:
        """All that this node knows of a job: rounds, members, money, bytes, seconds."""
        found: JobDetail = self.call("job.show", {"job": job})
        return found

    def job_consent(self, job: str, dataset: str) -> Consent:
        """Take a waiting job by hand with one dataset."""
        found: Consent = self.call("job.consent", {"job": job, "dataset": dataset})
        return found

    def job_decline(self, job: str) -> JobSummary:
        """Keep out of a job that waits for this owner, for good. Nobody is told."""
        found: JobSummary = self.call("job.decline", {"job": job})
        return found

    def job_cancel(self, job: str) -> Cancelled:
        """Ask the contract to close this requester's job, after its notice. Twice is once."""
        found: Cancelled = self.call("job.cancel", {"job": job})
        return found

    def model_get(self, job: str, *, round: int | None = None) -> ModelFile:
        """A job's model as an .npz file in the home."""
        params = {
            "job": job,
            "round": None if round is None else str(round),
        }
        found: ModelFile = self.call("model.get", params)
        return found

    def claim(
        self,
        job: str,
        *,
        account: str | None = None,
        everybody: bool = False,
    ) -> list[Claim]:
        """Send claims of a job's pay, for one account or for all."""
        params = {
            "job": job,
            "account": account,
            "everybody": everybody,
        }
        found: list[Claim] = self.call("claim", params)
        return found

    def audit(self, job: str) -> Audit:
        """Check a job's books from the chain and the stored evidence. Faults are results."""
        found: Audit = self.call("audit", {"job": job})
        return found

    def send(
        self,
        id: str,
        to: str,
        amount: int,
        *,
        token: str | None = None,
        max_fee: int | None = None,
        dry_run: bool = False,
    ) -> Sent:
        """Send ether or a token from this home's account, once."""
        params = {
            "id": id,
            "to": to,
            "amount": str(amount),
            "token": token,
            "max_fee": None if max_fee is None else str(max_fee),
            "dry_run": dry_run,
        }
        found: Sent = self.call("send", params)
        return found

    def token_revoke(self, id: str, token: str) -> Sent:
        """Take back what the bounty contract may take of a token."""
        found: Sent = self.call("token.revoke", {"id": id, "token": token})
        return found

    def earnings(self, *, job: str | None = None, signed: bool = False) -> Earnings:
        """What was earned and paid, by job and round; as signed receipts, too."""
        found: Earnings = self.call("earnings", {"job": job, "signed": signed})
        return found

    def account(self) -> Account:
        """This home's account, and what it has in each currency."""
        found: Account = self.call("account", {})
        return found

    def encoder_add(
        self,
        path: str,
        *,
        name: str | None = None,
        origin: str | None = None,
    ) -> Encoder:
        """Keep an encoder package, once a confined process has read it."""
        found: Encoder = self.call("encoder.add", {"path": path, "name": name, "origin": origin})
        return found

    def encoder_list(self) -> list[Encoder]:
        """The encoders of this home."""
        found: list[Encoder] = self.call("encoder.list", {})
        return found

    def encoder_show(self, encoder: str) -> EncoderDetail:
        """One encoder, read again by a confined process."""
        found: EncoderDetail = self.call("encoder.show", {"encoder": encoder})
        return found

    def encoder_remove(self, encoder: str) -> EncoderRemoved:
        """Remove an encoder that no running job needs."""
        found: EncoderRemoved = self.call("encoder.remove", {"encoder": encoder})
        return found

    def rpc_discover(self) -> dict[str, object]:
        """This interface as an OpenRPC document."""
        found: dict[str, object] = self.call("rpc.discover", {})
        return found

    def sale_offer(
        self,
        job: str,
        price: int,
        *,
        token: str | None = None,
        scores: bool = False,
        batch: int = 1000,
        minute: int = 60,
        days: int = 30,
        accuracy: float | None = None,
        dry_run: bool = False,
    ) -> Sold:
        """Put a finished job's model on sale: predictions for money, by the row."""
        params = {
            "job": job,
            "price": str(price),
            "token": token,
            "scores": scores,
            "batch": batch,
            "minute": minute,
            "days": days,
            "accuracy": accuracy,
            "dry_run": dry_run,
        }
        found: Sold = self.call("sale.offer", params)
        return found

    def sale_withdraw(self, offer: str) -> TakenOff:
        """Take an offer off sale. Channels that were opened for it are served on."""
        found: TakenOff = self.call("sale.withdraw", {"offer": offer})
        return found

    def sale_offers(self, *, ask: bool = True) -> SaleOffers:
        """Models on sale that are known here."""
        found: SaleOffers = self.call("sale.offers", {"ask": ask})
        return found

    def sale_show(self, offer: str) -> SaleOfferDetail:
        """An offer, and where its model comes from."""
        found: SaleOfferDetail = self.call("sale.show", {"offer": offer})
        return found

    def sale_prepare(
        self,
        offer: str,
        path: str,
        *,
        separator: str | None = None,
        decimal: str | None = None,
        encoding: str | None = None,
        header: bool | None = None,
        names: Sequence[str] = (),
        images: Sequence[str] = (),
    ) -> Prepared:
        """Read a file that predictions are to be bought for; what they would cost."""
        params = {
            "offer": offer,
            "path": path,
            "separator": separator,
            "decimal": decimal,
            "encoding": encoding,
            "header": header,
            "names": names,
            "images": images,
        }
        found: Prepared = self.call("sale.prepare", params)
        return found

    def sale_buy(self, purchase: str, budget: int) -> Buying:
        """Ask for a file's rows, as far as a budget goes; returns after a moment: call again."""
        found: Buying = self.call("sale.buy", {"purchase": purchase, "budget": str(budget)})
        return found

    def sale_write(self, purchase: str) -> BoughtFile:
        """Write what was bought for a file as CSV."""
        found: BoughtFile = self.call("sale.write", {"purchase": purchase})
        return found

    def sale_channels(self) -> SaleChannels:
        """Payment channels of this home, as buyer and as seller."""
        found: SaleChannels = self.call("sale.channels", {})
        return found

    def sale_redeem(self, *, channel: str | None = None) -> SaleChannels:
        """Redeem what buyers granted, on the chain; returns once it is final."""
        found: SaleChannels = self.call("sale.redeem", {"channel": channel})
        return found

    def encoder_fetch(self, offer: str, *, digest: str | None = None) -> FetchedEncoder:
        """Fetch the encoder of an offer's model from its seller, by the digest that you name."""
        found: FetchedEncoder = self.call("encoder.fetch", {"offer": offer, "digest": digest})
        return found

    def sale_reclaim(self, channel: str) -> SaleChannels:
        """Take back what is left of a channel before its expiry, with its seller's release."""
        found: SaleChannels = self.call("sale.reclaim", {"channel": channel})
        return found
