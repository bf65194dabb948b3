#!/bin/bash
# Runs the given test command against Debian's PostgreSQL 15, started for it alone in a temporary directory.
#   tests/pg15.sh .venv/bin/pytest -n2 tests/kernel
set -euo pipefail
programs=${PG15_BIN:-/usr/lib/postgresql/15/bin}
if [ ! -x "$programs/initdb" ]; then
    echo "no PostgreSQL 15 in $programs: apt-get install postgresql-15, or set PG15_BIN" >&2
    exit 1
fi
directory=$(mktemp -d /tmp/cipo-pg15-XXXXXX)
as=()
if [ "$(id -u)" = 0 ]; then
    chown postgres "$directory"
    as=(setpriv --reuid postgres --regid postgres --clear-groups)
fi
stop() {
    "${as[@]}" "$programs/pg_ctl" -D "$directory/data" -m immediate -w stop >/dev/null 2>&1 || true
    rm -rf "$directory"
}
trap stop EXIT
cd "$directory"
"${as[@]}" "$programs/initdb" -D data -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync >/dev/null
"${as[@]}" "$programs/pg_ctl" -D "$directory/data" -l "$directory/log" -w -o "-c listen_addresses='' -k $directory -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=200 -c timezone=UTC" start >/dev/null
cd "$OLDPWD"
CIPO_TEST_DATABASE_URL="postgresql://postgres@/postgres?host=${directory//\//%2F}" timeout --foreground "${PG15_TIMEOUT_S:-600}" "$@"
