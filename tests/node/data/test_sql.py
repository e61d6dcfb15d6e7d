"""Rows from a database: what becomes of them, what is refused, and where a password goes."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import trio
from kits.postgres import PASSWORD, Postgres, postgres

from node.data.cells import numbers_of
from node.data.datasets import add_query, import_file, import_query
from node.data.matrix import build_matrix
from node.data.sql.postgres import batches as postgres_batches
from node.data.sql.query import Query, query, scrubbed
from node.data.sql.reader import read_query
from node.data.sql.sqlite import batches
from node.home.home import Home
from node.store import catalogue
from node.store.blobs import Blobs
from node.store.store import Store
from node.workers.compute import open_compute
from protocol import params
from protocol.errors import InputError
from protocol.spec.job import CategoryFeature, ClassTarget, NumberFeature

#: PostgreSQL's initdb takes its time.
pytestmark = pytest.mark.waits(5)

PEOPLE = """
CREATE TYPE mood AS ENUM ('low', 'high');
CREATE TABLE people (
  age int, ward text, dose numeric(6, 2), score double precision, day date, at timestamptz,
  smoker boolean, id bigint, mood mood, code char(4)
);
INSERT INTO people VALUES
  (61, ' north ', 1.50, 0.1, '2024-01-05', '2024-01-05 03:00+00', true, 9007199254740993, 'low',
   'ab'),
  (NULL, '', NULL, 'NaN', NULL, NULL, NULL, NULL, NULL, NULL),
  (48, 'south', -2.25, 1e-7, '2024-02-29', '2024-02-29 03:00+00', false, 2, 'high', 'abcd');
CREATE TABLE odd (parts jsonb, ages int[], stay interval, price money, raw bytea, key uuid);
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        running.run(PEOPLE)
        yield running


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An SQLite file with one table."""
    path = tmp_path / "ward 1?.db"
    with sqlite3.connect(path) as opened:
        opened.execute("CREATE TABLE people (age, ward TEXT, score)")
        opened.executemany(
            "INSERT INTO people VALUES (?, ?, ?)",
            [(61, " north ", 0.1), (None, "", None), ("much", "süd", 1e-7), (2**53 + 1, "3", 2)],
        )
    opened.close()
    return path


def refused(asked: Query, password: str = PASSWORD) -> InputError:
    with pytest.raises(InputError) as caught:
        read_query(asked, password)
    # A driver's own error would bring its own words along.
    assert caught.value.__cause__ is None
    assert password not in "".join(map(repr, [caught.value, *caught.value.__dict__.values()]))
    return caught.value


def test_postgresql(server: Postgres) -> None:
    table = read_query(
        query("select * from people order by id desc nulls last;", server.url), PASSWORD
    )
    assert table.rows == 3
    assert table.at(2) == "the result of --sql, row 3"
    table = read_query(query("(table people)", server.url), PASSWORD)
    texts = {name: cells.to_list() for name, cells in table.texts.items()}
    assert texts["age"] == ["61", None, "48"]
    assert texts["ward"] == ["north", None, "south"]
    assert texts["dose"] == ["1.50", None, "-2.25"]
    assert texts["day"] == ["2024-01-05", None, "2024-02-29"]
    assert texts["smoker"] == ["true", None, "false"]
    assert texts["id"] == ["9007199254740993", None, "2"]  # not through a float
    assert texts["mood"] == ["low", None, "high"]
    assert texts["code"] == ["ab", None, "abcd"]
    np.testing.assert_array_equal(table.numbers["score"], [0.1, np.nan, 1e-7])
    assert table.order[:3] == ("age", "ward", "dose")


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adbc_driver_manager", None)
    asked = Query("SELECT 1", "postgresql://nobody@127.0.0.1:9/none")
    with pytest.raises(InputError, match=r"pip install 'assay\[postgres\]'"):
        next(postgres_batches(asked, ""))


def test_sqlite(file: Path) -> None:
    asked = query("  -- people\n/* all */ select * from people", f"sqlite://{file}")
    table = read_query(asked, "")
    assert table.texts["age"].to_list() == ["61", None, "much", "9007199254740993"]
    assert table.texts["ward"].to_list() == ["north", None, "süd", "3"]
    np.testing.assert_array_equal(numbers_of(table.texts["score"]), [0.1, np.nan, 1e-7, 2.0])
    assert table.numbers == {}
    # A whole column of nothing first, in more rows than are read at once.
    many = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 30000) "
    table = read_query(
        query(many + "select case when i > 25000 then i + .5 end x from n", asked.url), ""
    )
    assert table.rows == 30_000
    assert table.texts["x"][-1] == "30000.5"


def test_the_same_rows_have_the_same_vectors(server: Postgres, tmp_path: Path) -> None:
    """From a CSV, Parquet, SQLite and PostgreSQL: to the last bit."""
    frame = pl.DataFrame(
        {"age": [61, 55, 48], "dose": [0.1, 2.5, 1 / 3], "smoker": [True, False, True]}
    ).with_columns(ward=pl.Series(["north", "south", "north"]))
    (tmp_path / "in.csv").write_text(frame.write_csv())
    frame.write_parquet(tmp_path / "in.parquet")
    rows = ", ".join(
        f"({age}, {dose!r}, {smoker}, '{ward}')" for age, dose, smoker, ward in frame.rows()
    )
    make = "CREATE TABLE same (age int, dose double precision, smoker boolean, ward text)"
    server.run(f"{make}; INSERT INTO same VALUES {rows};")
    with sqlite3.connect(tmp_path / "in.db") as opened:
        opened.execute(make)
        opened.execute(f"INSERT INTO same VALUES {rows}")
    opened.close()
    found = [import_file(tmp_path / f"in.{suffix}", tmp_path) for suffix in ("csv", "parquet")]
    for url in (f"sqlite://{tmp_path}/in.db", server.url):
        found.append(import_query(query("select * from same", url), PASSWORD, tmp_path))
    features = [
        NumberFeature("age", 0.0, 100.0),
        NumberFeature("dose", 0.0, 5.0),
        CategoryFeature("ward", ("north", "south")),
    ]
    target = ClassTarget("smoker", ("false", "true"))
    vectors = {
        tuple(
            part.tobytes()
            for part in build_matrix(Blobs(tmp_path).path(each.copy.digest), features, target)
        )
        for each in found
    }
    assert len(vectors) == 1


WRITES = "sql: writes; it is run to read alone: give a SELECT"


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        (
            "select * from nosuch",
            'sql: relation "nosuch" does not exist (LINE 1: select * from nosuch)',
        ),
        ("select nosuch from people", 'sql: column "nosuch" does not exist'),
        ("select age,, ward from people", "sql: syntax error"),
        ("select age from people where false", "the result of --sql has no rows"),
        ("select age, ward as age from people", "more than one column named 'age'"),
        ("select 1/(age - 61) from people", "sql: division by zero"),
        ("with x as (delete from people returning age) select * from x", WRITES),
        ("select age into thief from people", "sql: "),
        ("select 1; drop table people", "sql: cannot insert multiple commands"),
        ("select nextval('counter')", WRITES),
        (
            "select parts from odd",
            "'parts' is of kind jsonb; leave it out of the statement, or name",
        ),
        (
            "select ages from odd",
            "'ages' is of kind _int4; leave it out of the statement, or cast it",
        ),
        ("select stay from odd", "'stay' is of kind interval"),
        ("select price from odd", "'price' is of kind money"),
        ("select raw from odd", "'raw' is of kind bytea"),
        (
            "select key from odd",
            "'key' is of kind uuid; leave it out of the statement, or cast it, such as key::text",
        ),
    ],
)
def test_what_postgresql_refuses(server: Postgres, sql: str, says: str) -> None:
    server.run("CREATE SEQUENCE IF NOT EXISTS counter")
    assert says in str(refused(query(sql, server.url)))
    assert server.run("SELECT count(*), to_regclass('thief') IS NULL FROM people") == "3|t\n"


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("select * from nosuch", "sql: no such table: nosuch"),
        ("select age from people where 0", "the result of --sql has no rows"),
        ("select age, age from people", "more than one column named 'age'"),
        ("select 1; select 2", "sql: You can only execute one statement at a time"),
        ("with x as (select 1) delete from people", WRITES),
        ("select x'00ff' as raw", "row 1: column 'raw' holds a BLOB"),
        ("select load_extension('x')", "sql: not authorized"),
    ],
)
def test_what_sqlite_refuses(file: Path, sql: str, says: str) -> None:
    before = file.read_bytes()
    assert says in str(refused(query(sql, f"sqlite://{file}"), "none"))
    assert file.read_bytes() == before


def test_no_such_file_and_no_database(tmp_path: Path) -> None:
    missing = query("select 1", f"sqlite://{tmp_path}/none.db")
    assert "none.db: unable to open database file" in str(refused(missing))
    assert not Path(missing.file).exists()
    (tmp_path / "none.db").write_bytes(b"age,ward\n" * 100)
    assert "none.db: file is not a database" in str(refused(query("select * from x", missing.url)))


def test_a_limit_ends_a_result_that_has_no_end(
    file: Path, server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(params, "MAX_DATASET_ROWS", 30_000)
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n"
    for url in (f"sqlite://{file}", server.url):
        assert "30000 are allowed" in str(refused(query(endless, url)))
    monkeypatch.setattr(params, "MAX_DATASET_FILE_BYTES", 1_000_000)
    wide = "with recursive n(i) as (select 1 union all select i + 1 from n) select i, '{}' from n"
    for url in (f"sqlite://{file}", server.url):
        asked = query(wide.format("x" * 1000), url)
        assert "more than the 1000000 bytes" in str(refused(asked))


def test_a_statement_has_its_time(
    file: Path, server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(params, "MAX_SQL_SECONDS", 1)
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n"
    for url in (f"sqlite://{file}", server.url):
        assert "took more than 1 s and was stopped" in str(refused(query(endless, url)))


def test_long_cells_make_small_batches(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.data.sql.sqlite._CHARACTERS", 1000)
    asked = query(f"select '{'x' * 400}' as a from people, people", f"sqlite://{file}")
    heights = [frame.height for _, frame in batches(asked)][1:]
    assert set(heights[:-1]) == {3}
    assert sum(heights) == len(list(read_query(asked, "").texts["a"]))


def test_a_comment_may_end_a_statement_and_a_mark_a_url(server: Postgres) -> None:
    asked = query("select age from people -- all of them", server.url + "?")
    assert read_query(asked, PASSWORD).rows == 3


# Passwords


def test_a_wrong_password_and_no_server(server: Postgres) -> None:
    wrong = refused(query("select 1", server.url), "guessed:/ %41")
    assert "url: " in str(wrong)
    assert 'password authentication failed for user "reader"' in str(wrong)
    assert wrong.__notes__ == ["set ASSAY_SQL_PASSWORD, or give --password-file FILE"]
    with pytest.raises(InputError, match="no password supplied"):
        read_query(query("select 1", server.url), "")
    nobody = refused(query("select 1", "postgresql://reader@127.0.0.1:1/postgres"))
    assert "Connection refused" in str(nobody)
    assert "does not exist" in str(refused(query("select 1", server.url + "x")))
    # A password that a statement repeats is in the server's words too.
    repeated = refused(query(f"select '{PASSWORD}' from nosuch", server.url))
    assert "'…' from nosuch" in str(repeated)
    assert scrubbed("s3cret%2Fp%40ss%20word", PASSWORD) == "…"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://reader:hunter2@db/ward",
        "postgresql://reader:@db/ward",
        "postgres://db/ward?user=reader&password=hunter2",
        "postgres://db/ward?%70assword=hunter2",
        # libpq takes all of what stands before an @ for user and password.
        "postgresql://reader:hun?ter2@db/ward?sslmode=disable",
        "postgresql://reader:hun#ter2@db/ward",
        "postgresql://reader:hun@ter2@db/ward",
    ],
)
def test_a_password_in_the_url_is_refused(url: str) -> None:
    with pytest.raises(InputError, match=r"url: holds a password.*--password-file") as caught:
        query("select 1", url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("sql", "url", "says"),
    [
        ("select 1", "mysql://db/ward", "url: is no database's; postgresql://"),
        ("select 1", "host=db password=hunter2", "url: is no database's"),
        ("select 1", "postgresql://[db/ward", "url: cannot be read"),
        ("select 1", "postgresql:ward", "url: cannot be read"),
        ("select 1", "sqlite:ward.db", "url: names no absolute path"),
        ("select 1", "postgresql://db/ward?sslpassword=hunter2", "url: sets 'sslpassword'; "),
        ("select 1", "postgresql://db/ward?options=-c%20x", "are allowed behind the ?"),
        ("delete from people", "sqlite:///x", "sql: is no statement that reads"),
        ("copy (select 1) to program 'id'", "postgresql://db/ward", "sql: is no statement that"),
        ("-- select\nattach 'x' as y", "sqlite:///x", "sql: is no statement that reads"),
        ("", "sqlite:///x", "sql: is no statement that reads"),
        ("select '\0'", "sqlite:///x", "sql: has a NUL"),
    ],
)
def test_what_is_no_query(sql: str, url: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        query(sql, url)
    assert says in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_the_limit_of_a_statement() -> None:
    longest = "select ".ljust(params.MAX_SQL_CHARACTERS, "1")
    assert query(longest, "sqlite:///x").sql == longest
    with pytest.raises(InputError, match="characters"):
        query(longest + "1", "sqlite:///x")


async def test_a_snapshot_through_a_worker(server: Postgres, tmp_path: Path) -> None:
    """What the database holds later changes nothing; the password is nowhere in the home."""
    home = Home(tmp_path / "home")
    home.create()
    await trio.to_thread.run_sync(server.run, "CREATE TABLE moving AS SELECT age FROM people")
    asked = query("select age\nfrom moving", server.url)
    with Store.open(home.database) as store:
        async with open_compute() as compute:
            added, notes = await add_query(home, store, compute, "ward", asked, PASSWORD)
            assert added.rows == 3
            assert added.source == f"{server.url}: select age from moving"
            assert any("as they are now" in note for note in notes)
            await trio.to_thread.run_sync(server.run, "TRUNCATE moving")
            with pytest.raises(InputError, match="'ward' is taken"):
                await add_query(home, store, compute, "ward", asked, PASSWORD)
            with pytest.raises(InputError, match="has no rows"):
                await add_query(home, store, compute, "other", asked, PASSWORD)
            with pytest.raises(InputError, match="password authentication failed"):
                await add_query(home, store, compute, "other", asked, "wrong")
        assert await store.read(catalogue.datasets) == [added]
    for path in home.path.rglob("*"):
        assert not path.is_file() or PASSWORD.encode() not in path.read_bytes()
