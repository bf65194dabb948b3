"""What must be true in the database before the plane's processes start: the schema, and the lab's way in. Run by the supervisor.

A process of its own, because it needs the database driver and the supervisor must not keep that in memory.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import psycopg

from cipo.kernel.errors import ApiError, CipoError
from cipo.kernel.settings import Settings
from cipo.kernel.store import embedded, migrate
from cipo.kernel.store.place import Place, write_private

LAB_TOKEN_LIFE = timedelta(days=365)


def lab_token_file(home: Path) -> Path:
    """Where the lab finds the token with which it enrols the sample organisation's people."""
    return home / "lab" / "admin.token"


def prepare(settings: Settings) -> migrate.Migrated:
    """Migrate the database and, if the lab is on, leave it a fresh token; the one before is revoked."""
    owner = settings.database_url or Place(settings.home).url("postgres")
    done = migrate.migrate(owner)
    if settings.lab:
        asyncio.run(_lab_token(settings))
    return done


async def _lab_token(settings: Settings) -> None:
    from cipo.kernel import tokens  # noqa: PLC0415 - only with the lab

    file = lab_token_file(settings.home)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with await psycopg.AsyncConnection.connect(embedded.dsn(settings.home, settings.database_url)) as connection:
        store = tokens.OnConnection(connection)
        await tokens.ensure_cipo(store)
        with suppress(FileNotFoundError, ApiError):  # an unreadable one cannot be revoked; it ends by itself
            await tokens.revoke(store, file.read_text().strip())
        issued = await tokens.issue_token(store, tokens.CIPO, "the lab's enrolment", LAB_TOKEN_LIFE)
    write_private(file, issued.token)


def main() -> int:
    """The process; its last line on standard error says what went wrong."""
    try:
        done = prepare(Settings.from_env())
    except CipoError as error:
        print(error, file=sys.stderr)
        return 1
    except psycopg.Error as error:
        print(f"the database refuses: {str(error).strip().splitlines()[0]}; check CIPO_DATABASE_URL", file=sys.stderr)
        return 1
    if done.applied:
        print(f"schema: {', '.join(done.applied)}", flush=True)
    return 0


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main())
