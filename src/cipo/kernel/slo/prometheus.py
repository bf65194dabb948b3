"""Prometheus rules of a promise: what to record per window, and when to tell whom.

Written for documents whose numbers live in a Prometheus (their own queries) and for promises measured on facts (the counter that
``/metrics`` serves). Sums of bad and of all events are recorded apart and divided last, so that quiet hours weigh little: never an average
of ratios. What the engine does and Prometheus does not is in the alert's ``guard``: no lower bound of confidence where events are few.

One group per promise: its rules are evaluated in this order at one moment, so an alert sees the figures of its own evaluation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from promql_parser import Expr

from cipo.kernel.slo import sloth
from cipo.kernel.slo.budget import CALM, Tier
from cipo.kernel.slo.document import Document, Goal, Queries
from cipo.kernel.slo.objective import Objective
from cipo.kernel.slo.promql import BadQuery, decimal, exact, filled, printed, read, selector
from cipo.kernel.slo.recorded import Promise, counted, recordings
from cipo.kernel.slo.rules import Group, Rule, literal, literals
from cipo.kernel.slo.windows import shorthand

COUNTER: Final = "cipo_sli_events_total"
BURN, ABSENT = "CipoSLOBurn", "CipoSLOAbsent"
QUIET = timedelta(minutes=10)
"""How long a promise without a cadence may be without a series."""
ABSOLUTE = timedelta(hours=6)
_LABEL_NAME = re.compile(r"^(?!__)[a-zA-Z_][a-zA-Z0-9_]*$")
OURS = frozenset({"slo", "service", "severity", "tier", "long", "short", "alertname", "le", "quantile"})


class NoRules(ValueError):
    """Why a promise has no rules: every (field, why) of it."""

    def __init__(self, name: str, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__(f"{name}: " + "; ".join(f"{where}: {why}" for where, why in problems))
        self.name = name
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Options:
    """``sloth``: also the names that Sloth's dashboards read. ``inline``: alerts that need no recorded series."""

    sloth: bool = False
    inline: bool = False


# -- which promises can be written as rules


def promises(document: Document) -> tuple[Promise, ...]:
    """The document's objectives; NoRules with everything that stands in the way."""
    found = list(problems(document))
    if found:
        raise NoRules(document.name, found)
    assert document.queries is not None
    shared = {"service": document.service} | {
        key: text for key, text in document.labels.items() if _LABEL_NAME.match(key) and key not in OURS
    }
    return tuple(
        Promise(goal.objective, document.queries, target, {"slo": goal.objective.name} | {k: v for k, v in shared.items() if v})
        for goal in document.goals
        if (target := goal.objective.budget_target) is not None
    )


def problems(document: Document) -> Iterator[tuple[str, str]]:
    """Every (field, why) for which a document has no rules."""
    if document.unsupported:
        yield "indicator", document.unsupported
        return
    if document.queries is None:
        yield "indicator", "has no Prometheus queries"
        return
    yield from _of_queries(document.queries)
    for number, goal in enumerate(document.goals):
        if goal.objective.budget_target is None:
            yield f"objectives[{number}].target", "without a target between 0 and 1 there is no budget to burn"


def _of_queries(queries: Queries) -> Iterator[tuple[str, str]]:
    if (queries.good is None) == (queries.bad is None):
        yield "indicator", "give exactly one of good and bad beside total"
    trees = {}
    for name in ("total", "good", "bad"):
        query = getattr(queries, name)
        if query is None:
            continue
        try:
            trees[name] = printed(read(query))
        except BadQuery as error:
            yield f"indicator.{name}", str(error)
    if "good" in trees and trees["good"] == trees.get("total"):
        yield "indicator.good", "is the same query as total, so nothing could ever be bad"


def of_facts(objective: Objective, counter: str = "") -> Document:
    """A promise measured on facts as a document over what ``/metrics`` counts of it; NoRules when it counts nothing.

    ``counter``: the name it is counted under, when that is not its own.
    """
    why = no_rules(objective)
    if why:
        raise NoRules(objective.name, [("indicator", why)])
    name = counter or objective.name
    queries = Queries(total=_events(name), bad=_events(name, outcome="bad"))
    return Document(objective.name, objective.owner, (Goal(objective),), queries, labels=objective.labels)


def counted_as(document: str, goal: str) -> str:
    """The name that a goal of an SLO is counted under: apart from the chart's promises, whatever they are called."""
    return f"slo/{document}/{goal}"


def _events(name: str, **labels: str) -> str:
    """Events of the counter; the highest of all API processes, because each serves the same stored one."""
    counter = printed(selector(COUNTER, {"objective": name, **labels}))
    return f"sum(max by (outcome) (increase({counter}[$window])))"


def in_prometheus(document: Document) -> tuple[Document, ...]:
    """A document as rules can be written of it: its own queries, or one document over the counter for each goal on facts."""
    if document.queries is not None or document.unsupported:
        return (document,)
    return tuple(
        replace(of_facts(goal.objective, counted_as(document.name, goal.objective.name)), service=document.service, labels=document.labels)
        for goal in document.goals
    )


def no_rules(objective: Objective) -> str:
    """Why a promise on facts has no rules; empty when it has."""
    if objective.indicator.method != "ratio":
        return (
            f"a {objective.indicator.method} is no share of good events, so it has no counter; /metrics serves its value as cipo_kpi_value"
        )
    if objective.budget_target is None:
        return f"the promise {objective.limit} leaves no budget to burn"
    return ""


# -- the rules of a promise


def groups(documents: Iterable[Document], options: Options = Options()) -> tuple[Group, ...]:
    """The groups of all documents, by name; NoRules when two promises have one name."""
    found: dict[str, Group] = {}
    for document in documents:
        for promise in promises(document):
            group = group_of(promise, options)
            if group.name in found:
                raise NoRules(document.name, [("metadata.name", "another promise has this name; rules tell them apart by it")])
            found[group.name] = group
    return tuple(found[name] for name in sorted(found))


def group_of(promise: Promise, options: Options) -> Group:
    """Recorded series first, then the alerts that read them."""
    rules = list(recordings(promise))
    if options.sloth:
        rules += sloth.aliases(promise)
    rules += [_burn(promise, tier, options) for tier in promise.tiers]
    rules += [*_many(promise, options), _absent(promise, options)]
    return Group(f"cipo-slo-{promise.objective.name}", tuple(rules))


# -- alerts


def _burn(promise: Promise, tier: Tier, options: Options) -> Rule:
    long, short = shorthand(tier.long), shorthand(tier.short)
    needed = 10 / (1 - exact(promise.target))
    labels = {"severity": tier.severity, "tier": tier.name, "long": long, "short": short}
    annotations = {
        "summary": f"{promise.objective.name} burns its error budget more than {tier.factor:.3g} times as fast as promised",
        "description": (
            f"Promised: {decimal(exact(promise.target) * 100)} % good over {promise.objective.window}. At this pace "
            f"{tier.budget:.0%} of the budget is gone in {long}; the last {short} were no better. Bad share over {long}: "
        ),
        "guard": (
            f"At least {promise.objective.alerting.min_bad_events} bad in {long}. cipo's own engine also asks for a Wilson 95 % bound"
            f" below {float(needed):.0f} events in {long}; Prometheus does not, so on low traffic it may fire alone."
        ),
    }
    annotations = {name: literal(text) for name, text in annotations.items()}
    annotations["description"] += "{{ $value | humanizePercentage }}."
    return Rule(
        burning(promise, tier, inline=options.inline),
        alert=BURN,
        labels=literals({**promise.labels, **labels}),
        annotations=annotations,
        keep=CALM,
    )


def burning(promise: Promise, tier: Tier, *, inline: bool = False) -> Expr:
    """True while both windows burn too fast and enough was bad; its value is the long window's bad share."""
    threshold = decimal(exact(tier.factor) * (1 - exact(promise.target)))
    parts = {}
    for name, window in (("long", tier.long), ("short", tier.short)):
        bad, total = counted(promise, window, inline=inline)
        parts[name] = filled(f"bad / (total > 0) > {threshold}", bad=bad, total=total)
    bad, _ = counted(promise, tier.long, inline=inline)
    enough = filled(f"bad >= {promise.objective.alerting.min_bad_events}", bad=bad)
    return filled("long and short and enough", enough=enough, **parts)


def _many(promise: Promise, options: Options) -> Iterator[Rule]:
    """The tier that counts and asks for no share."""
    many = promise.objective.alerting.absolute
    if many is None:
        return
    bad, _ = counted(promise, ABSOLUTE, inline=options.inline)
    span = shorthand(ABSOLUTE)
    labels = {"severity": "ticket", "tier": "absolute", "long": span, "short": span}
    text = f"{promise.objective.name} had {many} bad events or more in {span}"
    yield Rule(
        filled(f"bad >= {many}", bad=bad),
        alert=BURN,
        labels=literals({**promise.labels, **labels}),
        annotations={"summary": literal(text)},
    )


def _absent(promise: Promise, options: Options) -> Rule:
    """Nothing to measure: the series is gone, or nothing came although something is due at a cadence."""
    shortest = promise.windows[0]
    _, total = counted(promise, shortest, inline=options.inline)
    due = promise.objective.data.every is not None
    return Rule(
        filled("absent(total) or total == 0" if due else "absent(total)", total=total),
        alert=ABSENT,
        labels=literals({**promise.labels, "severity": "ticket"}),
        annotations={
            "summary": literal(f"{promise.objective.name} has no figures"),
            "description": "A promise without figures is unknown, not kept. See whether its source is scraped and its queries still match.",
        },
        wait=promise.objective.data.silence or QUIET,
    )
