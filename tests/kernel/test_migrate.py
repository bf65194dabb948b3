"""The schema moves forward in whole steps, once, and never under an older program."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import psycopg
import pytest

from cipo.kernel.store import migrate


@pytest.fixture
def steps(tmp_path: Path) -> Path:
    """A copy of the real steps that a test may add to."""
    return Path(shutil.copytree(migrate.MIGRATIONS, tmp_path / "migrations"))


def last(directory: Path) -> str:
    return sorted(path.stem for path in directory.glob("[0-9]*.sql") if not path.name.endswith(".rollback.sql"))[-1]


def test_a_migrated_database_is_current_and_migrating_again_does_nothing(pg_dsn: str) -> None:
    again = migrate.migrate(pg_dsn)
    assert again.applied == ()
    with psycopg.connect(pg_dsn) as connection:
        assert migrate.require_current(connection) == migrate.schema_version(connection) == again.version


def test_a_step_may_define_functions_with_semicolons_in_their_body(pg_dsn: str, steps: Path) -> None:
    (steps / "9001.function.sql").write_text(
        f"-- depends: {last(steps)}\n"
        "create function twice(n int) returns int language plpgsql as $$\n"
        "begin\n  if n is null then raise exception '100%% wrong; stop'; end if;\n  return n * 2;\nend $$;\n"
        "do $$ begin perform twice(1); end $$;\n"
        "create table answer as select twice(21) as n;\n"
    )
    assert migrate.migrate(pg_dsn, directory=steps).applied == ("9001.function",)
    with psycopg.connect(pg_dsn) as connection:
        assert connection.execute("select n from cipo.answer").fetchone() == (42,)


def test_a_step_that_fails_leaves_nothing_and_is_tried_again(pg_dsn: str, steps: Path) -> None:
    bad = steps / "9001.bad.sql"
    bad.write_text(f"-- depends: {last(steps)}\ncreate table half (n int);\nselect 1/0;\n")
    with pytest.raises(migrate.SchemaError, match=r"9001\.bad .* division by zero"):
        migrate.migrate(pg_dsn, directory=steps)
    with psycopg.connect(pg_dsn) as connection:
        assert connection.execute("select to_regclass('cipo.half')").fetchone() == (None,)
        assert migrate.require_current(connection)
    bad.write_text(bad.read_text().replace("select 1/0;", ""))
    assert migrate.migrate(pg_dsn, directory=steps).applied == ("9001.bad",)


def test_a_newer_schema_is_refused_by_older_code(pg_dsn: str, steps: Path) -> None:
    (steps / "9001.future.sql").write_text(f"-- depends: {last(steps)}\ncreate table future (n int);\n")
    migrate.migrate(pg_dsn, directory=steps)
    with pytest.raises(migrate.SchemaNewer, match=r"9001\.future.*newer cipo"):
        migrate.migrate(pg_dsn)
    with psycopg.connect(pg_dsn) as connection, pytest.raises(migrate.SchemaNewer):
        migrate.require_current(connection)


def test_an_older_schema_is_not_served(pg_dsn: str, steps: Path) -> None:
    (steps / "9001.next.sql").write_text(f"-- depends: {last(steps)}\ncreate table next (n int);\n")
    with psycopg.connect(pg_dsn) as connection, pytest.raises(migrate.SchemaError, match=r"lacks the step 9001\.next; run `cipo up`"):
        migrate.require_current(connection, directory=steps)


def test_migrators_at_the_same_moment_apply_each_step_once(pg_dsn: str, steps: Path) -> None:
    (steps / "9001.once.sql").write_text(f"-- depends: {last(steps)}\ncreate table once (n int);\nselect pg_sleep(0.2);\n")
    results: list[migrate.Migrated] = []
    threads = [threading.Thread(target=lambda: results.append(migrate.migrate(pg_dsn, directory=steps))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(len(result.applied) for result in results) == [0, 0, 0, 1]


def test_a_missing_dependency_is_named(pg_dsn: str, steps: Path) -> None:
    (steps / "9002.lonely.sql").write_text("-- depends: 9001.absent\nselect 1;\n")
    with pytest.raises(migrate.SchemaError, match=r"9002\.lonely depends on 9001\.absent"):
        migrate.migrate(pg_dsn, directory=steps)
