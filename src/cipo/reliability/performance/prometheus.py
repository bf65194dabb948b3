"""Counts of events from a Prometheus, or what speaks its HTTP API (Thanos, Cortex, Mimir): instant queries with ``$window`` put in.

Its numbers are its own: increases are extrapolated, and what it dropped it does not say. No answer is no figure: ``Unavailable``.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx

from cipo.kernel import Unavailable
from cipo.kernel.slo.budget import LOOK_BACK, Count
from cipo.kernel.slo.document import Queries
from cipo.kernel.slo.measure import Inputs
from cipo.kernel.slo.objective import Objective
from cipo.kernel.slo.slices import Totals

TIMEOUT_S = 10.0
POINTS_MAX = 11_000  # Prometheus' own bound of a range query


async def inputs(objective: Objective, queries: Queries, now: datetime, transport: httpx.AsyncBaseTransport | None = None) -> Inputs:
    """What a verdict on the objective rests on, as of ``now``."""
    start, end = objective.window.bounds(now)
    until = min(end, now)
    async with httpx.AsyncClient(base_url=queries.connection, timeout=TIMEOUT_S, transport=transport) as http:
        whole = await _count(http, queries, until - start, until)
        looks = {span: await _count(http, queries, span, until) for span in LOOK_BACK} if objective.budget_target is not None else {}
        slices = await _slices(http, queries, start, until, objective.budgeting.slice) if objective.budgeting.slice else ()
    counts = {span: found for span, found in looks.items() if found is not None}
    return Inputs((start, end), _totals(whole, until), of_slices=slices, counts=counts)


def _totals(whole: Count | None, at: datetime) -> Totals | None:
    """Whole events, because a share of an event is an artefact of extrapolation."""
    weight = round(whole.total) if whole is not None else 0
    if whole is None or not weight:
        return None
    good = max(0, weight - round(whole.bad))
    return Totals(weight, weight, good, Decimal(good), 0.0, 1.0, 1.0, at, 0)


async def _count(http: httpx.AsyncClient, queries: Queries, span: timedelta, at: datetime) -> Count | None:
    total = await _instant(http, queries.total, span, at)
    part = await _instant(http, queries.bad or queries.good or "", span, at)
    if total is None:
        return None
    found = part or 0.0  # a counter that never counted has no series
    bad = found if queries.bad else total - found
    return Count(min(max(bad, 0.0), total), total)


async def _slices(
    http: httpx.AsyncClient, queries: Queries, start: datetime, end: datetime, size: timedelta
) -> tuple[tuple[float, float], ...]:
    """(good, total) of each slice that saw something; long windows in several requests."""
    found: list[tuple[float, float]] = []
    begin = start
    while begin + size <= end:
        stop = min(end, begin + POINTS_MAX * size)
        total = await _range(http, queries.total, begin + size, stop, size)
        part = await _range(http, queries.bad or queries.good or "", begin + size, stop, size)
        for at, seen in total.items():
            counted = min(part.get(at, 0.0), seen)
            found.append((seen - counted if queries.bad else counted, seen))
        begin = stop
    return tuple(found)


async def _instant(http: httpx.AsyncClient, query: str, span: timedelta, at: datetime) -> float | None:
    result = await _ask(http, "/api/v1/query", {"query": put_in(query, span), "time": f"{at.timestamp():.3f}"})
    if len(result) > 1:
        raise Unavailable(_place(http), f"{query} gives {len(result)} series; put sum() around it")
    return _number(result[0]["value"][1]) if result else None


async def _range(http: httpx.AsyncClient, query: str, start: datetime, end: datetime, step: timedelta) -> dict[float, float]:
    asked = {"query": put_in(query, step), "start": f"{start.timestamp():.3f}", "end": f"{end.timestamp():.3f}"}
    result = await _ask(http, "/api/v1/query_range", asked | {"step": f"{step.total_seconds():g}"})
    if len(result) > 1:
        raise Unavailable(_place(http), f"{query} gives {len(result)} series; put sum() around it")
    points = result[0]["values"] if result else []
    return {float(at): number for at, text in points if (number := _number(text)) is not None}


async def _ask(http: httpx.AsyncClient, path: str, params: dict[str, str]) -> list[Any]:
    try:
        answer = await http.get(path, params=params)
        body = answer.json()
    except httpx.TimeoutException as error:
        raise Unavailable(_place(http), f"no answer in {TIMEOUT_S:g} s") from error
    except httpx.TransportError as error:
        raise Unavailable(_place(http), f"cannot be reached: {error}") from error
    except ValueError as error:
        raise Unavailable(_place(http), f"answered {answer.status_code} with something that is not JSON; is that a Prometheus?") from error
    if not isinstance(body, dict) or body.get("status") != "success":
        raise Unavailable(_place(http), f"refused {params['query']}: {body.get('error') if isinstance(body, dict) else body}")
    data = body["data"]
    if data["resultType"] == "scalar":
        return [{"value": data["result"]}]
    result: list[Any] = data["result"]
    return result


def put_in(query: str, span: timedelta) -> str:
    """The query for one window."""
    return query.replace("$window", f"{max(1, round(span.total_seconds()))}s")


def _number(text: str) -> float | None:
    """NaN and infinities are no figures."""
    value = float(text)
    return value if math.isfinite(value) else None


def _place(http: httpx.AsyncClient) -> str:
    return f"Prometheus at {http.base_url}"
