"""Parameters of control methods. Frozen; checked by node.control.wire before the call."""

from __future__ import annotations

from dataclasses import dataclass, field

from node.control.results import PolicyValue
from node.control.wire import AbsolutePath, Address, DatasetName, JobId, Wei


@dataclass(frozen=True)
class Nothing:
    """No parameters."""


@dataclass(frozen=True)
class JoinParams:
    """A peer to join.

    address: multiaddr that ends in /p2p/ID, without the chain and contracts of a join line
    channels: the line's channel contract; null where it has none
    """

    address: str
    channels: Address | None = None


@dataclass(frozen=True)
class DataAddParams:
    """A file to register.

    name: what to call it in this home
    path: CSV, TSV, Excel, Parquet, Arrow or .npz
    separator: between cells of a file of text: comma, semicolon, tab or pipe; null: its header says
    decimal: the mark before a fraction, '.' or ','; marks between groups of digits are then read
    encoding: of a file of text, such as latin-1 or utf-16; null: line by line
    other_people: datasets, of now or of before, that hold other people however alike their rows
        are: no budget is shared with them
    columns: its column map, TOML text; null for none
    holdout: whether it is a hold-out, which is offered to no job
    header: whether its first row names the columns; null: it does, unless it is numbers alone
    names: its columns' names, where there is no header
    images: columns whose cells are paths of pictures, relative to the file's own folder
    """

    name: DatasetName
    path: AbsolutePath
    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    other_people: tuple[DatasetName, ...] = ()
    columns: str | None = None
    holdout: bool = False
    header: bool | None = None
    names: tuple[str, ...] = ()
    images: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataReplaceParams:
    """The next version of a dataset.

    name: the dataset
    path: as in `data.add`
    separator: as in `data.add`
    decimal: as in `data.add`
    encoding: as in `data.add`
    header: as in `data.add`
    names: as in `data.add`
    images: as in `data.add`
    """

    name: DatasetName
    path: AbsolutePath
    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    header: bool | None = None
    names: tuple[str, ...] = ()
    images: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataReplaceSqlParams:
    """A statement whose rows become the next version of a dataset.

    name: the dataset
    sql: as in `data.add_sql`
    url: as in `data.add_sql`
    password: as in `data.add_sql`
    """

    name: DatasetName
    sql: str
    url: str
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class DataShowParams:
    """Which dataset to look into.

    name: the dataset
    job: a job to hold its rows against, by id or an unambiguous prefix; null for none
    """

    name: DatasetName
    job: JobId | None = None


@dataclass(frozen=True)
class DataMapParams:
    """A dataset's column map.

    name: the dataset
    columns: the map, TOML text; null takes it away
    """

    name: DatasetName
    columns: str | None = None


@dataclass(frozen=True)
class DatasetNameParams:
    """One dataset.

    name: its name
    """

    name: DatasetName


@dataclass(frozen=True)
class DataAddSqlParams:
    """A statement whose rows become a dataset.

    name: what to call it in this home
    sql: begins with SELECT, WITH, VALUES or TABLE; it is run to read alone
    url: postgresql://USER@HOST/DATABASE without a password, or sqlite:///PATH
    password: for this call alone; it is not kept and stands in no error
    other_people: as in data.add
    columns: as in data.add
    holdout: as in data.add
    """

    name: DatasetName
    sql: str
    url: str
    password: str | None = field(default=None, repr=False)
    other_people: tuple[DatasetName, ...] = ()
    columns: str | None = None
    holdout: bool = False


@dataclass(frozen=True)
class DatasetParams:
    """One dataset.

    dataset: its name
    """

    dataset: DatasetName


@dataclass(frozen=True)
class PrivacyParams:
    """Which datasets' budgets.

    dataset: one dataset; null for all
    history: whether to tell how the budgets stood at moments of before, too
    """

    dataset: DatasetName | None = None
    history: bool = False


@dataclass(frozen=True)
class PolicySetParams:
    """Changes to a policy, made all or none.

    dataset: the dataset
    changes: term to new value; `policy.show` lists terms and what they allow
    """

    dataset: DatasetName
    changes: dict[str, PolicyValue]


@dataclass(frozen=True)
class ExplainParams:
    """A job to hold against policies.

    job: its id or an unambiguous prefix
    dataset: one dataset; null for all
    """

    job: JobId
    dataset: DatasetName | None = None


@dataclass(frozen=True)
class PostParams:
    """A job to post.

    spec: the spec, TOML text
    holdout: dataset's name or absolute path on which accuracy is measured; null for none
    no_noise: post it without noise, whatever the spec says of epsilon and delta
    max_fee: the most that its posting offers for a unit of gas, wei; null for the setting
    """

    spec: str
    holdout: DatasetName | AbsolutePath | None = None
    no_noise: bool = False
    max_fee: Wei | None = None


@dataclass(frozen=True)
class JobParams:
    """One job.

    job: its id or an unambiguous prefix
    """

    job: JobId


@dataclass(frozen=True)
class ConsentParams:
    """Consent to one job.

    job: its id or an unambiguous prefix
    dataset: the dataset that will train
    """

    job: JobId
    dataset: DatasetName


@dataclass(frozen=True)
class ModelParams:
    """One model.

    job: its id or an unambiguous prefix
    round: rounds that went into it; null for the newest
    """

    job: JobId
    round: int | None = None


@dataclass(frozen=True)
class ClaimParams:
    """A claim.

    job: its id or an unambiguous prefix
    account: whom to claim for; null, at an owner, for this home's own, at the requester for
        everybody
    everybody: claim for everybody that this node can claim for
    """

    job: JobId
    account: Address | None = None
    everybody: bool = False


@dataclass(frozen=True)
class SubscribeParams:
    """Which events.

    job: full id of the job; null for all events
    since: also replay kept events numbered above this; null for none
    """

    job: JobId | None = None
    since: int | None = None


@dataclass(frozen=True)
class UnsubscribeParams:
    """Which subscription.

    subscription: its id, from `events.subscribe`
    """

    subscription: int
