"""The same figures from facts that left PostgreSQL: DuckDB over Parquet files, with the same compiled expression.

For history on a lake and as a second opinion: what PostgreSQL answers from its slices, DuckDB must answer from the files. DuckDB is no
dependency of the plane; without it this module says what to install. The files hold what ``cipo.fact`` holds: ``id, name, ts`` (UTC),
``value, weight, attrs`` (JSON text), ``supersedes``.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cipo.kernel.errors import Blocked
from cipo.kernel.slo.buckets import Bucket
from cipo.kernel.slo.objective import Indicator, Term
from cipo.kernel.slo.selecting import SQL_TESTS
from cipo.kernel.slo.slices import Totals, expression

if TYPE_CHECKING:
    import duckdb

FACTS = """
select timestamp '1970-01-01' as slice, f.ts as "at", f.value, f.weight, case when f.value {op} $limit then 1 else 0 end as hit
from told f where f.name = $fact and f.ts >= $start and f.ts < $end{where}
  and not exists (select 1 from told s where s.supersedes = f.id)
"""


class Lake:
    """Facts in Parquet files, read by DuckDB in this process."""

    def __init__(self, files: list[Path], *, threads: int | None = None) -> None:
        try:
            import duckdb  # noqa: PLC0415 - an optional program
        except ImportError as error:
            raise Blocked("DuckDB is not installed", todo="pip install 'duckdb>=1.5.5,<2'") from error
        self._db: duckdb.DuckDBPyConnection = duckdb.connect(config={"threads": threads} if threads else {})
        self._files = [str(path) for path in files]

    def totals(self, indicator: Indicator, start: datetime, end: datetime) -> Totals | None:
        """What adds up of ``[start, end)``; ``filled`` counts minutes."""
        sql, params = self._facts(indicator, start, end)
        rows = self._db.execute(f"with told as ({self._told()}), facts as ({sql}) {expression('slices', 'duckdb')}", params).fetchall()
        if not rows:
            return None
        (minutes,) = self._db.execute(
            f"with told as ({self._told()}), facts as ({sql}) select count(distinct date_trunc('minute', facts.at)) from facts", params
        ).fetchall()[0]
        _, n, weight, good, total, low, high, last, last_at = rows[0]
        return Totals(n, int(weight), int(good), Decimal(total), low, high, last, last_at.replace(tzinfo=UTC), minutes)

    def histogram(self, indicator: Indicator, start: datetime, end: datetime) -> Counter[Bucket]:
        """The histogram of ``[start, end)``."""
        sql, params = self._facts(indicator, start, end)
        rows = self._db.execute(f"with told as ({self._told()}), facts as ({sql}) {expression('buckets', 'duckdb')}", params).fetchall()
        return Counter({(sign, bucket): int(n) for _, sign, bucket, n in rows})

    def _told(self) -> str:
        listed = ", ".join("'" + path.replace("'", "''") + "'" for path in self._files)
        return f"select id, name, ts, value, weight, attrs, supersedes from read_parquet([{listed}])"

    def _facts(self, indicator: Indicator, start: datetime, end: datetime) -> tuple[str, dict[str, Any]]:
        terms, params = condition(indicator.where)
        params |= {
            "fact": indicator.fact,
            "limit": indicator.good.value,
            "start": start.astimezone(UTC).replace(tzinfo=None),
            "end": end.astimezone(UTC).replace(tzinfo=None),
        }
        return FACTS.format(op=SQL_TESTS[indicator.good.op], where=terms), params


def condition(terms: tuple[Term, ...]) -> tuple[str, dict[str, Any]]:
    """Terms as DuckDB's SQL over the JSON text ``f.attrs``, every value a parameter."""
    text = ""
    params: dict[str, Any] = {}
    for number, term in enumerate(terms):
        key = f"t{number}"
        params[f"{key}_attr"] = "$." + json.dumps(term.attr)
        found = f"json_extract(f.attrs, ${key}_attr)"
        if term.op == "in":
            text += f" and list_contains([{', '.join(f'${key}_{n}' for n in range(len(term.values)))}], {_plain(found)})"
            params |= {f"{key}_{n}": _spelled(value) for n, value in enumerate(term.values)}
        elif term.op == "glob":
            text += f" and json_extract_string(f.attrs, ${key}_attr) glob ${key}"
            params[key] = str(term.values[0]).replace("[", "[[]")
        else:
            text += f" and json_type({found}) in ('DOUBLE', 'BIGINT', 'UBIGINT', 'HUGEINT') and cast({found} as double) {term.op} ${key}"
            params[key] = term.values[0]
    return text, params


def _plain(found: str) -> str:
    """A JSON value in one spelling: numbers as doubles, so that 3 equals 3.0 as it does in PostgreSQL."""
    return f"case when json_type({found}) in ('DOUBLE', 'BIGINT', 'UBIGINT', 'HUGEINT') then cast(cast({found} as double) as varchar) else cast({found} as varchar) end"


def _spelled(value: Any) -> str:
    return str(float(value)) if isinstance(value, float) and not isinstance(value, bool) else json.dumps(value)
