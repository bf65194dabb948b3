"""Brings a database to the schema this code was written for; called by ``cipo up`` before any process of the plane starts.

The steps are ``kernel/migrations/NNNN.name.sql``, applied by yoyo under an advisory lock. Three things are ours: a step and the record
that it was done are one transaction, so a kill leaves no half-applied step; a file runs as one script, so the body of a function may
hold semicolons; and a schema from a newer cipo is refused. Yoyo is imported only when there is something to apply.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from cipo.kernel.errors import CipoError

if TYPE_CHECKING:
    from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
    from yoyo.migrations import MigrationList

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"
BOOKS = "cipo_migrations"  # the schema of yoyo's own tables
LOCK = 0x6369706F  # "cipo": the advisory lock of whoever migrates
OLDEST = 150000

WRITERS = ("cipo_api", "cipo_worker")
READER = "cipo_read"
APPEND_ONLY = ("event", "seal", "kpi_period")  # no role of the plane may change or delete what happened or was published

Connection = psycopg.Connection[tuple[Any, ...]]


class SchemaError(CipoError):
    """The database cannot be used with this code; says which step and what to do."""


class SchemaNewer(SchemaError):
    """The database was migrated by a newer cipo."""


@dataclass(frozen=True, slots=True)
class Migrated:
    """What ``migrate`` did: the steps it applied and the version the schema has now."""

    applied: tuple[str, ...]
    version: str


def migrate(dsn: str, *, directory: Path = MIGRATIONS) -> Migrated:
    """Apply every missing step; needs a user who may create schemas. Several callers at once are fine: one works, the others wait."""
    known = _known(directory)
    with psycopg.connect(dsn, autocommit=True, application_name="cipo-migrate") as connection:
        if connection.info.server_version < OLDEST:
            raise SchemaError(f"the server is PostgreSQL {connection.info.server_version // 10000}; cipo needs 15 or newer")
        with _lock(connection):
            done = _applied(connection)
            _refuse_newer(done, known)
            missing = tuple(name for name in known if name not in done)
            if missing:
                _apply(dsn, directory)
                _grant(connection)
    return Migrated(applied=missing, version=known[-1])


def schema_version(connection: Connection) -> str | None:
    """The last step applied (``0003.kpi``), or None for an empty database."""
    return max(_applied(connection), default=None)


def require_current(connection: Connection, *, directory: Path = MIGRATIONS) -> str:
    """The schema's version if it is exactly the one of this code; else an error that names the remedy. For ``/readyz`` and workers."""
    known, done = _known(directory), _applied(connection)
    _refuse_newer(done, known)
    missing = [name for name in known if name not in done]
    if missing:
        raise SchemaError(f"the database lacks the step {missing[0]}; run `cipo up`, which migrates it")
    return known[-1]


def _known(directory: Path) -> tuple[str, ...]:
    names = tuple(sorted(path.stem for path in directory.glob("[0-9]*.sql") if not path.name.endswith(".rollback.sql")))
    if not names:
        raise SchemaError(f"no migrations in {directory}; reinstall cipo")
    return names


def _applied(connection: Connection) -> frozenset[str]:
    row = connection.execute("select to_regclass(%s)", [f"{BOOKS}._yoyo_migration"]).fetchone()
    if row is None or row[0] is None:
        return frozenset()
    found = connection.execute(sql.SQL("select migration_id from {}._yoyo_migration").format(sql.Identifier(BOOKS))).fetchall()
    return frozenset(name for (name,) in found)


def _refuse_newer(done: frozenset[str], known: tuple[str, ...]) -> None:
    unknown = sorted(done - set(known))
    if unknown:
        raise SchemaNewer(
            f"the database holds the step {unknown[-1]}, which this cipo does not know (its last is {known[-1]}): "
            "it was written by a newer cipo; install that one or newer, or restore a backup from before the upgrade"
        )


@contextmanager
def _lock(connection: Connection) -> Iterator[None]:
    """One migrator at a time; PostgreSQL drops the lock when its session ends, however it ends."""
    connection.execute("select pg_advisory_lock(%s)", [LOCK])
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("select pg_advisory_unlock(%s)", [LOCK])


def _apply(dsn: str, directory: Path) -> None:
    from yoyo import exceptions  # noqa: PLC0415 - a quarter of a second, and most starts have nothing to apply

    backend = _backend(dsn)
    try:
        backend.execute(f"create schema if not exists {BOOKS}")
        backend.init_database()
        backend.break_lock()  # yoyo's own lock survives a kill; ours, which we hold, does not
        steps = backend.to_apply(_steps(directory))
        for step in steps:
            try:
                backend.apply_one(step)
            except exceptions.BadMigration as error:
                raise SchemaError(f"migration {step.id}: {error}") from error
            except psycopg.Error as error:
                raise SchemaError(f"migration {step.id} was not applied, nothing of it is left: {error}") from error
    finally:
        backend.connection.close()


def _backend(dsn: str) -> PostgresqlPsycopgBackend:
    """Yoyo's psycopg backend, made to connect by our URL and to record a step inside the step's own transaction."""
    from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend  # noqa: PLC0415

    class Backend(PostgresqlPsycopgBackend):  # type: ignore[misc]  # yoyo has no types
        schema = BOOKS

        def connect(self, dburi: str) -> Connection:
            return psycopg.connect(dburi, autocommit=True, application_name="cipo-migrate")

        def list_tables(self, **_: Any) -> list[str]:
            return [row[0] for row in self.execute(f"select table_name from information_schema.tables where table_schema = '{BOOKS}'")]

        def apply_one(self, migration: Any, force: bool = False, mark: bool = True) -> None:
            self.ensure_internal_schema_updated()
            with self.transaction():
                self.execute("set local search_path to cipo, public")
                migration.process_steps(self, "apply", force=force)
                self.execute(f"set local search_path to {BOOKS}")
                self.mark_one(migration)

    return Backend(dsn, "_yoyo_migration")


def _steps(directory: Path) -> MigrationList:
    """The files as yoyo's migrations, each one script: yoyo would split them with a parser that knows no function bodies."""
    from yoyo.migrations import Migration, MigrationList, StepCollector, parse_metadata_from_sql_comments  # noqa: PLC0415

    class Script(Migration):  # type: ignore[misc]  # yoyo has no types
        def load(self) -> None:
            if self.loaded:
                return
            text = Path(self.path).read_text(encoding="utf-8")
            directives, _, _ = parse_metadata_from_sql_comments(text)
            rollback = Path(self.path).with_suffix(".rollback.sql")
            collector = StepCollector(migration=self)
            collector.add_step(text, rollback.read_text(encoding="utf-8") if rollback.exists() else None)
            wanted = directives.get("depends", "").split()
            unknown = [name for name in wanted if name not in by_name]
            if unknown:
                raise SchemaError(f"migration {self.id} depends on {unknown[0]}, which is not in {directory}")
            self._depends = {by_name[name] for name in wanted}
            self.steps = collector.create_steps(use_transactions=True)

    by_name = {name: Script(name, str(directory / f"{name}.sql"), source_dir=str(directory)) for name in _known(directory)}
    return MigrationList(by_name.values())


def _grant(connection: Connection) -> None:
    """What each role of the plane may do; on an external server without these roles there is nothing to grant."""
    row = connection.execute("select array_agg(rolname::text) from pg_roles where rolname = any(%s)", [[*WRITERS, READER]]).fetchone()
    present = row[0] if row and row[0] else []
    kept = {name for (name,) in connection.execute("select relname from pg_class where relnamespace = 'cipo'::regnamespace")}
    for role in present:
        name, what = sql.Identifier(role), sql.SQL("select" if role == READER else "select, insert, update, delete")
        statements = [
            sql.SQL("grant usage on schema cipo, {} to {}").format(sql.Identifier(BOOKS), name),
            sql.SQL("grant select on all tables in schema {} to {}").format(sql.Identifier(BOOKS), name),
            sql.SQL("grant {} on all tables in schema cipo to {}").format(what, name),
            sql.SQL("alter default privileges in schema cipo grant {} on tables to {}").format(what, name),
        ]
        if role != READER:
            statements += [
                sql.SQL("grant usage, select on all sequences in schema cipo to {}").format(name),
                sql.SQL("grant execute on all functions in schema cipo to {}").format(name),
            ]
            statements += [
                sql.SQL("revoke update, delete, truncate on cipo.{} from {}").format(sql.Identifier(table), name)
                for table in APPEND_ONLY
                if table in kept
            ]
        for statement in statements:
            connection.execute(statement)
