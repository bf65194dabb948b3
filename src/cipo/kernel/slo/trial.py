"""A test of an SLO as a file: the SLO, a series of facts written short, and what is expected at some instants. See docs/concepts/slo.md.

slo: checkout.yaml
facts:
- {at: 2026-03-01T00:00:00Z, step: 1m, good: [100x120, 80x10, 100x60], total: 100}
expect:
- {at: 2026-03-01T02:10:00Z, state: missed, alerts: [page-quick]}
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from cipo.kernel import yaml
from cipo.kernel.errors import CipoError
from cipo.kernel.models import Model, field
from cipo.kernel.slo import longform, openslo
from cipo.kernel.slo.document import Document
from cipo.kernel.slo.longform_spec import SPAN, LongForm
from cipo.kernel.slo.measure import Verdict
from cipo.kernel.slo.objective import Objective
from cipo.kernel.slo.openslo.said import span
from cipo.kernel.slo.replay import Replay, Told

MAX_FACTS = 2_000_000
MAX_VALUES = 20_000
_REPEATED = re.compile(r"^(-?[0-9]+(?:\.[0-9]+)?)x([1-9][0-9]{0,6})$")
Series = float | str | list[float | str]


class TrialError(CipoError):
    """The file cannot be run: says where and what would be right."""


class FactsGiven(Model):
    """Facts at even steps: events of a ratio as good and total, anything else as values."""

    at: datetime = field(help="When the first of them happened.")
    step: str = field("1m", pattern=SPAN, help="The time from one to the next.")
    good: Series | None = field(None, help="Good events of each step: a number, or a list of numbers and of such as 100x60.")
    total: Series | None = field(None, help="All events of each step.")
    value: Series | None = field(None, help="The values, where it is not a ratio of events.")
    attrs: dict[str, Any] = field(dict, help="Attributes of all of them.")


class Expected(Model):
    """What must be so at an instant; what is not named may be anything. Numbers are compared to the digits that are written."""

    at: datetime = field(help="When.")
    objective: str | None = field(None, help="Which of several objectives.")
    state: str | None = field(None, help="met, missed or unknown.")
    value: float | None = field(None, help="The number.")
    n: int | None = field(None, help="How many facts.")
    remaining: float | None = field(None, help="The share of the budget that is left.")
    budget: str | None = field(None, help="Healthy, Warning, AtRisk, Exhausted or Unknown.")
    alerts: list[str] | None = field(None, help="The tiers that fire, all of them.")
    reason: str | None = field(None, help="Words of the reason.")


class TrialFile(Model):
    """The whole file."""

    slo: str | dict[str, Any] = field(help="A file beside this one, or the SLO itself, as cipo or OpenSLO writes it.")
    every: str = field("1m", pattern=SPAN, help="How often it is looked at from the first fact on.")
    facts: list[FactsGiven] = field(help="What happened.")
    expect: list[Expected] = field(help="What must come of it.")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One expectation: when, of which objective, and every difference as (what, expected, found)."""

    at: datetime
    objective: str
    differences: tuple[tuple[str, str, str], ...]


def read(text: str) -> TrialFile:
    """The test of a text; TrialError with its faults."""
    try:
        values = yaml.documents(text.encode(), most_values=MAX_VALUES, most_documents=1)
        return TrialFile.model_validate(values[0] if values else {})
    except yaml.YamlFault as error:
        raise TrialError(f"is no plain YAML: {error}") from error
    except ValidationError as error:
        told = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()]
        raise TrialError("; ".join(dict.fromkeys(told))) from error


def document_of(text: str) -> Document:
    """The one SLO of a text, as cipo or OpenSLO writes it."""
    try:
        values = [value for value in yaml.documents(text.encode(), most_values=MAX_VALUES) if value is not None]
        foreign = any(isinstance(value, dict) and str(value.get("apiVersion", "")).startswith("openslo/") for value in values)
        found = list(openslo.read(text).documents) if foreign else [_own(value) for value in values]
    except (yaml.YamlFault, openslo.OpenSLOError) as error:
        raise TrialError(str(error)) from error
    if len(found) != 1:
        raise TrialError(f"holds {len(found)} SLOs; a test is of one")
    return found[0]


def _own(value: Any) -> Document:
    body = value if isinstance(value, dict) else {}
    name = str((body.get("metadata") or {}).get("name") or "slo")
    try:
        document, wrong = longform.document(name, LongForm.model_validate(body.get("spec") or {}))
    except ValidationError as error:
        raise TrialError("; ".join(f"spec.{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors())) from error
    if wrong:
        raise TrialError("; ".join(f"spec.{at}: {why}" for at, why in wrong))
    return document


def run(trial: TrialFile, document: Document) -> Iterator[Outcome]:
    """The outcome of each expectation, in the file's order."""
    goals = {goal.objective.name: goal.objective for goal in document.goals}
    asked = [(one, one.objective or next(iter(goals))) for one in trial.expect]
    if unknown := [name for _, name in asked if name not in goals]:
        raise TrialError(f"expect: there is no objective {unknown[0]!r}; those are {', '.join(goals)}")
    found: dict[tuple[str, datetime], Verdict] = {}
    for name in dict.fromkeys(name for _, name in asked):
        wanted = {_utc(one.at) for one, of in asked if of == name}
        replay = Replay(goals[name], list(_facts(trial, goals[name])))
        for at, verdict in replay.course(_instants(replay, span(trial.every), wanted)):
            if at in wanted:
                found[name, at] = verdict
    for one, name in asked:
        yield Outcome(_utc(one.at), name, tuple(_differences(one, found[name, _utc(one.at)])))


def _instants(replay: Replay, every: timedelta, wanted: set[datetime]) -> list[datetime]:
    """When it is looked at: at an even cadence from the first fact to the last expectation, and at each expectation."""
    last, now = max(wanted), replay.facts[0].at if replay.facts else max(wanted)
    looks = set(wanted)
    while now <= last:
        looks.add(now)
        now += every
    return sorted(looks)


def _facts(trial: TrialFile, objective: Objective) -> Iterator[Told]:
    ratio = objective.indicator.method == "ratio"
    made = 0
    for number, given in enumerate(trial.facts):
        rows = list(_rows(given, ratio, f"facts[{number}]"))
        made += len(rows)
        if made > MAX_FACTS:
            raise TrialError(f"facts: more than {MAX_FACTS:,} steps; take a longer step")
        for index, row in enumerate(rows):
            at = _utc(given.at) + index * span(given.step)
            if len(row) == 1:
                yield Told(at, row[0], 1, given.attrs)
                continue
            good, bad = _values(objective)
            for value, weight in ((good, row[0]), (bad, row[1] - row[0])):
                if round(weight):
                    yield Told(at, value, round(weight), given.attrs)


def _rows(given: FactsGiven, ratio: bool, at: str) -> Iterator[tuple[float, ...]]:
    """(value,) or (good, total) of each step."""
    if given.value is not None:
        yield from ((value,) for value in _numbers(given.value, f"{at}.value"))
        return
    if given.good is None or given.total is None or not ratio:
        raise TrialError(f"{at}: write good and total of a ratio, or value")
    good, total = _numbers(given.good, f"{at}.good"), _numbers(given.total, f"{at}.total")
    steps = max(len(good), len(total))
    for name, numbers in (("good", good), ("total", total)):
        if len(numbers) not in (1, steps):
            raise TrialError(f"{at}.{name}: holds {len(numbers)} steps, the other {steps}")
    for index in range(steps):
        row = good[index if len(good) > 1 else 0], total[index if len(total) > 1 else 0]
        if not 0 <= row[0] <= row[1]:
            raise TrialError(f"{at}: step {index + 1} has {row[0]:g} good of {row[1]:g}")
        yield row


def _numbers(given: Series, at: str) -> list[float]:
    found: list[float] = []
    for one in given if isinstance(given, list) else [given]:
        repeated = _REPEATED.match(one) if isinstance(one, str) else None
        if isinstance(one, str) and repeated is None:
            raise TrialError(f"{at}: {one!r} is no number; write one, or how often it comes, such as 100x60")
        found += [float(repeated[1])] * int(repeated[2]) if repeated else [float(one)]
        if len(found) > MAX_FACTS:
            raise TrialError(f"{at}: more than {MAX_FACTS:,} steps; take a longer step")
    return found


def _values(objective: Objective) -> tuple[float, float]:
    """A value of a good event and one of a bad event."""
    test = objective.indicator.good
    near = [test.value, test.value - 1, test.value + 1]
    passing = next(value for value in near if test.holds(value))
    failing = next(value for value in near if not test.holds(value))
    return (passing, failing) if objective.matched_is_good else (failing, passing)


def _differences(expected: Expected, verdict: Verdict) -> Iterator[tuple[str, str, str]]:
    spent = verdict.budget
    exact: Mapping[str, tuple[object, object]] = {
        "state": (expected.state, verdict.state),
        "n": (expected.n, verdict.n),
        "budget": (expected.budget, spent.state if spent else None),
        "alerts": (
            None if expected.alerts is None else sorted(expected.alerts),
            sorted(one.tier for one in spent.alerts) if spent else [],
        ),
    }
    for name, (wanted, found) in exact.items():
        if wanted is not None and wanted != found:
            yield name, _shown(wanted), _shown(found)
    for name, number, figure in (
        ("value", expected.value, verdict.value), ("remaining", expected.remaining, spent.remaining if spent else None),
    ):  # fmt: skip
        if number is not None and (figure is None or not _same(number, figure)):
            yield name, _shown(number), _shown(figure)
    if expected.reason is not None and expected.reason not in verdict.reason:
        yield "reason", expected.reason, verdict.reason or "none"


def _same(wanted: float, found: float) -> bool:
    """Equal to the digits that were written."""
    exponent = Decimal(str(wanted)).as_tuple().exponent
    return abs(found - wanted) <= 0.5000001 * 10.0 ** (exponent if isinstance(exponent, int) else 0)


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(one) for one in value) or "none"
    return "none" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
